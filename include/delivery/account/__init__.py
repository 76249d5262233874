"""What an account must have before Firn can use it: databases, roles, grants, warehouses, users.

`declaration` says what that is, `privileges` what each role may do by it, `plan` compares it with
an account and brings the account there. Locally the databases alone are needed.
"""

from __future__ import annotations

from include.delivery.account.declaration import (
    ARTIFACTS,
    DATABASES,
    META,
    SAMPLE,
    configured_prefix,
    database_grants,
    schema_grants,
)
from include.warehouse.connection import ConnectionSettings, connect

__all__ = ["DATABASES", "create_databases", "grants_of_database", "grants_of_schema"]


def create_databases(settings: ConnectionSettings) -> None:
    """Create each database unless it exists; in a local warehouse also the stage of artifacts."""
    names = DATABASES + ((SAMPLE,) if settings.is_local else ())
    with connect(settings=settings) as connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"create database if not exists {name}")
        if settings.is_local:
            cursor.execute(f"create schema if not exists {META}")
            cursor.execute(f"create stage if not exists {ARTIFACTS}")


def grants_of_database(database: str, prefix: str | None = None) -> list[str]:
    """The statements that give a database's readers what they may do in it and with it.

    For a database that was made anew by cloning: what was granted on the one it was cloned from
    does not come along.

    Args:
        database: one that the declaration knows.
        prefix: what the names of roles begin with; the configured one if not given.

    Raises:
        SetupError: the declaration does not know it.
    """
    grants = database_grants(database, prefix or configured_prefix())
    return [sql for grant in grants for sql in grant.statements()]


def grants_of_schema(database: str, schema: str, prefix: str | None = None) -> list[str]:
    """The statements that give a schema's readers what they may do in it.

    For a schema that was made anew by cloning; its owner may run them.

    Args:
        database: the one it is in, which the declaration knows.
        schema: its name.
        prefix: what the names of roles begin with; the configured one if not given.

    Raises:
        SetupError: the declaration does not know the database, or the name is none.
    """
    grants = schema_grants(database, schema, prefix or configured_prefix(), cloned=True)
    return [sql for grant in grants for sql in grant.statements()]
