"""Which databases, tables and views there are, for a session's role."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

DOES_NOT_EXIST = 2003
"""Snowflake's error number of a statement that names an object that is not there."""


def databases(cursor: SnowflakeCursor) -> set[str]:
    """All of them, in upper case."""
    cursor.execute("show databases")
    names = [column.name.lower() for column in cursor.description]
    return {str(row[names.index("name")]).upper() for row in cursor.fetchall()}


def existing(cursor: SnowflakeCursor, relations: Iterable[str]) -> set[str]:
    """Those of some tables and views that there are.

    A database that is not there, such as a share that nobody has imported, holds none.

    Args:
        cursor: of any session.
        relations: by database, schema and name, as the dbt project names them.

    Returns:
        The same in upper case.
    """
    wanted = {relation.upper() for relation in relations}
    found: set[str] = set()
    for database in sorted({relation.split(".")[0] for relation in wanted} & databases(cursor)):
        # Databases are named by the dbt project, not by a user.
        cursor.execute(
            f"select upper('{database}.' || table_schema || '.' || table_name)"  # noqa: S608
            f" from {database}.information_schema.tables"
        )
        found |= {str(row[0]) for row in cursor.fetchall()}
    return wanted & found
