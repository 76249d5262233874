"""DDL that DuckDB has no words for: clones, swaps, comments, contracts, databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

import sqlglot
from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr, exp

from ..errors import cancelled, compilation_error, not_found, unsupported
from . import account, answers, metadata, names, staging
from .answers import identifier, literal
from .session_state import command_tokens

if TYPE_CHECKING:
    from ..session import Session, TableName

Action = Callable[[], str]
"""Does the work in DuckDB and gives the query for the statement's result."""


def _sql_name(name: TableName) -> str:
    return ".".join(identifier(part) for part in name)


def _stored(name: TableName, session: Session) -> TableName:
    temporary = session.temporary.get(name)
    return ("temp", "main", temporary) if temporary else name


def swap(statement: Expr, session: Session) -> tuple[Action, list[TableName]] | None:
    """ALTER TABLE … SWAP WITH …: both names change places at once."""
    if not isinstance(statement, exp.Alter):
        return None
    actions = statement.args.get("actions") or []
    if not actions or not isinstance(actions[0], exp.SwapTable):
        return None
    one = names.resolve(statement.this, session)
    other = names.resolve(actions[0].this, session)

    def run() -> str:
        spare = (one[0], one[1], f"_firn_swap_{one[2]}")
        with session.atomic():
            for source, target in ((one, spare), (other, one), (spare, other)):
                if source[:2] == target[:2]:
                    session.duck.execute(
                        f"ALTER TABLE {_sql_name(source)} RENAME TO {identifier(target[2])}"
                    )
                else:
                    _copy_table(session, source, target)
                    session.duck.execute(f"DROP TABLE {_sql_name(source)}")
        for source, target in ((one, spare), (other, one), (spare, other)):
            move_notes(source, target, session)
        return answers.SUCCESS

    return run, [one, other]


def clone(statement: Expr, session: Session) -> tuple[Action, list[TableName]] | None:
    """CREATE TABLE, SCHEMA or DATABASE … CLONE …, as a copy."""
    if not isinstance(statement, exp.Create) or not (found := statement.args.get("clone")):
        return None
    kind = str(statement.kind).upper()
    target, source = statement.this, found.this
    replace = bool(statement.args.get("replace"))
    if kind == "TABLE":
        to, of = names.resolve(target, session), names.resolve(source, session)

        def run_table() -> str:
            source_name = _stored(of, session)
            with session.atomic():
                if replace:
                    spare = (to[0], to[1], f"_firn_new_{to[2]}")
                    _copy_table(session, source_name, spare)
                    session.duck.execute(f"DROP TABLE IF EXISTS {_sql_name(to)}")
                    session.duck.execute(
                        f"ALTER TABLE {_sql_name(spare)} RENAME TO {identifier(to[2])}"
                    )
                else:
                    _copy_table(session, source_name, to)
            _copy_lengths(session, of, to)
            session.store.record_writes([to], [to])
            return answers.status(f"Table {to[2]} successfully created.")

        return run_table, [to]
    to_schema, of_schema = _schema_parts(target, session), _schema_parts(source, session)
    if kind == "SCHEMA":

        def run_schema() -> str:
            with session.atomic():
                early = _clone_schema(session, of_schema, to_schema, replace)
            _copy_notes(session, of_schema, to_schema, early)
            return answers.status(f"Schema {to_schema[1]} successfully created.")

        return run_schema, []

    def run_database() -> str:
        _clone_database(session, source.name.upper(), target.name.upper(), replace)
        return answers.status(f"Database {target.name.upper()} successfully created.")

    return run_database, []


def _schema_parts(table: exp.Table, session: Session) -> tuple[str, str]:
    parts = [part.name if part.args.get("quoted") else part.name.upper() for part in table.parts]
    return (parts[0], parts[1]) if len(parts) == 2 else (str(session.database), parts[0])


def _tables(session: Session, database: str, schema: str | None = None) -> list[tuple[str, str]]:
    rows = session.duck.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() "
        "WHERE database_name = ? AND (? IS NULL OR schema_name = ?) "
        "AND schema_name NOT IN ('main', '_fs_information_schema')",
        (database, schema, schema),
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


def _views(
    session: Session, database: str, schema: str | None = None
) -> list[tuple[str, str, str]]:
    rows = session.duck.execute(
        "SELECT schema_name, view_name, sql FROM duckdb_views() WHERE NOT internal "
        "AND database_name = ? AND (? IS NULL OR schema_name = ?) "
        "AND schema_name NOT IN ('main', '_fs_information_schema') ORDER BY view_oid",
        (database, schema, schema),
    ).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def _clone_schema(
    session: Session, of: tuple[str, str], to: tuple[str, str], replace: bool
) -> dict[str, str]:
    """Copy a schema; gives the texts of views that could not be made yet, by name."""
    if not names.schema_exists(session, *of):
        raise not_found("Schema", ".".join(of))
    if of == to:
        raise compilation_error(f"'{'.'.join(of)}' cannot be a clone of itself.")
    if replace:
        session.duck.execute(
            f"DROP SCHEMA IF EXISTS {identifier(to[0])}.{identifier(to[1])} CASCADE"
        )
    session.duck.execute(f"CREATE SCHEMA {identifier(to[0])}.{identifier(to[1])}")
    for _, name in _tables(session, *of):
        _copy_table(session, (*of, name), (*to, name))
    written = dict(
        session.duck.execute(
            f"SELECT table_name, text FROM _fs_global.{metadata.VIEWS} "
            "WHERE database_name = ? AND schema_name = ?",
            of,
        ).fetchall()
    )
    texts = {name: written.get(name, sql) for _, name, sql in _views(session, *of)}
    early = {}
    for name in _readers_last(texts, of[1]):
        if _can_be_made(session, texts[name], to):
            _create_view_copy(session, texts[name], (*to, name))
        else:
            # A schema is cloned before one that its views read: they are made when that is there.
            early[name] = texts[name]
    return early


def _can_be_made(session: Session, text: str, place: tuple[str, str]) -> bool:
    """Whether all that a view reads is there, which DuckDB asks for and Snowflake does not."""
    view = sqlglot.parse_one(text, read="duckdb")
    return all(
        session.duck.execute(
            "SELECT 1 FROM duckdb_tables() WHERE (database_name, schema_name, table_name) "
            "IN (($database, $schema, $name)) UNION ALL SELECT 1 FROM duckdb_views() "
            "WHERE (database_name, schema_name, view_name) IN (($database, $schema, $name))",
            {
                "database": table.catalog or place[0],
                "schema": table.db or place[1],
                "name": table.name,
            },
        ).fetchone()
        for table in names.stored_tables(view.expression)
    )


def _readers_last(texts: Mapping[str, str], schema: str) -> Iterator[str]:
    """The views of a schema in an order in which they can be made."""
    read = {
        name: {
            table.name
            for table in sqlglot.parse_one(text, read="duckdb").find_all(exp.Table)
            if table.name in texts and table.name != name and table.db in ("", schema)
        }
        for name, text in texts.items()
    }
    yield from TopologicalSorter(read).static_order()


def _clone_database(session: Session, of: str, to: str, replace: bool) -> None:
    store = session.store
    if of == to:
        raise compilation_error(f"'{of}' cannot be a clone of itself.")
    if of not in store.attached:
        raise not_found("Database", of)
    if to.upper() in {name.upper() for name in store.attached} and not replace:
        raise ProgrammingError(
            msg=f"SQL compilation error:\nObject '{to}' already exists.",
            errno=2002,
            sqlstate="42710",
        )
    store.database_file(to)
    with _alone(session, f"'{of}' cannot be cloned"):
        _refuse_stages(session, "Cloning", (of,))
        store.clone_database(of, to)


def _copy_table(session: Session, of: TableName, to: TableName) -> None:
    """A table with the columns, the NOT NULL and the rows of another."""
    found = session.duck.execute(
        "SELECT sql FROM duckdb_tables() "
        "WHERE database_name = ? AND schema_name = ? AND table_name = ?",
        of,
    ).fetchone()
    if found is None:
        raise not_found("Table", ".".join(of))
    definition = sqlglot.parse_one(found[0], read="duckdb")
    table = definition.find(exp.Table)
    if table is not None:
        names.point(table, to)
    session.duck.execute(definition.sql(dialect="duckdb"))
    session.duck.execute(f"INSERT INTO {_sql_name(to)} FROM {_sql_name(of)}")


def _create_view_copy(session: Session, sql: str, to: TableName) -> None:
    # The name is replaced and the references are kept, as in a clone on Snowflake.
    view = sqlglot.parse_one(sql, read="duckdb")
    table = view.find(exp.Table)
    if table is not None:
        names.point(table, to)
    session.duck.execute(view.sql(dialect="duckdb"))


def _copy_lengths(session: Session, of: TableName, to: TableName) -> None:
    with session.store.hub.cursor() as connection:
        connection.execute(
            "INSERT INTO _fs_global._fs_information_schema._fs_columns_ext "
            "SELECT ?, ?, ?, ext_column_name, ext_character_maximum_length, "
            "ext_character_octet_length FROM _fs_global._fs_information_schema._fs_columns_ext "
            "WHERE ext_table_catalog = ? AND ext_table_schema = ? AND ext_table_name = ? "
            "ON CONFLICT DO NOTHING",
            (*to, *of),
        )


def _copy_notes(
    session: Session, of: tuple[str, str], to: tuple[str, str], early: Mapping[str, str]
) -> None:
    """A cloned schema has the comments, lengths and grants of what is in it; its age is its own."""
    names_ = [name for _, name in _tables(session, *to)] + [
        name for _, name, _ in _views(session, *to)
    ]
    with session.store.catalog_lock, session.store.hub.cursor() as connection:
        metadata.copy_schema_notes(connection, of, to)
        account.copy_grants(connection, ".".join(of), ".".join(to))
        for name, text in early.items():
            connection.execute(
                f"DELETE FROM _fs_global.{metadata.VIEWS} "
                "WHERE database_name = ? AND schema_name = ? AND table_name = ?",
                (*to, name),
            )
            connection.execute(
                f"INSERT INTO _fs_global.{metadata.VIEWS} VALUES (?, ?, ?, ?)", (*to, name, text)
            )
        metadata.restore_views(connection, connection)
    session.store.record_writes([(*to, name) for name in names_])


def databases(statement: Expr, session: Session) -> Action | None:
    """CREATE and DROP DATABASE: a file that is attached, or detached and deleted."""
    kind = str(statement.args.get("kind") or "").upper()
    if kind != "DATABASE" or not isinstance(statement, exp.Create | exp.Drop):
        return None
    if statement.args.get("clone"):
        return None
    table = statement.find(exp.Table)
    name = (
        table.name
        if table is not None and table.this.args.get("quoted")
        else (table or statement).name.upper()
    )

    def create() -> str:
        if statement.args.get("replace"):
            drop_database_files(session, name, if_exists=True)
        made = create_database_file(session, name, if_not_exists=bool(statement.args.get("exists")))
        session.use(name, "PUBLIC")
        if not made:
            return answers.status(f"{name} already exists, statement succeeded.")
        for given in statement.find_all(exp.Property):
            if given.name.upper() == "DATA_RETENTION_TIME_IN_DAYS":
                account.keep_database(session, name, given.text("value"))
        return answers.status(f"Database {name} successfully created.")

    def drop() -> str:
        drop_database_files(session, name, if_exists=bool(statement.args.get("exists")))
        account.forget_database(session, name)
        return answers.status(f"{name} successfully dropped.")

    return create if isinstance(statement, exp.Create) else drop


ALONE_SECONDS = 60.0
"""How long a swap or clone of databases waits for what other sessions have begun."""


def swap_databases(statement: Expr, session: Session) -> Action | None:
    """ALTER DATABASE … SWAP WITH …: both names change places at once, with all that is in them."""
    tokens = _alter_tokens(statement)
    words = [text.upper() for text, _ in tokens]
    if words[:2] != ["ALTER", "DATABASE"]:
        return None
    if_exists = words[2:4] == ["IF", "EXISTS"]
    rest = tokens[4:] if if_exists else tokens[2:]
    verb = [text.upper() for text, _ in rest[1:3]]
    if verb == ["RENAME", "TO"]:
        raise unsupported("Renaming a database is")
    if verb != ["SWAP", "WITH"] or len(rest) != 4:
        return None
    one, other = (text if quoted else text.upper() for text, quoted in (rest[0], rest[3]))

    def run() -> str:
        return _swap_databases(session, one, other, if_exists=if_exists)

    return run


def _swap_databases(session: Session, one: str, other: str, *, if_exists: bool) -> str:
    store = session.store
    if if_exists and one not in store.attached:
        return answers.SUCCESS
    for name in (one, other):
        if name not in store.attached:
            raise not_found("Database", name)
    if one == other:
        raise compilation_error(f"Database '{one}' cannot be swapped with itself.")
    with _alone(session, f"'{one}' and '{other}' cannot be swapped"):
        _refuse_stages(session, "Swapping", (one, other))
        store.swap_databases(one, other)
    return answers.SUCCESS


@contextmanager
def _alone(session: Session, what: str) -> Iterator[None]:
    """Without any other statement, and without the files that open transactions read."""
    store = session.store
    place = session.database if session.database_set else None
    around = session.schema if session.schema_set else None

    def is_free() -> bool:
        return not any(one.holds_databases for one in list(store.sessions) if one is not session)

    with store.gate.alone(is_free, ALONE_SECONDS, session.cancel_requested.is_set) as alone:
        if session.cancel_requested.is_set():
            raise cancelled()
        if not alone:
            raise ProgrammingError(
                msg=f"{what} while statements and transactions of other sessions go on; do it when "
                "those have ended.",
                errno=625,
                sqlstate="57014",
            )
        session.duck.execute("SET schema = 'memory.main'")
        try:
            yield
        finally:
            if place is not None and place in store.attached:
                known = around and names.schema_exists(session, place, around)
                session.use(place, around if known else None)


def _refuse_stages(session: Session, what: str, databases: tuple[str, ...]) -> None:
    """The files of a stage are in folders that are named after its database."""
    for database in databases:
        stage = session.duck.execute(
            f"SELECT schema_name || '.' || name FROM {staging.STAGES} WHERE database_name = ?",
            (database,),
        ).fetchone()
        if stage is not None:
            raise unsupported(f"{what} a database that holds a stage ({database}.{stage[0]}) is")


def create_database_file(session: Session, name: str, *, if_not_exists: bool) -> bool:
    """Attach a new file; False if the database is there already and may be."""
    store = session.store
    with store.catalog_lock:
        # On disk, and so here, names that differ only in case are one.
        if name.upper() in {attached.upper() for attached in store.attached}:
            if if_not_exists:
                return False
            raise ProgrammingError(
                msg=f"SQL compilation error:\nObject '{name}' already exists.",
                errno=2002,
                sqlstate="42710",
            )
        file = literal(str(store.new_database_file(name)))
        session.duck.execute(f"ATTACH {file} AS {identifier(name)}")
        store.prepare_database(session.duck, name)
    return True


def drop_database_files(session: Session, name: str, *, if_exists: bool) -> None:
    """Detach and delete a database and its staged files."""
    store = session.store
    with store.catalog_lock:
        attached = session.duck.execute(
            "SELECT 1 FROM duckdb_databases() WHERE database_name = ?", (name,)
        ).fetchone()
        if not attached:
            if if_exists:
                return
            raise not_found("Database", name)
        if store.locks.others_hold(session, f"{name}."):
            raise ProgrammingError(
                msg=f"Database '{name}' is in use by an open transaction of another session; drop "
                "it when that has ended.",
                errno=625,
                sqlstate="57014",
            )
        if session.database == name:
            session.leave()
        session.duck.execute(f"DETACH {identifier(name)}")
        store.remove_database(name)


def column_comments(statement: Expr, session: Session) -> Action | None:
    """ALTER TABLE … ALTER "A" COMMENT $$…$$, "B" COMMENT $$…$$ (also VIEW), as dbt writes it."""
    found = _comment_targets(statement, session)
    if found is None:
        return None
    name, comments = found

    def run() -> str:
        for column, comment in comments:
            session.duck.execute(
                f"COMMENT ON COLUMN {_sql_name(_stored(name, session))}.{identifier(column)} "
                f"IS {literal(comment)}"
            )
        return answers.SUCCESS

    return run


def _comment_targets(
    statement: Expr, session: Session
) -> tuple[TableName, list[tuple[str, str]]] | None:
    if isinstance(statement, exp.Alter):
        changes = statement.args.get("actions") or []
        if not changes or not all(
            isinstance(change, exp.AlterColumn) and change.args.get("comment") for change in changes
        ):
            return None
        pairs = [(_stored_name(change.this), change.args["comment"].name) for change in changes]
        return names.resolve(statement.this, session), pairs
    if isinstance(statement, exp.Comment) and str(statement.args.get("kind")).upper() == "COLUMN":
        column = statement.this
        parts = [part for part in column.parts if isinstance(part, exp.Identifier)]
        table = exp.Table(
            **dict(
                zip(
                    ("this", "db", "catalog"),
                    [part.copy() for part in reversed(parts[:-1])],
                    strict=False,
                )
            )
        )
        return names.resolve(table, session), [(_stored_name(parts[-1]), statement.expression.name)]
    tokens = _alter_tokens(statement)
    words = [text.upper() for text, _ in tokens]
    if words[:1] != ["ALTER"] or "COMMENT" not in words or words[1] not in {"TABLE", "VIEW"}:
        return None
    at = words.index("ALTER", 1)
    table = exp.to_table("".join(_requoted(token) for token in tokens[2:at]), dialect="snowflake")
    pairs = []
    position = at + 1
    while position + 2 < len(tokens) + 1:
        if words[position] == "COLUMN":
            position += 1
        column = tokens[position]
        pairs.append((column[0] if column[1] else column[0].upper(), tokens[position + 2][0]))
        position += 4
        if position > len(tokens):
            break
    return names.resolve(table, session), pairs


def _alter_tokens(statement: Expr) -> list[tuple[str, bool]]:
    if not command_tokens(statement)[:1]:
        return []
    text = f"{statement.this} {statement.expression}"
    return [
        (token.text, token.token_type == sqlglot.TokenType.IDENTIFIER)
        for token in sqlglot.tokenize(text, read="snowflake")
        if token.token_type != sqlglot.TokenType.SEMICOLON
    ]


def _requoted(token: tuple[str, bool]) -> str:
    return identifier(token[0]) if token[1] else token[0]


def _stored_name(column: Expr) -> str:
    found = column if isinstance(column, exp.Identifier) else column.find(exp.Identifier)
    if found is None:
        return column.name.upper()
    return found.name if found.args.get("quoted") else found.name.upper()


def table_comment(statement: Expr, session: Session) -> Action | None:
    """COMMENT ON TABLE, VIEW, SCHEMA or DATABASE."""
    if not isinstance(statement, exp.Comment):
        return None
    kind = str(statement.args.get("kind")).upper()
    text = literal(statement.expression.name)
    if kind in {"SCHEMA", "DATABASE"}:
        parts = [part.name.upper() for part in statement.this.parts]
        name = ".".join(identifier(part) for part in parts)

        def run_container() -> str:
            session.duck.execute(f"COMMENT ON {kind} {name} IS {text}")
            return answers.SUCCESS

        return run_container
    if kind not in {"TABLE", "VIEW"}:
        return None
    full = names.resolve(statement.this, session)

    def run() -> str:
        stored = _stored(full, session)
        session.duck.execute(f"COMMENT ON {kind} {_sql_name(stored)} IS {text}")
        with session.store.catalog_lock, session.store.hub.cursor() as connection:
            connection.execute(
                "INSERT INTO _fs_global._fs_information_schema._fs_tables_ext VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET comment = excluded.comment",
                (*stored, statement.expression.name),
            )
        return answers.SUCCESS

    return run


def contract(statement: Expr, session: Session) -> list[Expr] | None:
    """CREATE TABLE with columns AS SELECT, in steps, so that types and NOT NULL hold.

    The query may read the table that is replaced, so the new one is made beside it.
    """
    if not (
        isinstance(statement, exp.Create)
        and str(statement.kind).upper() == "TABLE"
        and isinstance(statement.this, exp.Schema)
        and statement.expression is not None
    ):
        return None
    table = statement.this.this
    name = names.resolve(table, session)
    if statement.args.get("exists") and _exists(session, name):
        done = answers.status(f"{name[2]} already exists, statement succeeded.")
        return [sqlglot.parse_one(done, read="duckdb")]
    definitions = statement.this.expressions
    columns = [item.this.copy() for item in definitions if isinstance(item, exp.ColumnDef)]
    if len(columns) < len(definitions) and not columns:
        raise unsupported("CREATE TABLE AS SELECT with columns that have no types is")
    replaced = bool(statement.args.get("replace")) and table.catalog != names.TEMPORARY_CATALOG
    create = statement.copy()
    create.set("expression", None)
    insert = exp.Insert(
        this=exp.Schema(this=table.copy(), expressions=columns),
        expression=statement.expression.unnest().copy(),
    )
    if with_ := statement.args.get("with_"):
        create.set("with_", None)
        insert.set("with_", with_.copy())
    if not replaced:
        return [create, insert]
    spare = (name[0], name[1], f"_firn_new_{name[2]}")
    for part in (create, insert):
        names.point(part.this.this, spare)
    return [create, insert, _drop(name), _rename(spare, name[2])]


def _exists(session: Session, name: TableName) -> bool:
    found = session.duck.execute(
        "SELECT 1 FROM duckdb_tables() "
        "WHERE database_name = ? AND schema_name = ? AND table_name = ?",
        name,
    ).fetchone()
    return found is not None


def _drop(name: TableName) -> Expr:
    return sqlglot.parse_one(f"DROP TABLE IF EXISTS {_sql_name(name)}", read="duckdb")


def _rename(name: TableName, new: str) -> Expr:
    sql = f"ALTER TABLE {_sql_name(name)} RENAME TO {identifier(new)}"
    return sqlglot.parse_one(sql, read="duckdb")


def insert_overwrite(statement: Expr) -> list[Expr]:
    """INSERT OVERWRITE: the rows are computed before the old ones go, which they may read."""
    if not isinstance(statement, exp.Insert) or not statement.args.get("overwrite"):
        return [statement]
    target = statement.this
    table = target.this if isinstance(target, exp.Schema) else target
    rows = exp.to_table('"temp"."main"."_firn_overwrite"', dialect="duckdb")
    compute = exp.Create(
        this=rows.copy(),
        kind="TABLE",
        replace=True,
        expression=statement.expression.copy(),
        properties=exp.Properties(expressions=[exp.TemporaryProperty()]),
    )
    if with_ := statement.args.get("with_"):
        compute.expression.set("with_", with_.copy())
    insert = exp.Insert(this=target.copy(), expression=exp.select("*").from_(rows.copy()))
    return [compute, exp.Delete(this=table.copy()), insert]


def is_new(statement: Expr) -> bool:
    """Whether a table or view was made anew or dropped, so that notes on the old one are void."""
    if isinstance(statement, exp.Drop):
        return True
    return isinstance(statement, exp.Create) and not statement.args.get("exists")


def clustering(statement: Expr, session: Session) -> Expr:
    """CLUSTER BY changes nothing here but what the catalogue says."""
    table = names.target(statement)
    if table is None or not isinstance(statement, exp.Create | exp.Alter):
        return statement
    clause = statement.find(exp.Cluster, exp.ClusterProperty)
    if clause is None:
        return statement
    text = f"LINEAR({', '.join(item.sql(dialect='snowflake') for item in clause.expressions)})"
    if isinstance(statement, exp.Create):
        clause.pop()
    statement.args["clustering"] = text
    return statement


def defined_comments(statement: Expr, session: Session) -> Expr:
    """Comments in the column list of a new table or view; DuckDB takes them afterwards."""
    if not isinstance(statement, exp.Create) or not isinstance(statement.this, exp.Schema):
        return statement
    comments = []
    for column in statement.this.find_all(exp.ColumnDef):
        for constraint in list(column.args.get("constraints") or []):
            if isinstance(constraint.kind, exp.CommentColumnConstraint):
                comments.append((_stored_name(column.this), constraint.kind.this.name))
                constraint.pop()
    statement.args["column_comments"] = comments
    return statement


def record(statement: Expr, name: TableName, session: Session) -> None:
    """Keep what DuckDB has no place for: clustering, lengths and comments of a new table."""
    for column, text in statement.args.get("column_comments") or []:
        session.duck.execute(
            f"COMMENT ON COLUMN {_sql_name(name)}.{identifier(column)} IS {literal(text)}"
        )
    comment = (statement.args.get("table_comment") or (None, None))[1]
    lengths = statement.args.get("text_lengths") or []
    clustering_key = statement.args.get("clustering")
    view_text = statement.args.get("view_text")
    if not (comment or lengths or clustering_key or view_text):
        return
    with session.store.catalog_lock, session.store.hub.cursor() as connection:
        if view_text:
            connection.execute(
                f"INSERT INTO _fs_global.{metadata.VIEWS} VALUES (?, ?, ?, ?)", (*name, view_text)
            )
        if clustering_key:
            connection.execute(
                "DELETE FROM _fs_global._firn.clustering "
                "WHERE database_name = ? AND schema_name = ? AND table_name = ?",
                name,
            )
            connection.execute(
                "INSERT INTO _fs_global._firn.clustering VALUES (?, ?, ?, ?)",
                (*name, clustering_key),
            )
        if comment:
            connection.execute(
                "INSERT INTO _fs_global._fs_information_schema._fs_tables_ext VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET comment = excluded.comment",
                (*name, comment),
            )
        for column, length in lengths:
            connection.execute(
                "INSERT INTO _fs_global._fs_information_schema._fs_columns_ext "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "ext_character_maximum_length = excluded.ext_character_maximum_length, "
                "ext_character_octet_length = excluded.ext_character_octet_length",
                (*name, column, length, min(length * 4, metadata.MAXIMUM_TEXT)),
            )


def own_names(statement: Expr) -> str | None:
    """The text of a view that names the database it is in, in DuckDB's words; else None."""
    if not isinstance(statement, exp.Create) or str(statement.kind).upper() != "VIEW":
        return None
    view = names.target(statement)
    if view is None or not any(
        table is not view and table.catalog.upper() == view.catalog.upper()
        for table in statement.find_all(exp.Table)
    ):
        return None
    again = statement.copy()
    again.set("replace", True)
    again.set("exists", False)
    return again.sql(dialect="duckdb")


def renamed(statement: Expr, session: Session) -> TableName | None:
    """The new name of a table or view that ALTER … RENAME TO renames."""
    if not isinstance(statement, exp.Alter) or not isinstance(statement.this, exp.Table):
        return None
    for action in statement.args.get("actions") or []:
        if isinstance(action, exp.AlterRename):
            old, new = names.resolve(statement.this, session), names.resolve(action.this, session)
            if action.this.args.get("db") and old[:2] != new[:2]:
                raise unsupported("Moving a table to another schema by renaming it is")
            return old[0], old[1], new[2]
    return None


def forget_schema(statement: Expr, session: Session) -> None:
    """What is kept of the tables and views of a schema that was dropped, or is made anew."""
    if not isinstance(statement, exp.Drop | exp.Create) or not statement.find(exp.Table):
        return
    made = isinstance(statement, exp.Create) and not statement.args.get("replace")
    if made or str(statement.args.get("kind")).upper() != "SCHEMA":
        return
    table = statement.find(exp.Table)
    if table is not None:
        parts = _schema_parts_of(table, session)
        with session.store.catalog_lock, session.store.hub.cursor() as connection:
            metadata.forget_container(connection, parts)
        session.store.forget_stages(*parts)


def _schema_parts_of(schema: exp.Table, session: Session) -> tuple[str, str]:
    """Database and schema, where sqlglot puts a schema's name into `db`."""
    found = [
        part.name if part.args.get("quoted") else part.name.upper()
        for part in (schema.args.get("catalog"), schema.args.get("db") or schema.this)
        if isinstance(part, exp.Identifier)
    ]
    return (found[0], found[1]) if len(found) == 2 else (str(session.database), found[0])


def move_notes(old: TableName, new: TableName, session: Session) -> None:
    """Let a renamed table keep its comments, lengths and times."""
    with session.store.catalog_lock, session.store.hub.cursor() as connection:
        metadata.forget_table(connection, new)
        metadata.rename_table(connection, old, new)


def forget(name: TableName, session: Session, *, keep_grants: bool = False) -> None:
    """A table that is made anew or dropped keeps nothing of the old one but its name."""
    with session.store.catalog_lock, session.store.hub.cursor() as connection:
        metadata.forget_table(connection, name)
        if not keep_grants:
            account.forget_grants(connection, ".".join(name))
