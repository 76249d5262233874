"""The two databases: what they hold, how one becomes the other's copy, how they change names."""

# ruff: noqa: S608 - databases are named here, schemas and tables come from the catalogue, quoted.
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.warehouse.catalogue import databases
from include.warehouse.setup import grants_of_database, grants_of_schema
from include.warehouse.setup.declaration import configured_prefix

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

    from include.warehouse.connection import ConnectionSettings

PRODUCTION = "ANALYTICS"
STAGING = "ANALYTICS_STAGING"
SCHEMA = "DEPLOYMENT"
MARKER = f"{SCHEMA}.BUILD"
"""The table in each database that says which deployment has built it. It goes along in a swap."""

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


def state(cursor: SnowflakeCursor, database: str) -> dict[str, str]:
    """When each table and view was last changed, by schema and name."""
    excluded = ", ".join(f"'{schema}'" for schema in _LEFT_ALONE)
    cursor.execute(
        "select table_schema || '.' || table_name, to_varchar(last_altered, "
        f"'YYYY-MM-DD HH24:MI:SS.FF6') from {database}.INFORMATION_SCHEMA.TABLES"
        f" where table_schema not in ({excluded})"
    )
    return {str(row[0]): str(row[1]) for row in cursor.fetchall()}


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The relations that were written, made or dropped in between."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def count_rows(
    cursor: SnowflakeCursor, database: str, relations: Iterable[tuple[str, str]]
) -> dict[str, int]:
    """The rows of some tables and views, by schema and name as they are given, of those there are.

    Args:
        cursor: of any session.
        database: the one that is looked into.
        relations: schema and name of each, in upper case.
    """
    there = state(cursor, database)
    wanted = [f"{schema}.{name}" for schema, name in relations if f"{schema}.{name}" in there]
    if not wanted:
        return {}
    cursor.execute(
        " union all ".join(
            f"select '{one}', count(*) from {_name(database, *one.split('.'))}" for one in wanted
        )
    )
    return {str(row[0]): int(row[1]) for row in cursor.fetchall()}


def swap(cursor: SnowflakeCursor) -> None:
    """Let the two databases change names, with all that is in them and granted on them, at once."""
    cursor.execute(f"alter database {PRODUCTION} swap with {STAGING}")


def _name(*parts: str) -> str:
    return ".".join([parts[0], *(f'"{part}"' for part in parts[1:])])
