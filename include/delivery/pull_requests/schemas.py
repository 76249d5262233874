"""The schemas of pull requests: dropped when one is closed, swept when they were left behind."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from include.warehouse.catalogue import databases
from include.warehouse.connection import DATABASES, ConnectionSettings, connect

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

DATABASE = DATABASES["ci"]

_SCHEMA = re.compile(r"PR_([0-9]+)_[A-Z_]+")

# A schema's own times do not tell of what happens in it, those of its tables do.
_AGES = f"""
    select
        schemata.schema_name,
        datediff(
            second,
            greatest(
                max(schemata.created),
                coalesce(max(tables.last_altered), max(schemata.created))
            ),
            current_timestamp()
        )
    from {DATABASE}.information_schema.schemata as schemata
    left join {DATABASE}.information_schema.tables as tables
        on schemata.schema_name = tables.table_schema
    where startswith(schemata.schema_name, 'PR_')
    group by schemata.schema_name
"""  # noqa: S608 - a constant


@dataclass(frozen=True)
class Swept:
    """What a sweep did about one pull request.

    Attributes:
        number: the pull request.
        age: since something in its schemas was last changed.
        dropped: the schemas that are gone.
        kept: why they were left; empty if they were not.
    """

    number: int
    age: timedelta
    dropped: tuple[str, ...] = ()
    kept: str = ""


def number_of(schema: str) -> int | None:
    """The pull request whose schema this is; None if it is nobody's."""
    found = _SCHEMA.fullmatch(schema)
    return int(found[1]) if found else None


def drop(settings: ConnectionSettings, number: int) -> list[str]:
    """Drop the schemas of one pull request and no other; their names, sorted."""
    with _cursor(settings) as cursor:
        return _drop(cursor, [one for one in _ages(cursor) if number_of(one) == number])


def sweep(
    settings: ConnectionSettings,
    age: timedelta,
    state_of: Callable[[int], str] | None = None,
    *,
    dry_run: bool = False,
) -> list[Swept]:
    """Drop the schemas of pull requests in which nothing has changed for some time.

    The age is asked for again right before the drop, and where GitHub is asked, an open pull
    request keeps its schemas: a build that begins meanwhile belongs to an open one, and starts with
    schemas of its own making.

    Args:
        settings: of target ci.
        age: of the newest change in any schema of a pull request.
        state_of: tells whether a pull request is open, closed or unknown; only closed ones are
            swept then.
        dry_run: drop nothing.

    Returns:
        Every pull request that has schemas, by number.
    """
    result = []
    with _cursor(settings) as cursor:
        for number, seconds in sorted(_by_number(_ages(cursor)).items()):
            quiet = timedelta(seconds=seconds)
            if quiet < age:
                result.append(Swept(number, quiet, kept="changed not long ago"))
            elif state_of and (state := state_of(number)) != "closed":
                result.append(Swept(number, quiet, kept=f"GitHub says it is {state}"))
            else:
                result.append(_sweep_one(cursor, number, age, dry_run=dry_run))
    return result


def _sweep_one(cursor: SnowflakeCursor, number: int, age: timedelta, *, dry_run: bool) -> Swept:
    ages = {name: one for name, one in _ages(cursor).items() if number_of(name) == number}
    quiet = timedelta(seconds=min(ages.values(), default=0))
    if quiet < age:
        return Swept(number, quiet, kept="changed just now")
    return Swept(number, quiet, tuple(sorted(ages) if dry_run else _drop(cursor, ages)))


def _by_number(ages: dict[str, int]) -> dict[int, int]:
    found: dict[int, list[int]] = defaultdict(list)
    for name, seconds in ages.items():
        if (number := number_of(name)) is not None:
            found[number].append(seconds)
    return {number: min(seconds) for number, seconds in found.items()}


def _ages(cursor: SnowflakeCursor) -> dict[str, int]:
    """Seconds since the last change in each schema that begins like one of a pull request."""
    if DATABASE not in databases(cursor):
        return {}
    cursor.execute(_AGES)
    return {str(name): int(seconds) for name, seconds in cast("list[tuple[str, int]]", cursor)}


def _drop(cursor: SnowflakeCursor, schemas: Iterable[str]) -> list[str]:
    dropped = sorted(schemas)
    for schema in dropped:
        if number_of(schema) is None:
            raise ValueError(f"{schema!r} is no schema of a pull request.")
        # Checked to be an identifier, which cannot be bound.
        cursor.execute(f"drop schema if exists {DATABASE}.{schema} cascade")
    return dropped


@contextmanager
def _cursor(settings: ConnectionSettings) -> Iterator[SnowflakeCursor]:
    with (
        connect(settings, database=DATABASE, query_tag={"task": "ci"}) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor
