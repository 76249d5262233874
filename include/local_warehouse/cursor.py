"""One statement: refuse it, answer it, or rewrite it for fakesnow and run it on DuckDB."""

from __future__ import annotations

import errno
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar, cast

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import snowflake.connector.errors
import sqlglot
from fakesnow import transforms
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.dialect import syntax_error
from fakesnow.rowtype import ColumnInfo, describe_as_rowtype
from fakesnow.statement_type import SELECT, statement_type_id
from fakesnow.transforms.merge import operations as merge_operations
from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr, exp
from sqlglot.errors import SqlglotError

from . import dialect, remembered
from .errors import cancelled, unsupported
from .fewer_walks import fewer_walks
from .rules import (
    account,
    answers,
    functions,
    loading,
    metadata,
    names,
    refusals,
    session_state,
    staging,
    tables,
    types,
)

if TYPE_CHECKING:
    from .session import Session, TableName
    from .statements import Order

Found = TypeVar("Found")
Parameters = list[Any] | dict[Any, Any] | None

ANSWERS: tuple[Callable[[Expr, Session], str | None], ...] = (
    session_state.alter_session,
    account.user_parameters,
    session_state.show_parameters,
    session_state.use_role_or_warehouse,
    session_state.use_database_or_schema,
    account.user_functions,
    account.shown,
    metadata.show,
    metadata.describe,
    staging.list_files,
    staging.remove_files,
    staging.copy_files,
)
"""Statements that the server answers; each gives a DuckDB query, or None if it is not its own."""

ACTIONS: tuple[Callable[[Expr, Session], tables.Action | None], ...] = (
    tables.databases,
    tables.swap_databases,
    tables.column_comments,
    tables.table_comment,
    account.changes,
    staging.drop_stage,
)
TABLE_ACTIONS = (tables.swap, tables.clone)

REWRITES: tuple[Callable[[Expr, Session], Expr], ...] = (
    names.column_names,
    names.session_variables,
    names.recursive_queries,
    names.qualified,
    tables.clustering,
    tables.defined_comments,
    names.temporary_tables,
    names.unqualified_targets,
    staging.new_stage,
    staging.put_target,
    staging.loaded_stage,
    session_state.current_settings,
    names.earlier_results,
    functions.last_changes,
    metadata.object_privileges,
    functions.hashes,
    functions.sha2,
    functions.ratio_to_report,
    functions.zero_division,
    functions.negated_patterns,
    functions.aggregated_arrays,
    functions.current_moments,
    types.slashed_dates,
    functions.convert_timezone,
    functions.trimmed_characters,
    functions.formatted_moments,
    functions.attempted_timestamps,
    types.object_keys,
    types.exact_aggregates,
    types.unenforced_keys,
    types.text_lengths,
)
"""What happens to a statement before fakesnow's own rules, in this order."""

WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy, exp.MultitableInserts)
DEFINITIONS = (exp.Create, exp.Drop, exp.Alter, exp.TruncateTable)
WIDER_TYPES = {
    "FLOAT": "DOUBLE",
    "TINYINT": "BIGINT",
    "SMALLINT": "BIGINT",
    "UTINYINT": "BIGINT",
    "USMALLINT": "BIGINT",
    "UINTEGER": "BIGINT",
    "UHUGEINT": "HUGEINT",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "UUID": "VARCHAR",
    "INTERVAL": "VARCHAR",
}
COMPLAINTS = (
    (
        r"(?:Table|View|Schema) with name \"?([^\s\"!]+)\"? already exists",
        2002,
        "42710",
        "Object '{}' already exists.",
    ),
    (
        r"(?:Table|View|Schema) with name \"?([^\s\"!]+)\"? does not exist",
        2003,
        "42S02",
        "Object '{}' does not exist or not authorized.",
    ),
    (r"[Cc]olumn \"([^\"]+)\" not found in FROM", 904, "42000", "invalid identifier '{}'"),
)
KINDS_OF_ERRORS = (
    (duckdb.BinderException, 2043, "02000"),
    (duckdb.CatalogException, 2003, "42S02"),
    (duckdb.ConversionException, 100035, "22007"),
)


class LocalCursor(FakeSnowflakeCursor):
    """Runs statements of one session; `rowtype` and `arrow` hold the result."""

    def __init__(self, session: Session) -> None:
        super().__init__(conn=session, duck_conn=session.duck)
        self.session = session
        self._described: list[tuple[Any, ...]] = []
        self._notes: Expr = exp.Select()
        self._asked: remembered.Context | None = None
        self.statement_type = SELECT
        self.transfer: dict[str, Any] | None = None
        self.order: Order | None = None

    @property
    def arrow(self) -> pa.Table | None:
        """The rows of the result."""
        return self._arrow_table

    @property
    def rowtype(self) -> list[ColumnInfo]:
        """The result's columns, as the Snowflake protocol describes them."""
        kinds = [str(column[1]) for column in self._described]
        columns = describe_as_rowtype(
            [
                (column[0], _described_type(kind), None, None, None, None)
                for column, kind in zip(self._described, kinds, strict=True)
            ]
        )
        for column, kind in zip(columns, kinds, strict=True):
            if nested := metadata.nested_type(kind):
                column["type"] = nested.lower()
        return columns

    @property
    def last_expression(self) -> Expr | None:
        """The statement as DuckDB ran it; PUT leaves the upload's address here."""
        return self._last_transformed

    def execute(self, command: str, params: Any = None, *args: Any, **kwargs: Any) -> LocalCursor:
        """Run one statement in its session.

        Raises:
            ProgrammingError: what Snowflake's client would see.
        """
        session = self.session
        with session.statement(self.order):
            try:
                asked = None if params else remembered.context(command, session)
                if asked and (query := session.store.remembered.find(asked)) is not None:
                    session.report_server_rollback()
                    session.read(lambda: self._answer(query))
                    return self
                statement = dialect.parse(command)
                self.statement_type = statement_type_id(statement)
                if not isinstance(statement, exp.Rollback):
                    session.report_server_rollback()
                refusals.check(statement)
                self._asked = asked if isinstance(statement, exp.Select) else None
                self._run(statement, list(params) if isinstance(params, tuple) else params)
            except SqlglotError as error:
                raise _parse_failure(error) from None
            except duckdb.Error as error:
                raise translate(error) from error
            except OSError as error:
                raise _file_failure(error) from None
            except (NotImplementedError, AssertionError, ValueError) as error:
                # What fakesnow has no answer to, it says in one of these ways.
                raise unsupported(f"This statement ({error or type(error).__name__}) is") from None
        return self

    def execute_rows(self, command: str, rows: list[tuple[Any, ...]]) -> int:
        """Run one statement for each row of values, all or none; gives the rows it changed."""
        session = self.session
        with session.mutex:
            alone = not session.in_transaction and session.commits_each_statement
            if alone:
                session.begin_transaction()
            try:
                changed = sum(self.execute(command, row).rowcount or 0 for row in rows)
            except BaseException:
                if alone:
                    session.rollback_transaction()
                raise
            if alone:
                session.commit_transaction()
        return changed

    def describe_only(self, command: str) -> None:
        """Leave the columns of a statement in `rowtype` without running it."""
        statement = dialect.parse(command)
        if isinstance(statement, exp.Query):
            for placeholder in list(statement.find_all(exp.Placeholder)):
                placeholder.replace(exp.Null())
            query = exp.select("*").from_(statement.subquery("described")).limit(0)
            self.execute(query.sql(dialect="snowflake"))
        else:
            self._answer(answers.SUCCESS)

    def _run(self, statement: Expr, params: Parameters) -> None:
        session = self.session
        controls: dict[type[Expr], Callable[[], None]] = {
            exp.Transaction: session.begin_transaction,
            exp.Commit: session.commit_transaction,
            exp.Rollback: session.rollback_transaction,
        }
        if control := controls.get(type(statement)):
            control()
            self._answer(answers.SUCCESS)
        elif (query := _first(ANSWERS, statement, session)) is not None:
            session.read(lambda: self._answer(query))
        elif (action := _first(ACTIONS, statement, session)) is not None:
            session.define(lambda: self._answer(action()), ())
        elif (found := _first(TABLE_ACTIONS, statement, session)) is not None:
            work, changed = found
            session.define(lambda: self._answer(work()), changed)
        elif (transfer := staging.download(statement, session)) is not None:
            self._answer(answers.SUCCESS)
            self.transfer = transfer
        elif (unload := staging.unload(statement, session)) is not None:
            rows = self._rewritten(unload.query, params).sql(dialect="duckdb")
            session.read(lambda: self._answer(unload.write(session, rows)))
        else:
            self._run_on_duckdb(statement, params)

    def _run_on_duckdb(self, statement: Expr, params: Parameters) -> None:
        session = self.session
        temporary = dict(session.temporary)
        try:
            self._run_rewritten(statement, params)
        except BaseException:
            session.temporary = temporary
            raise

    def _run_rewritten(self, statement: Expr, params: Parameters) -> None:
        session = self.session
        statement = self._prepared(statement)
        parts = [self._transform(part, params) for part in self._explode(statement)]
        noted = [_take_notes(part) for part in parts]
        for key in ("clustering", "column_comments"):
            if value := statement.args.get(key):
                noted[0].args[key] = value

        if text := tables.own_names(parts[0]):
            noted[0].args["view_text"] = text

        if isinstance(statement, exp.Query) and not parts[0].args.get("seed"):
            query = parts[0].sql(dialect="duckdb")
            used = params if parts[0].find(exp.Placeholder) else None
            session.read(lambda: self._answer(query, params=used))
            if self._asked:
                session.store.remembered.keep(self._asked, query)
            return

        self._notes = noted[0]
        target = self._stored_target(statement)

        def operation() -> int:
            # fakesnow notes a COPY in the current database, and a transaction is for one alone.
            whole = isinstance(parts[0], exp.Copy) and (
                (target and target[0] == session.database)
                or loading.by_column_name(parts[0], session)
            )
            with session.atomic() if len(parts) > 1 or whole else nullcontext():
                for part in parts:
                    # fakesnow takes values out of what it is given, and this may run again.
                    self._execute_part(part.copy() if params else part, copy(params))
            return self._rows_changed(parts)

        if isinstance(statement, DEFINITIONS):
            new_name = tables.renamed(statement, session)
            session.define(operation, [target] if target else [])
            tables.forget_schema(statement, session)
            if target and tables.is_new(statement):
                copied = statement.find(exp.CopyGrantsProperty) is not None
                tables.forget(target, session, keep_grants=copied)
            if new_name and target:
                tables.move_notes(target, new_name, session)
            if target and not isinstance(statement, exp.Drop):
                named = new_name or target
                has_other_rows = isinstance(statement, exp.TruncateTable)
                session.store.record_writes([named], [named] if has_other_rows else ())
                for note in noted:
                    tables.record(note, new_name or target, session)
        elif isinstance(statement, WRITES):
            session.write(operation, [target] if target else [])
        else:
            session.read(operation)

    def _rows_changed(self, parts: list[Expr]) -> int:
        """How many rows a statement has changed.

        Of several parts only the last one's number is known: such a statement counts as at least 1.
        """
        rows = self._rowcount or 0
        if len(parts) > 1:
            return max(rows, 1)
        if isinstance(parts[0], exp.Copy):
            # COPY answers with one row per file.
            table: Any = self.arrow
            loaded = table.column("rows_loaded") if "rows_loaded" in table.column_names else []
            return sum(int(one.as_py() or 0) for one in loaded)
        return rows

    def _prepared(self, statement: Expr) -> Expr:
        for rewrite in REWRITES:
            statement = rewrite(statement, self.session)
        self.check_db_and_schema(statement)
        return statement

    def _rewritten(self, query: Expr, params: Parameters) -> Expr:
        """A query in DuckDB's words."""
        return self._transform(self._prepared(query), params)

    def _stored_target(self, statement: Expr) -> TableName | None:
        table = names.target(statement)
        if table is None or table.catalog == names.TEMPORARY_CATALOG:
            return None
        if isinstance(statement, DEFINITIONS) and str(statement.args.get("kind")).upper() not in {
            "TABLE",
            "VIEW",
            "NONE",
        }:
            return None
        return names.resolve(table, self.session)

    def _explode(self, statement: Expr) -> list[Expr]:
        if (parts := tables.contract(statement, self.session)) is not None:
            return parts
        for rule in (
            tables.insert_overwrite,
            transforms.create_table_autoincrement,
            transforms.alter_table_add_multiple_columns,
        ):
            if len(parts := rule(statement)) > 1:
                return parts
        return [statement]

    def _transform(self, expression: Expr, params: Parameters) -> Expr:
        rules = super()._transform
        return fewer_walks(lambda tree: rules(tree, params), expression)

    def _execute_part(self, statement: Expr, params: Parameters) -> None:
        used = params if statement.find(exp.Placeholder) else None
        table = names.target(statement) if isinstance(statement, exp.Create) else None
        if isinstance(statement, exp.Merge):
            self._merge(statement, used)
        elif isinstance(statement, exp.Copy) and (
            load := loading.by_column_name(statement, self.session)
        ):
            self._answer(load.run(self.session), statement)
        elif table is not None and table.catalog == names.TEMPORARY_CATALOG:
            self._create_temporary(statement, table, used)
        else:
            try:
                self._execute(statement, used)
            except ProgrammingError as error:
                raise (_worded(str(error.raw_msg)) or error) from None
            self._described = list(self._duck_conn.description or [])

    def _create_temporary(self, statement: Expr, table: exp.Table, params: Parameters) -> None:
        name = ("temp", "main", table.name)
        self._duck_conn.execute(statement.sql(dialect="duckdb"), params)
        tables.forget(name, self.session)
        tables.record(self._notes, name, self.session)
        kind = str(statement.args.get("kind")).capitalize()
        created = table.name.rpartition(".")[2]
        self._answer(answers.status(f"{kind} {created} successfully created."))

    def _merge(self, statement: exp.Merge, params: Parameters) -> None:
        """DuckDB's own MERGE, counted into the row that Snowflake answers with."""
        sql = f"{statement.sql(dialect='duckdb')} RETURNING merge_action"
        counts: Counter[str] = Counter()
        batches: Any = self._duck_conn.execute(sql, params).to_arrow_reader(1_000_000)
        for batch in batches:
            found: Any = pc.value_counts(batch.column(0))
            counts.update({one["values"]: one["counts"] for one in found.to_pylist()})
        verbs = {"inserted": "INSERT", "updated": "UPDATE", "deleted": "DELETE"}
        columns = ", ".join(
            f'{counts[verbs[done]]} AS "number of rows {done}"'
            for done, clauses in merge_operations(statement).items()
            if clauses
        )
        self._answer(f"SELECT {columns}", statement)
        self._rowcount = cast("Any", sum(counts.values()))

    def _answer(self, query: str, statement: Expr | None = None, params: Parameters = None) -> int:
        self._duck_conn.execute(query, params)
        self._described = list(self._duck_conn.description or [])
        table: Any = self._duck_conn.to_arrow_table()
        query_id, ran = str(uuid.uuid4()), statement or exp.Select()
        self._keep(table, table.num_rows, query_id, query, ran)
        self.session.results_cache[query_id] = (table, table.num_rows, query, None, ran)
        return 0

    def _keep(self, table: Any, rowcount: Any, query_id: Any, query: Any, statement: Any) -> None:
        # The types are wide because fakesnow declares these attributes as None.
        self._arrow_table, self._arrow_table_fetch_index = table, None
        self._rowcount, self._sfqid = rowcount, query_id
        self._last_sql, self._last_params, self._last_transformed = query, None, statement

    def _describe_last_sql(self) -> list[Any]:
        return self._described


def _first(
    rules: Iterable[Callable[[Expr, Session], Found | None]], statement: Expr, session: Session
) -> Found | None:
    """What the first rule gives that takes the statement for its own."""
    for rule in rules:
        if (found := rule(statement, session)) is not None:
            return found
    return None


def _take_notes(part: Expr) -> Expr:
    """Move what belongs into the catalogue away from the statement.

    fakesnow would write it in the statement's own transaction, which must stay in one database.
    """
    notes = exp.Select()
    for key in ("text_lengths", "table_comment"):
        if value := part.args.pop(key, None):
            notes.args[key] = value
    return notes


def _described_type(kind: str) -> str:
    if metadata.nested_type(kind):
        return "JSON"
    return WIDER_TYPES.get(kind, "TIMESTAMP" if kind == "TIMESTAMP_NS" else kind)


def _parse_failure(error: SqlglotError) -> Exception:
    if isinstance(error, sqlglot.ParseError):
        return syntax_error(error)
    return ProgrammingError(msg=f"SQL compilation error:\n{error}", errno=1003, sqlstate="42000")


def _file_failure(error: OSError) -> ProgrammingError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _disk_full(str(error.strerror))
    return ProgrammingError(
        msg=f"A staged file cannot be read or written ({error.strerror}): use another path.",
        errno=253,
        sqlstate="58030",
    )


def _disk_full(reason: str) -> ProgrammingError:
    return ProgrammingError(
        msg=f"The local warehouse's disk is full; free space and run the statement again. "
        f"({reason})",
        errno=253,
        sqlstate="53100",
    )


def _worded(text: str) -> ProgrammingError | None:
    """DuckDB's most common complaints with the words and the numbers that clients look for."""
    for pattern, number, state, words in COMPLAINTS:
        if match := re.search(pattern, text):
            message = f"SQL compilation error:\n{words.format(match[1])}"
            return ProgrammingError(msg=message, errno=number, sqlstate=state)
    return None


def translate(error: duckdb.Error) -> snowflake.connector.errors.Error:
    """A DuckDB error as the Snowflake error that it corresponds to."""
    text = str(error).split("\n")[0]
    if worded := _worded(text):
        return worded
    if isinstance(error, duckdb.InterruptException):
        return cancelled()
    if isinstance(error, duckdb.ConstraintException):
        if "NOT NULL" in text:
            column = text.split(":")[-1].strip().split(".")[-1]
            return ProgrammingError(
                msg=f"NULL result in a non-nullable column '{column}'",
                errno=100072,
                sqlstate="22000",
            )
        if "CHECK" in text:
            return ProgrammingError(
                msg=f"String is too long and would be truncated ({text})",
                errno=100078,
                sqlstate="22000",
            )
    if isinstance(error, duckdb.TransactionException) and "single attached database" in text:
        return ProgrammingError(
            msg="A transaction that writes to more than one database is not supported by the local "
            "warehouse; commit before writing to the second one.",
            errno=2,
            sqlstate="0A000",
        )
    if "cannot affect the same target row more than once" in text:
        return ProgrammingError(
            msg="Duplicate row detected during DML action", errno=100090, sqlstate="42P18"
        )
    if "No space left" in text or "File too large" in text or "Could not write" in text:
        return _disk_full(text)
    if "Division by zero" in text:
        return ProgrammingError(msg="Division by zero", errno=100051, sqlstate="22012")
    for kind, number, state in KINDS_OF_ERRORS:
        if isinstance(error, kind):
            return ProgrammingError(msg=text, errno=number, sqlstate=state)
    return ProgrammingError(msg=text, errno=1003, sqlstate="42000")
