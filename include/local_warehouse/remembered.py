"""Queries in DuckDB's words, for when the same text comes again in the same context.

Nothing is kept of what the query reads: DuckDB looks up tables and columns each time.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .session import Session

KEPT_CHARACTERS = 8 * 1024**2

DEPENDS = re.compile(
    r"[$@?]|current_(?!date|time)|last_query_id|result_scan|\brand|seed|uniform", re.IGNORECASE
)
"""Words of queries whose rewriting may depend on more of the session than `Context` has."""

Context = tuple[str, str | None, str | None, bool, bool, frozenset[tuple[str, str, str]]]
"""A query's text, the current database and schema, and the session's temporary tables."""


def context(sql: str, session: Session) -> Context | None:
    """All that the rewriting of a query depends on; None if it may depend on something else."""
    if DEPENDS.search(sql):
        return None
    return (
        sql,
        session.database,
        session.schema,
        session.database_set,
        session.schema_set,
        frozenset(session.temporary),
    )


class Remembered:
    """The rewritten queries that were asked for last, for all sessions of a server."""

    def __init__(self, characters: int = KEPT_CHARACTERS) -> None:
        self._rewritten: OrderedDict[Context, str] = OrderedDict()
        self._lock = threading.Lock()
        self._free = characters

    def find(self, asked: Context) -> str | None:
        """The query in DuckDB's words, if it is remembered."""
        with self._lock:
            if (query := self._rewritten.get(asked)) is not None:
                self._rewritten.move_to_end(asked)
            return query

    def keep(self, asked: Context, query: str) -> None:
        """Remember a query, and forget those that nobody has asked for longest."""
        with self._lock:
            if asked in self._rewritten:
                return
            self._rewritten[asked] = query
            self._free -= len(asked[0]) + len(query)
            while self._free < 0:
                old, forgotten = self._rewritten.popitem(last=False)
                self._free += len(old[0]) + len(forgotten)
