"""The catalogue as Snowflake shows it: INFORMATION_SCHEMA, SHOW and DESCRIBE."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import duckdb
import sqlglot
from sqlglot import Expr, exp

from ..errors import no_container, not_found
from . import answers, names
from .answers import literal

if TYPE_CHECKING:
    from ..session import Session

INTEGERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
)
TIMES = "_firn.table_times"
PRIVILEGES = "_fs_object_privileges"
LAST_CHANGED = "coalesce(last_changed, epoch_ns(last_altered))"
"""Data of an earlier version has only the time of the last statement."""
VIEWS = "_firn.view_texts"
"""Views that name the database they are in, as they were written: DuckDB forgets that name."""
KEPT_BY_TABLE = tuple(
    (name, tuple(f"{prefix}{column}" for column in columns))
    for name, prefix, columns in (
        (TIMES, "", ("database_name", "schema_name", "table_name")),
        ("_firn.clustering", "", ("database_name", "schema_name", "table_name")),
        (VIEWS, "", ("database_name", "schema_name", "table_name")),
        (
            "_fs_information_schema._fs_columns_ext",
            "ext_",
            ("table_catalog", "table_schema", "table_name"),
        ),
        (
            "_fs_information_schema._fs_tables_ext",
            "ext_",
            ("table_catalog", "table_schema", "table_name"),
        ),
    )
)
"""Where something is remembered of a table, with the columns of its full name."""
FILES = "_fs_global._firn.database_files"
"""Which file a database has whose name is not that of its file."""
NOBODY = ""
"""Whose file is deleted when the server starts."""
TERSE = ("created_on", "name", "kind", "database_name", "schema_name")
MAXIMUM_TEXT = 16_777_216
HIDDEN_DATABASES = "('memory', 'system', 'temp', '_fs_global')"
HIDDEN_SCHEMAS = "('main', 'pg_catalog', '_fs_information_schema', 'information_schema')"

ACCOUNT_TABLES_SQL = f"""
CREATE SCHEMA IF NOT EXISTS _fs_global._firn;
CREATE TABLE IF NOT EXISTS _fs_global._firn.table_times (
    database_name VARCHAR, schema_name VARCHAR, table_name VARCHAR,
    created TIMESTAMPTZ, last_altered TIMESTAMPTZ, last_changed BIGINT
);
ALTER TABLE _fs_global._firn.table_times ADD COLUMN IF NOT EXISTS last_changed BIGINT;
CREATE TABLE IF NOT EXISTS _fs_global._firn.account_objects (
    kind VARCHAR, name VARCHAR, properties VARCHAR, comment VARCHAR, created TIMESTAMPTZ
);
CREATE TABLE IF NOT EXISTS _fs_global._firn.grants (
    grantee VARCHAR, privilege VARCHAR, object_kind VARCHAR, object_name VARCHAR,
    grant_option BOOLEAN, created TIMESTAMPTZ
);
CREATE TABLE IF NOT EXISTS _fs_global._firn.clustering (
    database_name VARCHAR, schema_name VARCHAR, table_name VARCHAR, expression VARCHAR
);
CREATE TABLE IF NOT EXISTS _fs_global.{VIEWS} (
    database_name VARCHAR, schema_name VARCHAR, table_name VARCHAR, text VARCHAR
);
CREATE TABLE IF NOT EXISTS {FILES} (name VARCHAR, stem VARCHAR);
CREATE OR REPLACE VIEW _fs_global._fs_information_schema._fs_columns AS
SELECT
    c.database_name AS TABLE_CATALOG,
    c.schema_name AS TABLE_SCHEMA,
    c.table_name AS TABLE_NAME,
    c.column_name AS COLUMN_NAME,
    c.column_index::BIGINT AS ORDINAL_POSITION,
    c.column_default AS COLUMN_DEFAULT,
    CASE WHEN c.is_nullable THEN 'YES' ELSE 'NO' END AS IS_NULLABLE,
    CASE
        WHEN starts_with(c.data_type, 'DECIMAL') OR c.data_type IN {INTEGERS} THEN 'NUMBER'
        WHEN c.data_type IN ('DOUBLE', 'FLOAT') THEN 'FLOAT'
        WHEN c.data_type = 'VARCHAR' THEN 'TEXT'
        WHEN c.data_type = 'BLOB' THEN 'BINARY'
        WHEN starts_with(c.data_type, 'TIMESTAMP WITH') THEN 'TIMESTAMP_TZ'
        WHEN starts_with(c.data_type, 'TIMESTAMP') THEN 'TIMESTAMP_NTZ'
        WHEN c.data_type = 'JSON' THEN 'VARIANT'
        WHEN c.data_type LIKE '%]' THEN 'ARRAY'
        WHEN c.data_type LIKE 'STRUCT%' OR c.data_type LIKE 'MAP%' THEN 'OBJECT'
        ELSE c.data_type
    END AS DATA_TYPE,
    ext.ext_character_maximum_length AS CHARACTER_MAXIMUM_LENGTH,
    ext.ext_character_octet_length AS CHARACTER_OCTET_LENGTH,
    CASE WHEN c.data_type IN {INTEGERS} THEN 38 WHEN starts_with(c.data_type, 'DECIMAL')
        THEN c.numeric_precision END::BIGINT AS NUMERIC_PRECISION,
    CASE WHEN c.data_type IN {INTEGERS} OR starts_with(c.data_type, 'DECIMAL')
        THEN 10 END::BIGINT AS NUMERIC_PRECISION_RADIX,
    CASE WHEN c.data_type IN {INTEGERS} THEN 0 WHEN starts_with(c.data_type, 'DECIMAL')
        THEN c.numeric_scale END::BIGINT AS NUMERIC_SCALE,
    NULL::VARCHAR AS COLLATION_NAME,
    'NO' AS IS_IDENTITY,
    NULL::VARCHAR AS IDENTITY_GENERATION,
    NULL::VARCHAR AS IDENTITY_CYCLE,
    c.comment AS COMMENT,
    NULL::VARCHAR AS IDENTITY_START,
    NULL::VARCHAR AS IDENTITY_INCREMENT,
    NULL::VARCHAR AS IDENTITY_ORDERED,
    NULL::VARCHAR AS DATA_TYPE_ALIAS
FROM duckdb_columns() AS c
LEFT JOIN _fs_global._fs_information_schema._fs_columns_ext AS ext
    ON ext.ext_table_catalog = c.database_name
    AND ext.ext_table_schema = c.schema_name
    AND ext.ext_table_name = c.table_name
    AND ext.ext_column_name = c.column_name
WHERE c.schema_name NOT IN {HIDDEN_SCHEMAS} AND c.database_name NOT IN {HIDDEN_DATABASES};
"""


def database_views_sql(database: str) -> str:
    """A database's INFORMATION_SCHEMA: tables and views with their last write, and privileges."""
    constants = """
    'NO' AS "IS_TRANSIENT", k.expression AS "CLUSTERING_KEY", o.row_count AS "ROW_COUNT",
    CASE WHEN o.row_count IS NOT NULL THEN 0 END AS "BYTES", 1 AS "RETENTION_TIME",
    NULL::VARCHAR AS "SELF_REFERENCING_COLUMN_NAME", NULL::VARCHAR AS "REFERENCE_GENERATION",
    NULL::VARCHAR AS "USER_DEFINED_TYPE_CATALOG", NULL::VARCHAR AS "USER_DEFINED_TYPE_SCHEMA",
    NULL::VARCHAR AS "USER_DEFINED_TYPE_NAME", 'YES' AS "IS_INSERTABLE_INTO", 'YES' AS "IS_TYPED",
    NULL::VARCHAR AS "COMMIT_ACTION", coalesce(t.created, to_timestamp(0)) AS "CREATED",
    coalesce(t.last_altered, to_timestamp(0)) AS "LAST_ALTERED",
    coalesce(t.created, to_timestamp(0)) AS "LAST_DDL", 'ACCOUNTADMIN' AS "LAST_DDL_BY",
    CASE WHEN k.expression IS NULL THEN 'NO' ELSE 'YES' END AS "AUTO_CLUSTERING_ON",
    e.comment AS "COMMENT", 'NO' AS "IS_TEMPORARY", 'NO' AS "IS_ICEBERG",
    'NO' AS "IS_DYNAMIC", 'NO' AS "IS_IMMUTABLE", 'NO' AS "IS_HYBRID"
    """
    return f"""
CREATE OR REPLACE VIEW {answers.identifier(database)}._fs_information_schema._fs_tables AS
SELECT
    o.database_name AS "TABLE_CATALOG", o.schema_name AS "TABLE_SCHEMA", o.name AS "TABLE_NAME",
    'ACCOUNTADMIN' AS "TABLE_OWNER", o.table_type AS "TABLE_TYPE", {constants}
FROM (
    SELECT database_name, schema_name, table_name AS name, 'BASE TABLE' AS table_type,
        estimated_size AS row_count
    FROM duckdb_tables()
    UNION ALL
    SELECT database_name, schema_name, view_name, 'VIEW', NULL
    FROM duckdb_views() WHERE NOT internal
) AS o
LEFT JOIN _fs_global._firn.table_times AS t
    ON t.database_name = o.database_name AND t.schema_name = o.schema_name
        AND t.table_name = o.name
LEFT JOIN _fs_global._firn.clustering AS k
    ON k.database_name = o.database_name AND k.schema_name = o.schema_name
        AND k.table_name = o.name
LEFT JOIN _fs_global._fs_information_schema._fs_tables_ext AS e
    ON e.ext_table_catalog = o.database_name AND e.ext_table_schema = o.schema_name
    AND e.ext_table_name = o.name
WHERE o.database_name = {literal(database)} AND o.schema_name NOT IN {HIDDEN_SCHEMAS};
CREATE OR REPLACE VIEW {answers.identifier(database)}._fs_information_schema.{PRIVILEGES} AS
SELECT
    'ACCOUNTADMIN' AS "GRANTOR", regexp_extract(grantee, '[^ ]*$') AS "GRANTEE",
    regexp_replace(grantee, ' [^ ]*$', '') AS "GRANTED_TO", {literal(database)} AS "OBJECT_CATALOG",
    nullif(split_part(object_name, '.', 2), '') AS "OBJECT_SCHEMA",
    split_part(object_name, '.', -1) AS "OBJECT_NAME", object_kind AS "OBJECT_TYPE",
    privilege AS "PRIVILEGE_TYPE",
    CASE WHEN grant_option THEN 'YES' ELSE 'NO' END AS "IS_GRANTABLE",
    created AS "CREATED"
FROM _fs_global._firn.grants
WHERE split_part(object_name, '.', 1) = {literal(database.upper())}
    AND object_kind IN ('DATABASE', 'SCHEMA', 'TABLE', 'VIEW', 'STAGE', 'FILE FORMAT', 'SEQUENCE');
"""


def object_privileges(statement: Expr, session: Session) -> Expr:
    """INFORMATION_SCHEMA.OBJECT_PRIVILEGES: the grants in a database."""
    for table in statement.find_all(exp.Table):
        if (table.db.upper(), table.name.upper()) == ("INFORMATION_SCHEMA", "OBJECT_PRIVILEGES"):
            table.set("db", exp.to_identifier("_fs_information_schema"))
            table.set("this", exp.to_identifier(PRIVILEGES))
    return statement


def record_writes(
    connection: duckdb.DuckDBPyConnection,
    tables: Iterable[tuple[str, str, str]],
    changed: Collection[tuple[str, str, str]],
) -> None:
    """Record the present moment as the time at which the tables were last written or made.

    Args:
        connection: a connection to the account's database.
        tables: the tables that a statement wrote to or defined.
        changed: those of them whose rows have changed.
    """
    for table in tables:
        updated = connection.execute(
            "UPDATE _fs_global._firn.table_times SET last_altered = now(), last_changed = "
            f"CASE WHEN ? THEN greatest(epoch_ns(now()), {LAST_CHANGED} + 1) ELSE last_changed END "
            "WHERE database_name = ? AND schema_name = ? AND table_name = ?",
            (table in changed, *table),
        ).fetchone()
        if not updated or not updated[0]:
            connection.execute(
                "INSERT INTO _fs_global._firn.table_times "
                "VALUES (?, ?, ?, now(), now(), epoch_ns(now()))",
                table,
            )


def last_change(connection: duckdb.DuckDBPyConnection, table: tuple[str, str, str]) -> int | None:
    """When the rows of a table were last changed, in nanoseconds; None if nothing is known."""
    found = connection.execute(
        f"SELECT {LAST_CHANGED} FROM _fs_global._firn.table_times "
        "WHERE database_name = ? AND schema_name = ? AND table_name = ?",
        table,
    ).fetchone()
    return found[0] if found else None


def forget_table(connection: duckdb.DuckDBPyConnection, table: tuple[str, str, str]) -> None:
    """Drop what is remembered of a table besides its data; `created` starts anew."""
    for name, columns in KEPT_BY_TABLE:
        condition = " AND ".join(f"{column} = ?" for column in columns)
        connection.execute(f"DELETE FROM _fs_global.{name} WHERE {condition}", table)


def forget_container(connection: duckdb.DuckDBPyConnection, place: tuple[str, ...]) -> None:
    """Drop what is remembered of all tables of a database, or of a schema of it."""
    for name, columns in KEPT_BY_TABLE:
        condition = " AND ".join(f"{column} = ?" for column in columns[: len(place)])
        connection.execute(f"DELETE FROM _fs_global.{name} WHERE {condition}", place)


def rename_table(
    connection: duckdb.DuckDBPyConnection, old: tuple[str, str, str], new: tuple[str, str, str]
) -> None:
    """Move what is remembered of a table to its new name."""
    for name, columns in KEPT_BY_TABLE:
        condition = " AND ".join(f"{column} = ?" for column in columns)
        new_values = ", ".join(f"{column} = ?" for column in columns)
        connection.execute(
            f"UPDATE _fs_global.{name} SET {new_values} WHERE {condition}", (*new, *old)
        )


def copy_schema_notes(
    connection: duckdb.DuckDBPyConnection, of: tuple[str, str], to: tuple[str, str]
) -> None:
    """Let the tables of a cloned schema have what is remembered of the originals, but for times."""
    _copy_notes(connection, of, to)


def copy_database_notes(connection: duckdb.DuckDBPyConnection, of: str, to: str) -> None:
    """The same for a cloned database."""
    _copy_notes(connection, (of,), (to,))


def _copy_notes(
    connection: duckdb.DuckDBPyConnection, of: tuple[str, ...], to: tuple[str, ...]
) -> None:
    for name, columns in KEPT_BY_TABLE:
        around = columns[: len(of)]
        condition = " AND ".join(f"{column} = ?" for column in around)
        connection.execute(f"DELETE FROM _fs_global.{name} WHERE {condition}", to)
        moved = {column: f"? AS {column}" for column in around}
        if name == TIMES:
            moved |= {column: f"now() AS {column}" for column in ("created", "last_altered")}
            moved["last_changed"] = "epoch_ns(now()) AS last_changed"
        connection.execute(
            f"INSERT INTO _fs_global.{name} BY NAME "
            f"SELECT * REPLACE ({', '.join(moved.values())}) FROM _fs_global.{name} "
            f"WHERE {condition}",
            (*to, *of),
        )


def restore_views(known: duckdb.DuckDBPyConnection, connection: duckdb.DuckDBPyConnection) -> None:
    """Let views that name a database read from what has that name now.

    One whose tables are not there is dropped: on Snowflake it would be there and could not be read.
    `known` may have a transaction open that moves what is kept of views.
    """
    for *name, text in known.execute(f"FROM _fs_global.{VIEWS}").fetchall():
        view = sqlglot.parse_one(text, read="duckdb")
        target = view.find(exp.Table)
        if target is None or not _has_schema(connection, *name[:2]):
            continue
        names.point(target, (name[0], name[1], name[2]))
        try:
            connection.execute(view.sql(dialect="duckdb"))
        except duckdb.Error:
            connection.execute(f"DROP VIEW IF EXISTS {target.sql(dialect='duckdb')}")


def _has_schema(connection: duckdb.DuckDBPyConnection, database: str, schema: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?",
        (database, schema),
    ).fetchone()
    return found is not None


def swap_databases(
    connection: duckdb.DuckDBPyConnection,
    one: str,
    other: str,
    file_of_one: str,
    file_of_other: str,
) -> None:
    """Let two databases change names in all that is kept of them, and in which file is whose."""
    connection.execute(f"DELETE FROM {FILES} WHERE name IN (?, ?)", (one, other))
    for name, stem in ((one, file_of_other), (other, file_of_one)):
        if stem != name:
            connection.execute(f"INSERT INTO {FILES} VALUES (?, ?)", (name, stem))
    for table, (database, *_) in KEPT_BY_TABLE:
        connection.execute(
            f"UPDATE _fs_global.{table} SET {database} = CASE {database} WHEN ? THEN ? ELSE ? END "
            f"WHERE {database} IN (?, ?)",
            (one, other, one, one, other),
        )
    connection.execute(
        "UPDATE _fs_global._firn.account_objects SET name = CASE name WHEN ? THEN ? ELSE ? END "
        "WHERE kind = 'DATABASE' AND name IN (?, ?)",
        (one, other, one, one, other),
    )
    connection.execute(
        "UPDATE _fs_global._firn.grants SET object_name = "
        "CASE split_part(object_name, '.', 1) WHEN $one THEN $other ELSE $one END "
        "|| substr(object_name, length(split_part(object_name, '.', 1)) + 1) "
        "WHERE split_part(object_name, '.', 1) IN ($one, $other) "
        "AND object_kind NOT IN ('ROLE', 'USER', 'WAREHOUSE', 'RESOURCE MONITOR', 'INTEGRATION')",
        {"one": one.upper(), "other": other.upper()},
    )


def show(statement: Expr, session: Session) -> str | None:
    """SHOW OBJECTS, TABLES, VIEWS, SCHEMAS, DATABASES with every filter that the clients use."""
    if not isinstance(statement, exp.Show):
        return None
    kind = statement.name.upper()
    if kind == "DATABASES":
        source = _databases(session)
    elif kind == "SCHEMAS":
        source = _schemas(session)
    elif kind in {"OBJECTS", "TABLES", "VIEWS"}:
        source = _objects(kind)
    else:
        return None
    conditions = _scope(statement, session, kind)
    if isinstance(like := statement.args.get("like"), Expr):
        conditions.append(f"name ILIKE {literal(like.name)}")
    if isinstance(prefix := statement.args.get("starts_with"), Expr):
        conditions.append(f"starts_with(name, {literal(prefix.name)})")
    if isinstance(start := statement.args.get("from_"), Expr):
        conditions.append(f"name > {literal(start.name)}")
    limit = statement.args.get("limit")
    limited = limit.sql() if isinstance(limit, Expr) else ""
    chosen = ", ".join(f'"{column}"' for column in TERSE) if statement.args.get("terse") else "*"
    return (
        f"SELECT {chosen} FROM ({source}) WHERE {' AND '.join(conditions)} "
        f"ORDER BY database_name, schema_name, name {limited}"
    )


def _scope(statement: exp.Show, session: Session, kind: str) -> list[str]:
    scope = statement.args.get("scope_kind")
    table = statement.find(exp.Table)
    parts = (
        [part.name if part.args.get("quoted") else part.name.upper() for part in table.parts]
        if table
        else []
    )
    conditions = ["true"]
    if kind == "DATABASES" or scope == "ACCOUNT":
        return conditions
    if kind == "SCHEMAS":
        database = parts[-1] if parts else session.database
        return [*conditions, f"database_name = {literal(database)}"] if database else conditions
    if scope == "DATABASE":
        return [*conditions, f"database_name = {literal(parts[-1] if parts else session.database)}"]
    database = parts[-2] if len(parts) > 1 else session.database
    schema = parts[-1] if parts else session.schema
    if database:
        conditions.append(f"database_name = {literal(database)}")
        if database not in _database_names(session):
            raise no_container()
    if schema:
        conditions.append(f"schema_name = {literal(schema)}")
        if parts and not names.schema_exists(session, str(database), schema):
            raise no_container()
    return conditions


def _database_names(session: Session) -> set[str]:
    rows = session.duck.execute("SELECT database_name FROM duckdb_databases()").fetchall()
    return {row[0] for row in rows}


def _databases(session: Session) -> str:
    return f"""
    SELECT now() AS created_on, database_name AS name, 'N' AS is_default,
        CASE WHEN database_name = {literal(session.database)} THEN 'Y' ELSE 'N' END AS is_current,
        '' AS origin, 'ACCOUNTADMIN' AS owner, coalesce(comment, '') AS comment, '' AS options,
        coalesce((
            SELECT json_extract_string(o.properties, '$.data_retention_time_in_days')
            FROM _fs_global._firn.account_objects AS o
            WHERE o.kind = 'DATABASE' AND o.name = database_name
        ), '1') AS retention_time,
        'STANDARD' AS kind, '' AS database_name, '' AS schema_name
    FROM duckdb_databases() WHERE database_name NOT IN {HIDDEN_DATABASES}
    """


def _schemas(session: Session) -> str:
    return f"""
    SELECT now() AS created_on, schema_name AS name, 'N' AS is_default,
        CASE WHEN schema_name = {literal(session.schema)} THEN 'Y' ELSE 'N' END AS is_current,
        database_name, '' AS schema_name, 'ACCOUNTADMIN' AS owner, coalesce(comment, '') AS comment,
        '' AS options, '1' AS retention_time, NULL::VARCHAR AS kind
    FROM (
        SELECT database_name, schema_name, comment FROM duckdb_schemas()
        WHERE schema_name NOT IN {HIDDEN_SCHEMAS}
        UNION ALL
        SELECT database_name, 'INFORMATION_SCHEMA', NULL FROM duckdb_databases()
    ) WHERE database_name NOT IN {HIDDEN_DATABASES}
    """


def _objects(kind: str) -> str:
    columns = """
        coalesce(t.created, now()) AS created_on, o.name, o.kind, o.database_name, o.schema_name,
        coalesce(e.comment, '') AS comment, coalesce(k.expression, '') AS cluster_by,
        o.row_count AS rows, o.row_count * 0 AS bytes, 'ACCOUNTADMIN' AS owner,
        '1' AS retention_time, 'ROLE' AS owner_role_type, o.text, 'N' AS is_secure,
        'N' AS is_materialized, 'OFF' AS change_tracking, 'N' AS is_dynamic, 'N' AS is_iceberg,
        'N' AS is_hybrid, 'N' AS is_external,
        CASE WHEN k.expression IS NULL THEN 'OFF' ELSE 'ON' END AS automatic_clustering
    """
    tables = (
        "SELECT database_name, schema_name, table_name AS name, 'TABLE' AS kind, "
        "estimated_size AS row_count, NULL::VARCHAR AS text FROM duckdb_tables()"
    )
    views = (
        "SELECT database_name, schema_name, view_name AS name, 'VIEW' AS kind, "
        "0::BIGINT AS row_count, sql AS text FROM duckdb_views() WHERE NOT internal"
    )
    source = {"TABLES": tables, "VIEWS": views, "OBJECTS": f"{tables} UNION ALL {views}"}[kind]
    return f"""
    SELECT {columns} FROM ({source}) AS o
    LEFT JOIN _fs_global._firn.table_times AS t
        ON t.database_name = o.database_name AND t.schema_name = o.schema_name
        AND t.table_name = o.name
    LEFT JOIN _fs_global._firn.clustering AS k
        ON k.database_name = o.database_name AND k.schema_name = o.schema_name
        AND k.table_name = o.name
    LEFT JOIN _fs_global._fs_information_schema._fs_tables_ext AS e
        ON e.ext_table_catalog = o.database_name AND e.ext_table_schema = o.schema_name
        AND e.ext_table_name = o.name
    WHERE o.database_name NOT IN {HIDDEN_DATABASES} AND o.schema_name NOT IN {HIDDEN_SCHEMAS}
    """


def describe(statement: Expr, session: Session) -> str | None:
    """DESCRIBE TABLE and VIEW, of session-local tables too, with lengths and comments."""
    if not isinstance(statement, exp.Describe):
        return None
    if not isinstance(table := statement.this, exp.Table) or isinstance(table.this, exp.Func):
        return None
    database, schema, name = names.resolve(table, session)
    if schema == "INFORMATION_SCHEMA":
        return None
    if temporary := session.temporary.get((database, schema, name)):
        database, schema, name = "temp", "main", temporary
    rows = session.duck.execute(
        "SELECT c.column_name, c.data_type, c.is_nullable, c.column_default, c.comment, "
        "e.ext_character_maximum_length FROM duckdb_columns() AS c "
        "LEFT JOIN _fs_global._fs_information_schema._fs_columns_ext AS e "
        "ON e.ext_table_catalog = c.database_name AND e.ext_table_schema = c.schema_name "
        "AND e.ext_table_name = c.table_name AND e.ext_column_name = c.column_name "
        "WHERE c.database_name = ? AND c.schema_name = ? AND c.table_name = ? "
        "ORDER BY c.column_index",
        (database, schema, name),
    ).fetchall()
    if not rows:
        raise not_found("Table", f"{database}.{schema}.{name}")
    columns = (
        "name", "type", "kind", "null?", "default", "primary key", "unique key", "check",
        "expression", "comment", "policy name", "privacy domain",
    )  # fmt: skip
    return answers.table(
        columns,
        [
            (
                column,
                snowflake_type(kind, length),
                "COLUMN",
                "Y" if nullable else "N",
                default,
                "N",
                "N",
                None,
                None,
                comment,
                None,
                None,
            )
            for column, kind, nullable, default, comment, length in rows
        ],
    )


def snowflake_type(duckdb_type: str, length: int | None = None) -> str:
    """Snowflake's name of a DuckDB column type, as DESCRIBE TABLE prints it."""
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duckdb_type):
        return f"NUMBER({match[1]},{match[2]})"
    if duckdb_type in INTEGERS:
        return "NUMBER(38,0)"
    if nested := nested_type(duckdb_type):
        return nested
    if duckdb_type == "VARCHAR":
        return f"VARCHAR({length or MAXIMUM_TEXT})"
    if duckdb_type.startswith("TIMESTAMP WITH"):
        return "TIMESTAMP_TZ(9)"
    if duckdb_type.startswith("TIMESTAMP"):
        return "TIMESTAMP_NTZ(9)"
    return {
        "DOUBLE": "FLOAT",
        "FLOAT": "FLOAT",
        "TIME": "TIME(9)",
        "BLOB": "BINARY(8388608)",
        "JSON": "VARIANT",
        '"NULL"': f"VARCHAR({MAXIMUM_TEXT})",
    }.get(duckdb_type, duckdb_type)


def nested_type(duckdb_type: str) -> str | None:
    """ARRAY or OBJECT for DuckDB's types that hold others, None for plain ones."""
    if duckdb_type.endswith("]"):
        return "ARRAY"
    return "OBJECT" if duckdb_type.startswith(("STRUCT", "MAP")) else None
