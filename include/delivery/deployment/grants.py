"""Undeclared grants that a swap would take away from production, or bring to it.

A grant stays with its object in a swap. The database that becomes production has the declared
grants: the setup gave them to it, and each deployment makes its schemas anew. So what somebody has
granted by hand on production is gone after the swap. What was granted by hand on the other database
comes to production with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.delivery.account.declaration import Options, configured_prefix, declare
from include.delivery.account.plan import undeclared
from include.delivery.deployment.databases import PRODUCTION, STAGING, schemas_with_models
from include.warehouse.catalogue import databases

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

Held = tuple[str, str, str, str]
"""Grantee, privilege, kind and full name of an object."""


def foreign(cursor: SnowflakeCursor) -> list[str]:
    """The grants on the two databases that are not declared, one line each.

    For the staging database only grants on the database itself count, because its schemas are
    replaced. Future grants of a schema are left out, because a clone of the schema has them too.
    Ownership is left out as well.

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
    """The grants on all objects in production's schemas, such as tables; in one statement."""
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
    """The name of a role, as in the declaration; any other grantee's name after its kind."""
    of_kind, named = str(kind).replace("_", " "), str(name).upper()
    return named if of_kind.upper() == "ROLE" else f"{of_kind.lower()} {named}"


def _kind(shown: object) -> str:
    return str(shown).upper().replace("_", " ")
