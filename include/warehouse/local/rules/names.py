"""Which object a name means: the session's schema, session-local tables, views' own references."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr, exp

if TYPE_CHECKING:
    from include.warehouse.local.session import Session, TableName

TEMPORARY_CATALOG = "temp"


def resolve(table: exp.Table, session: Session) -> TableName:
    """Database, schema and name of a table reference, as stored.

    Raises:
        ProgrammingError: the reference needs a current database or schema that is not set.
    """
    database = _stored(table.args.get("catalog")) or session.database
    schema = _stored(table.args.get("db")) or session.schema
    name = _stored(table.this) or table.name
    if not database:
        raise ProgrammingError(
            msg=f"Cannot resolve '{name}'. This session does not have a current database. Call "
            "'USE DATABASE', or use a qualified name.",
            errno=90105,
            sqlstate="22000",
        )
    if not schema:
        raise ProgrammingError(
            msg=f"Cannot resolve '{name}'. This session does not have a current schema. Call 'USE "
            "SCHEMA', or use a qualified name.",
            errno=90106,
            sqlstate="22000",
        )
    return database, schema, name


def _stored(identifier: Expr | None) -> str | None:
    if not isinstance(identifier, exp.Identifier):
        return None
    return identifier.name if identifier.args.get("quoted") else identifier.name.upper()


def schema_exists(session: Session, database: str, schema: str) -> bool:
    """Whether the database has the schema."""
    found = session.duck.execute(
        "SELECT 1 FROM duckdb_schemas() WHERE database_name = ? AND upper(schema_name) = ?",
        (database, schema.upper()),
    ).fetchone()
    return found is not None or schema.upper() == "INFORMATION_SCHEMA"


def stored_tables(expression: Expr) -> Iterator[exp.Table]:
    """References to tables and views, without those to common table expressions."""
    ctes = {cte.alias_or_name.upper() for cte in expression.find_all(exp.CTE)}
    for table in list(expression.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier):
            continue
        if not table.args.get("db") and table.name.upper() in ctes:
            continue
        yield table


def target(statement: Expr) -> exp.Table | None:
    """The table that a statement creates, changes or drops."""
    if isinstance(statement, exp.Drop | exp.TruncateTable):
        named = statement.args.get("tables") or statement.expressions
        this = named[0] if named else None
    else:
        this = statement.this
    if isinstance(this, exp.Schema):
        this = this.this
    return this if isinstance(this, exp.Table) and isinstance(this.this, exp.Identifier) else None


def point(table: exp.Table, name: TableName) -> None:
    """Make a reference name exactly this object."""
    database, schema, identifier = name
    table.set("catalog", exp.to_identifier(database, quoted=True))
    table.set("db", exp.to_identifier(schema, quoted=True))
    table.set("this", exp.to_identifier(identifier, quoted=True))


def temporary_tables(statement: Expr, session: Session) -> Expr:
    """Keep temporary tables and views in DuckDB's own temporary schema, under a full name.

    A temporary table is seen by its session alone, hides a stored one of the same name, and is
    gone when the session ends; DuckDB has one unnamed schema for them instead of every schema.
    """
    if isinstance(statement, exp.Create) and statement.find(exp.TemporaryProperty):
        table = target(statement)
        if table is not None and str(statement.kind).upper() in {"TABLE", "VIEW"}:
            full = resolve(table, session)
            session.temporary[full] = ".".join(full)
    elif not session.temporary:
        return statement
    for table in stored_tables(statement):
        try:
            full = resolve(table, session)
        except ProgrammingError:
            continue
        if full in session.temporary:
            if not table.alias and _is_source(table):
                table.set("alias", exp.TableAlias(this=exp.to_identifier(full[2], quoted=True)))
            point(table, (TEMPORARY_CATALOG, "main", session.temporary[full]))
    if isinstance(statement, exp.Drop) and (table := target(statement)) and table.catalog == "temp":
        session.temporary = {
            full: stored for full, stored in session.temporary.items() if stored != table.name
        }
    return statement


def _is_source(table: exp.Table) -> bool:
    return isinstance(table.parent, exp.From | exp.Join) or table.arg_key == "using"


def view_sources(statement: Expr, session: Session) -> Expr:
    """Bind a view to the schema that it was made in, not the one of each reader."""
    if isinstance(statement, exp.Create) and str(statement.kind).upper() == "VIEW":
        query = statement.expression
        for table in stored_tables(query) if query else ():
            if not table.args.get("catalog"):
                point(table, resolve(table, session))
    return statement


def recursive_queries(statement: Expr, session: Session) -> Expr:
    """Snowflake lets a common table expression name itself without the word RECURSIVE."""
    for clause in statement.find_all(exp.With):
        for cte in clause.expressions:
            if any(
                table.name.upper() == cte.alias.upper() and not table.args.get("db")
                for table in cte.this.find_all(exp.Table)
            ):
                clause.set("recursive", True)
    return statement


def session_variables(statement: Expr, session: Session) -> Expr:
    """Replace `$name` by the value that SET gave it; `$1` stays a column of a staged file."""
    for parameter in list(statement.find_all(exp.Parameter)):
        if isinstance(parameter.this, exp.Literal):
            continue
        name = parameter.name.upper()
        values = {key.upper(): value for key, value in session.variables._variables.items()}
        if name not in values:
            raise ProgrammingError(
                msg=f"SQL compilation error:\nSession variable '${name}' does not exist",
                errno=2211,
                sqlstate="02000",
            )
        parameter.replace(exp.maybe_parse(values[name], dialect="snowflake"))
    return statement
