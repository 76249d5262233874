"""Snowflake SQL to syntax trees, remembering the function names that the client wrote."""

from __future__ import annotations

import logging
import re
from functools import lru_cache

import sqlglot
from sqlglot import Expr, exp
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.errors import ParseError, SqlglotError

from .errors import compilation_error

# sqlglot warns of every statement it keeps as text; those are answered in `rules`.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class ClientSnowflake(Snowflake):
    """Snowflake's dialect; a function node keeps the written name in `meta["written"]`.

    Many names share one node (`read_csv` and `parse_csv`, say), and the name decides whether
    Snowflake would know the function.
    """

    ORIGINAL_NAME_META_KEY = "written"


def parse(sql: str) -> Expr:
    """The tree of exactly one statement; the caller may change it.

    Raises:
        ProgrammingError: the text is no statement, or more than one.
    """
    return _parse(sql).copy()


@lru_cache(maxsize=256)
def _parse(sql: str) -> Expr:
    try:
        statements = [
            statement
            for statement in sqlglot.parse(sql, read=ClientSnowflake)
            if statement is not None and not isinstance(statement, exp.Semicolon)
        ]
    except (SqlglotError, AttributeError, TypeError, ValueError, IndexError) as error:
        # sqlglot stumbles over some calls with too few arguments instead of refusing them.
        verb, _, rest = sql.strip().partition(" ")
        if verb.upper() in {"DESC", "DESCRIBE"}:
            # sqlglot describes tables and views alone; users, roles and so on stay text.
            return exp.Command(this=verb.upper(), expression=rest)
        if re.match(r"copy\s+files\s", sql.strip(), re.IGNORECASE):
            # sqlglot takes every COPY for one between a table and a stage.
            return exp.Command(this="COPY", expression=sql.strip()[len("copy") :])
        raise compilation_error(_explained(error)) from None
    if len(statements) != 1:
        raise compilation_error(
            f"Actual statement count {len(statements)} did not match the desired statement count 1."
        )
    return statements[0]


def _explained(error: Exception) -> str:
    """What is wrong and where, in Snowflake's words if sqlglot knows the place."""
    found = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    if word := found.get("highlight"):
        place = f"line {found['line']} at position {found['col'] - len(word)}"
        return f"syntax error {place} unexpected '{word}'."
    return str(error)
