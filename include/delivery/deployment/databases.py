"""The two databases: what they hold, how one becomes the other's copy, how they change names."""

# ruff: noqa: S608 - databases are named here, schemas and tables come from the catalogue, quoted.
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snowflake.connector.errors import ProgrammingError
from tenacity import Retrying, retry_if_exception, stop_after_attempt

from include.delivery.account import grants_of_database, grants_of_schema
from include.delivery.account.declaration import configured_prefix
from include.warehouse.catalogue import databases

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

    from include.warehouse.connection import ConnectionSettings

PRODUCTION = "ANALYTICS"
STAGING = "ANALYTICS_STAGING"
SCHEMA = "DEPLOYMENT"
MARKER = f"{SCHEMA}.BUILD"
"""The table in each database that says which deployment has built it. It goes along in a swap."""

QUOTE = '"'
_LEFT_ALONE = ("INFORMATION_SCHEMA", "PUBLIC", SCHEMA)


@dataclass(frozen=True)
class Build:
    """What a database was built from.

    Attributes:
        deployment_id: the deployment that built it.
        sha: the commit.
        is_complete: whether all checks were passed.
    """

    deployment_id: str
    sha: str
    is_complete: bool


def build_of(cursor: SnowflakeCursor, database: str) -> Build | None:
    """What a database was built from; None if no deployment has built it, or it is not there."""
    if database not in databases(cursor) or SCHEMA not in _schemas(cursor, database):
        return None
    cursor.execute(
        f"select table_name from {database}.INFORMATION_SCHEMA.TABLES"
        f" where table_schema = '{SCHEMA}'"
    )
    if not cursor.fetchall():
        return None
    cursor.execute(f"select deployment_id, sha, is_complete from {database}.{MARKER}")
    row = cursor.fetchone()
    return Build(*row) if isinstance(row, tuple) else None


def mark(cursor: SnowflakeCursor, build: Build) -> None:
    """Say in the staging database what it is built from, in one step."""
    cursor.execute(f"create schema if not exists {STAGING}.{SCHEMA}")
    cursor.execute(
        f"create or replace table {STAGING}.{MARKER} as select %(id)s::varchar as deployment_id,"
        " %(sha)s::varchar as sha, %(complete)s::boolean as is_complete",
        {"id": build.deployment_id, "sha": build.sha, "complete": build.is_complete},
    )


def clone_production(cursor: SnowflakeCursor, settings: ConnectionSettings, build: Build) -> None:
    """Make the staging database a copy of production, without copying rows.

    Schema by schema: whoever deploys need not be allowed to make databases, and what readers were
    granted on the database stays.
    """
    if STAGING not in databases(cursor):
        # On an account the setup has made it, with the grants on it.
        cursor.execute(f"create database {STAGING}")
        if _has_roles(cursor, settings):
            for statement in grants_of_database(STAGING):
                cursor.execute(statement)
    mark(cursor, build)
    wanted = schemas_with_models(cursor, PRODUCTION)
    for schema in schemas_with_models(cursor, STAGING):
        if schema not in wanted:
            cursor.execute(f"drop schema {_name(STAGING, schema)}")
    for schema in wanted:
        cursor.execute(
            f"create or replace schema {_name(STAGING, schema)} clone {_name(PRODUCTION, schema)}"
        )
    grant(cursor, settings, STAGING)


def grant(cursor: SnowflakeCursor, settings: ConnectionSettings, database: str) -> None:
    """Give the readers of a database what they have in production, so that a swap takes none away.

    A schema made by cloning has the grants of what is in it, and none of its own.
    """
    if not _has_roles(cursor, settings):
        return
    for schema in schemas_with_models(cursor, database):
        for statement in grants_of_schema(database, schema):
            cursor.execute(statement)


def _has_roles(cursor: SnowflakeCursor, settings: ConnectionSettings) -> bool:
    """Whether there is anybody to grant something to; a rehearsal does without roles."""
    if not settings.is_rehearsal:
        return True
    cursor.execute(f"show roles like '{configured_prefix()}_REPORTER'")
    return bool(cursor.fetchall())


def schemas_with_models(cursor: SnowflakeCursor, database: str) -> list[str]:
    """The schemas of a database but for those that no model is in."""
    return [name for name in _schemas(cursor, database) if name not in _LEFT_ALONE]


def _schemas(cursor: SnowflakeCursor, database: str) -> list[str]:
    cursor.execute(f"show schemas in database {database}")
    names = [column.name.lower() for column in cursor.description]
    return sorted(str(row[names.index("name")]) for row in cursor.fetchall())


def relations(cursor: SnowflakeCursor, database: str) -> dict[tuple[str, str], bool]:
    """The tables and views of a database, by schema and name; True for those that store rows."""
    excluded = ", ".join(f"'{schema}'" for schema in _LEFT_ALONE)
    cursor.execute(
        "select table_schema, table_name, table_type = 'BASE TABLE'"
        f" from {database}.INFORMATION_SCHEMA.TABLES where table_schema not in ({excluded})"
    )
    return {(str(row[0]), str(row[1])): bool(row[2]) for row in cursor.fetchall()}


def in_public(cursor: SnowflakeCursor, database: str) -> list[str]:
    """The full names of what is in the schema PUBLIC; empty if the database does not exist."""
    if database not in databases(cursor):
        return []
    cursor.execute(
        f"select table_name from {database}.INFORMATION_SCHEMA.TABLES"
        " where table_schema = 'PUBLIC' order by table_name"
    )
    return [f"{database}.PUBLIC.{row[0]}" for row in cursor.fetchall()]


def state(cursor: SnowflakeCursor, database: str) -> dict[str, str]:
    """The last committed change of each table, by schema and name; an empty text for a view.

    A value is good only for comparison with another value of the same table. It stays with the
    table when the database changes its name. Statements without effect, comments, and Snowflake's
    own work in the background do not change it.
    """
    for attempt in Retrying(
        stop=stop_after_attempt(LOOKS), retry=retry_if_exception(_is_gone), reraise=True
    ):
        with attempt:
            there = relations(cursor, database)
            found = {name: "" for name, holds_rows in there.items() if not holds_rows}
            tables = sorted(there.keys() - found.keys())
            if tables:
                # The function takes constants only, so one query over the catalogue is not enough.
                each = ", ".join(["system$last_change_commit_time(%s)"] * len(tables))
                cursor.execute(f"select {each}", [_name(database, *one) for one in tables])
                [times] = cursor.fetchall()
                found |= {one: str(time) for one, time in zip(tables, times, strict=True)}
    return {".".join(name): time for name, time in found.items()}


LOOKS, OBJECT_IS_GONE = 5, 2003


def _is_gone(error: BaseException) -> bool:
    """Whether a table was dropped after it was read from the catalogue."""
    return isinstance(error, ProgrammingError) and error.errno == OBJECT_IS_GONE


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The tables that were written to, and the relations that were made or dropped, in between."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def count_rows(
    cursor: SnowflakeCursor, database: str, wanted: Iterable[tuple[str, str]]
) -> dict[str, int]:
    """Row counts of the given tables and views that exist, by schema and name as given.

    Args:
        cursor: of any session.
        database: the one that is looked into.
        wanted: schema and name of each, in upper case.
    """
    there = relations(cursor, database)
    counted = [one for one in wanted if one in there]
    if not counted:
        return {}
    cursor.execute(
        " union all ".join(f"select %s, count(*) from {_name(database, *one)}" for one in counted),
        [".".join(one) for one in counted],
    )
    return {str(row[0]): int(row[1]) for row in cursor.fetchall()}


def swap(cursor: SnowflakeCursor) -> None:
    """Let the two databases change names, with all that is in them and granted on them, at once."""
    cursor.execute(f"alter database {PRODUCTION} swap with {STAGING}")


def _name(*parts: str) -> str:
    return ".".join([parts[0], *(f'"{part.replace(QUOTE, 2 * QUOTE)}"' for part in parts[1:])])
