"""Grants that a swap would take away, or bring back, as nobody has declared them.

Grants stay with what they are on. The database that becomes production has those of the
declaration: it was set up with them, and its schemas are made anew by each deployment. So what
somebody has granted by hand on production is gone after the swap, and what was granted by hand on
the other database comes to production with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.deployment.databases import PRODUCTION, STAGING, schemas_with_models
from include.warehouse.catalogue import databases
from include.warehouse.setup.declaration import Options, configured_prefix, declare
from include.warehouse.setup.plan import undeclared

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

Held = tuple[str, str, str, str]
"""Grantee, privilege, kind and full name of an object."""


def foreign(cursor: SnowflakeCursor) -> list[str]:
    """What is granted on the two databases and is not declared, a line each.

    Of the database that is built in, what is granted on itself: its schemas are replaced. Future
    grants of a schema are left out, as they go along when it is cloned, and so is ownership.

    Args:
        cursor: of a session whose role owns both databases.
    """
    held: set[Held] = set()
    future: set[Held] = set()
    for database in sorted({PRODUCTION, STAGING} & databases(cursor)):
        held |= _shown(cursor, f"show grants on database {database}")
        future |= _future(cursor, database)
    for schema in schemas_with_models(cursor, PRODUCTION):
        held |= _shown(cursor, f'show grants on schema {PRODUCTION}."{schema}"')
    held |= _on_objects(cursor)
    declaration = declare(Options(prefix=configured_prefix()))
    return undeclared(declaration, (one for one in held if one[1] != "OWNERSHIP"), future)


def _shown(cursor: SnowflakeCursor, statement: str) -> set[Held]:
    return {
        (
            _grantee(row["granted_to"], row["grantee_name"]),
            str(row["privilege"]).upper(),
            _kind(row["granted_on"]),
            str(row["name"]).upper(),
        )
        for row in _rows(cursor, statement)
    }


def _future(cursor: SnowflakeCursor, database: str) -> set[Held]:
    return {
        (
            _grantee(row["grant_to"], row["grantee_name"]),
            str(row["privilege"]).upper(),
            _kind(row["grant_on"]),
            # As in RAW.<TABLE>.
            str(row["name"]).upper().rpartition(".<")[0],
        )
        for row in _rows(cursor, f"show future grants in database {database}")
    }


def _on_objects(cursor: SnowflakeCursor) -> set[Held]:
    """On tables, views and whatever else is in a schema of production, with one statement."""
    rows = _rows(
        cursor,
        "select granted_to, grantee, object_schema, object_name, object_type, privilege_type"  # noqa: S608
        f" from {PRODUCTION}.INFORMATION_SCHEMA.OBJECT_PRIVILEGES"
        " where object_type not in ('DATABASE', 'SCHEMA')",
    )
    return {
        (
            _grantee(row["granted_to"], row["grantee"]),
            str(row["privilege_type"]).upper(),
            _kind(row["object_type"]),
            f"{PRODUCTION}.{row['object_schema']}.{row['object_name']}".upper(),
        )
        for row in rows
    }


def _rows(cursor: SnowflakeCursor, statement: str) -> list[dict[str, Any]]:
    cursor.execute(statement)
    columns = [column.name.lower() for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _grantee(kind: object, name: object) -> str:
    """A role by its name, as the declaration has it, anybody else with what it is."""
    of_kind, named = str(kind).replace("_", " "), str(name).upper()
    return named if of_kind.upper() == "ROLE" else f"{of_kind.lower()} {named}"


def _kind(shown: object) -> str:
    return str(shown).upper().replace("_", " ")
