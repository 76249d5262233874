"""Which object a name means: the session's schema, session-local tables, views' own references."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr, exp

if TYPE_CHECKING:
    from ..session import Session, TableName

TEMPORARY_CATALOG = "temp"
RESULT = "_firn_result_"


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
    for table in list(expression.find_all(exp.Table)):
        if isinstance(table.this, exp.Identifier) and not _is_cte(table):
            yield table


def _is_cte(table: exp.Table) -> bool:
    """Whether a common table expression of that name is in scope; later ones are not."""
    if table.args.get("db"):
        return False
    inner: Expr = table
    while (outer := inner.parent) is not None:
        clause = outer.args.get("with_") if outer.arg_types.get("with_") is not None else None
        if isinstance(clause, exp.With):
            visible = clause.expressions
            if inner is clause:
                own = next(cte for cte in visible if cte is _child_of(table, clause))
                visible = visible[: visible.index(own) + (1 if clause.args.get("recursive") else 0)]
            if any(cte.alias.upper() == table.name.upper() for cte in visible):
                return True
        inner = outer
    return False


def _child_of(node: Expr, ancestor: Expr) -> Expr:
    while node.parent is not None and node.parent is not ancestor:
        node = node.parent
    return node


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
    made = target(statement) if isinstance(statement, exp.Create) else None
    if made is not None and str(statement.args.get("kind")).upper() not in {"TABLE", "VIEW"}:
        made = None
    is_temporary = made is not None and statement.find(exp.TemporaryProperty) is not None
    if made is not None and is_temporary:
        full = resolve(made, session)
        session.temporary[full] = ".".join(full)
    elif not session.temporary:
        return statement
    for table in stored_tables(statement):
        if table is made and not is_temporary:
            continue
        try:
            full = resolve(table, session)
        except ProgrammingError:
            continue
        if full in session.temporary:
            _shorten_columns(statement, full)
            if not table.alias and _may_have_alias(table):
                table.set("alias", exp.TableAlias(this=exp.to_identifier(full[2], quoted=True)))
            point(table, (TEMPORARY_CATALOG, "main", session.temporary[full]))
    if isinstance(statement, exp.Drop) and (gone := target(statement)) and gone.catalog == "temp":
        session.temporary = {
            full: stored for full, stored in session.temporary.items() if stored != gone.name
        }
    return statement


def _may_have_alias(table: exp.Table) -> bool:
    changed = isinstance(table.parent, exp.Update | exp.Delete | exp.Merge)
    return changed or isinstance(table.parent, exp.From | exp.Join) or table.arg_key == "using"


def _shorten_columns(statement: Expr, table: TableName) -> None:
    """`schema.table.column` as `table.column`: a temporary table has no schema of the client's."""
    for column in statement.find_all(exp.Column):
        if column.args.get("db") and column.table.upper() == table[2].upper():
            column.set("db", None)
            column.set("catalog", None)


def qualified(statement: Expr, session: Session) -> Expr:
    """Write every name in full, as Snowflake's current schema has it.

    DuckDB looks further than that: views would read from the schema of each reader, and its own
    catalogue would be found under plain names.
    """
    kind = str(statement.args.get("kind") or "").upper()
    if kind in {"DATABASE", "SCHEMA"}:
        return statement
    if kind == "VIEW" and isinstance(statement, exp.Create):
        _names_in_a_view(statement, session)
    for table in stored_tables(statement):
        if table.meta.get("stays"):
            continue
        if not table.args.get("catalog") and (session.schema or table.args.get("db")):
            point(table, resolve(table, session))
    return statement


def _names_in_a_view(statement: exp.Create, session: Session) -> None:
    """What a view names without a database or a schema is looked up where the view is.

    Without a database it stays, so that the view reads from wherever it is by then: in a clone, or
    under another name after a swap. DuckDB does the same.
    """
    view = target(statement)
    if view is None or statement.find(exp.TemporaryProperty):
        return
    database, schema, _ = resolve(view, session)
    for table in stored_tables(statement):
        if table is view or table.args.get("catalog"):
            continue
        around = _stored(table.args.get("db")) or schema
        if (database, around, _stored(table.this)) in session.temporary:
            continue
        if around == "INFORMATION_SCHEMA":
            table.set("catalog", exp.to_identifier(database, quoted=True))
            continue
        table.set("db", exp.to_identifier(around, quoted=True))
        table.set("this", exp.to_identifier(_stored(table.this), quoted=True))
        table.meta["stays"] = True


def column_names(statement: Expr, session: Session) -> Expr:
    """A result column without an alias is named by its own text, in upper case."""
    query = statement.expression if isinstance(statement, exp.Create) else statement
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if isinstance(query, exp.Select):
        for column in query.expressions:
            if isinstance(
                column, exp.Func | exp.Binary | exp.Cast | exp.Case | exp.Paren | exp.Neg
            ):
                name = column.sql(dialect="snowflake", normalize_functions=False).upper()
                column.replace(exp.alias_(column.copy(), name, quoted=True))
    return statement


def unqualified_targets(statement: Expr, session: Session) -> Expr:
    """Columns that are set or inserted stand without their table's name in DuckDB."""
    for changed in statement.find_all(exp.Update):
        for assignment in changed.expressions:
            if isinstance(assignment, exp.EQ) and isinstance(assignment.this, exp.Column):
                assignment.this.set("table", None)
                assignment.this.set("db", None)
                assignment.this.set("catalog", None)
    if isinstance(statement, exp.Merge):
        for when in statement.find_all(exp.When):
            inserted = when.args.get("then")
            columns = inserted.this if isinstance(inserted, exp.Insert) else None
            for column in columns.expressions if isinstance(columns, exp.Tuple) else ():
                if isinstance(column, exp.Column):
                    column.set("table", None)
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


def earlier_results(statement: Expr, session: Session) -> Expr:
    """TABLE(RESULT_SCAN(id)): the result of an earlier statement as a table of the query."""
    for rows in list(statement.find_all(exp.TableFromRows)):
        call = rows.this
        if not isinstance(call, exp.Anonymous) or call.name.upper() != "RESULT_SCAN":
            continue
        query_id = call.expressions[0].name if call.expressions else ""
        kept = session.results_cache.get(query_id)
        if kept is None:
            raise ProgrammingError(
                msg=f"SQL compilation error:\nStatement {query_id} not found", errno=709
            )
        _forget_old_results(session)
        session.duck.register(RESULT + query_id, kept[0])
        table = exp.Table()
        point(table, (TEMPORARY_CATALOG, "main", RESULT + query_id))
        if alias := rows.args.get("alias"):
            table.set("alias", alias.copy())
        rows.replace(table)
    return statement


def _forget_old_results(session: Session) -> None:
    registered = session.duck.execute(
        "SELECT view_name FROM duckdb_views() WHERE temporary AND starts_with(view_name, ?)",
        (RESULT,),
    ).fetchall()
    for (name,) in registered:
        if name.removeprefix(RESULT) not in session.results_cache:
            session.duck.unregister(name)
