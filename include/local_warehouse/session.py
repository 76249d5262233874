"""A client's session: its settings, its temporary names, its transaction."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import duckdb
from fakesnow.conn import FakeSnowflakeConnection
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import ProgrammingError

from .errors import cancelled, not_found
from .rules.answers import literal
from .store import Store

if TYPE_CHECKING:
    from .statements import Order

CONFLICT_SECONDS = 120.0
RESULTS_KEPT = 4
RESULT_BYTES_KEPT = 32 * 1024**2

TableName = tuple[str, str, str]
"""Database, schema and name, as stored."""


class Operation(Protocol):
    """Something that writes, and that may run again after a conflict."""

    def __call__(self) -> int:
        """Write, in DuckDB alone; gives the number of rows it changed."""


class RecentResults(OrderedDict[str, tuple[Any, ...]]):
    """The last few results of a session by query id, for RESULT_SCAN.

    Their size is bounded: a client that was killed leaves its session behind for hours.
    """

    def __setitem__(self, key: str, value: tuple[Any, ...]) -> None:
        super().__setitem__(key, value)
        while len(self) > RESULTS_KEPT or self._bytes() > RESULT_BYTES_KEPT:
            self.popitem(last=False)

    def _bytes(self) -> int:
        return sum(result[0].nbytes for result in self.values())


class Session(FakeSnowflakeConnection):
    """One login. Statements of a session run one after another, in any thread.

    Reads outside a writing transaction see what is committed at that moment, as Snowflake's READ
    COMMITTED does: DuckDB's snapshot is opened by the first write, not by BEGIN.
    """

    def __init__(
        self,
        store: Store,
        database: str | None = None,
        schema: str | None = None,
        *,
        user: str = "FIRN",
        role: str | None = None,
        warehouse: str | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        self.store = store
        self.user = user
        self.role = (role or "ACCOUNTADMIN").upper()
        self.warehouse = warehouse.upper() if warehouse else None
        self.parameters = {name.upper(): value for name, value in (parameters or {}).items()}
        self.temporary: dict[TableName, str] = {}
        self.temporary_stages: set[TableName] = set()
        self.in_transaction = False
        self.mutex = threading.RLock()
        self.cancel_requested = threading.Event()
        self.last_used = time.monotonic()
        self._running = False
        self._order: Order | None = None
        self._writing = False
        self._rollback_reason = ""
        self._writes: list[tuple[Operation, int]] = []
        self._touched: set[TableName] = set()
        self._changed: set[TableName] = set()
        self._commit_each = str(self.parameters.get("AUTOCOMMIT", True)).lower() != "false"
        with store.gate.passing():
            super().__init__(
                store.hub.cursor(),
                RecentResults(),
                create_database=False,
                create_schema=False,
                db_path=store.databases,
            )
            self._begin_in(database, schema)
        store.sessions.add(self)

    def _begin_in(self, database: str | None, schema: str | None) -> None:
        """Use the database and the schema that the client asked for.

        If one does not exist, the session keeps only its name.
        """
        from .rules import names

        self.database = database.upper() if database else None
        self._schema = schema.upper() if schema else None
        if self.database not in {name.upper() for name in self.store.attached}:
            return
        self.database_set = True
        self._duck_conn.execute(f"SET schema = {literal(f'{self.database}.main')}")
        if self._schema and names.schema_exists(self, self.database, self._schema):
            # DuckDB's setting cannot name a schema with a dot or a quote.
            with contextlib.suppress(duckdb.Error):
                self.use(self.database, self._schema)

    @property
    def duck(self) -> duckdb.DuckDBPyConnection:
        """The session's own DuckDB connection."""
        return self._duck_conn

    def cursor(self, cursor_class: type[SnowflakeCursor] = SnowflakeCursor) -> Any:
        """A cursor that runs statements in this session."""
        from .cursor import LocalCursor

        return LocalCursor(self)

    def use(self, database: str, schema: str | None) -> None:
        """Make a database, and a schema of it, the ones that plain names are looked up in.

        Raises:
            ProgrammingError: there is no such database or schema.
        """
        from .rules import names

        if not names.schema_exists(self, database, "main"):
            raise not_found("Database", database)
        if schema is None:
            schema = "PUBLIC" if names.schema_exists(self, database, "PUBLIC") else None
        elif not names.schema_exists(self, database, schema):
            raise not_found("Schema", f"{database}.{schema}")
        stored = "_fs_information_schema" if schema == "INFORMATION_SCHEMA" else schema or "main"
        self._duck_conn.execute(f"SET schema = {literal(f'{database}.{stored}')}")
        self.database, self._schema = database, schema
        self.database_set, self.schema_set = True, schema is not None

    def leave_if_gone(self) -> None:
        """Have no current database if somebody else has dropped it."""
        if self.database_set and self.database not in self.store.attached:
            self.leave()

    def leave(self) -> None:
        """Have no current database, as after dropping it."""
        self._duck_conn.execute("SET schema = 'memory.main'")
        self.database, self._schema = None, None
        self.database_set = self.schema_set = False

    # -- statements ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def statement(self, order: Order | None = None) -> Iterator[None]:
        """Around each statement: alone in its session, and counted as use of it.

        Raises:
            ProgrammingError: it was cancelled before its turn came.
        """
        with self.mutex:
            self._running, self._order = True, order
            self.cancel_requested.clear()
            try:
                if order is not None and order.cancelled:
                    raise cancelled()
                with self.store.gate.passing(at_once=self.holds_databases):
                    self.leave_if_gone()
                    yield
            finally:
                self._running, self._order = False, None
                self.last_used = time.monotonic()

    def report_server_rollback(self) -> None:
        """Tell the client, once, that the server rolled its transaction back."""
        if reason := self._rollback_reason:
            self._rollback_reason = ""
            raise ProgrammingError(
                msg=f"The transaction was rolled back because {reason}; begin it again.",
                errno=90229,
                sqlstate="40000",
            )

    def idle_seconds(self) -> float:
        """Seconds since the last statement ended; 0 while one runs."""
        return 0.0 if self._running else time.monotonic() - self.last_used

    def cancel(self, order: Order | None = None) -> None:
        """Interrupt the running statement, if it is this one, also while it waits for a lock."""
        if order is None or self._order is order:
            self.cancel_requested.set()
            self._duck_conn.interrupt()

    @property
    def holds_databases(self) -> bool:
        """Whether a transaction of DuckDB is open, which keeps the files that it has read open."""
        return self._writing

    @property
    def commits_each_statement(self) -> bool:
        """Whether AUTOCOMMIT is on."""
        return self._commit_each

    # -- transactions -------------------------------------------------------------------------

    def autocommit(self, mode: bool) -> None:
        """Whether each statement is its own transaction; a change commits the open one."""
        self.commit_transaction()
        self._commit_each = mode

    def begin_transaction(self) -> None:
        """Open a transaction; inside one, nothing happens, as on Snowflake."""
        self.in_transaction = True

    def commit_transaction(self) -> None:
        """Make the transaction's writes visible and give up its locks."""
        try:
            if self._writing:
                self._commit_writes()
        finally:
            self._end_transaction()
        self._record_writes()

    def rollback_transaction(self) -> None:
        """Forget the transaction's writes and give up its locks."""
        self._rollback_reason = ""
        if self._writing:
            with contextlib.suppress(duckdb.TransactionException):
                self._duck_conn.rollback()
        self._touched, self._changed = set(), set()
        self._end_transaction()

    def abandon_transaction(self) -> bool:
        """Roll back for the sake of a waiting session; False if a statement runs again."""
        if not self.mutex.acquire(blocking=False):
            return False
        try:
            # The mutex is free, so no statement runs; but one may have ended the transaction.
            if self.in_transaction:
                self.rollback_transaction()
                self._rollback_reason = "it blocked others while its session was idle"
            return True
        finally:
            self.mutex.release()

    def write(self, operation: Operation, tables: Iterable[TableName]) -> None:
        """Run a DML statement: queue for its tables, retry what DuckDB calls a conflict.

        A statement that fails leaves the transaction open with what was written before it.
        """
        tables, changed = list(tables), 0

        def counted() -> int:
            nonlocal changed
            changed = operation()
            return changed

        self._write(counted, tables)
        if changed:
            self._changed.update(tables)
        if not self.in_transaction:
            self._record_writes()

    def _write(self, operation: Operation, tables: Iterable[TableName]) -> None:
        if not self._commit_each:
            self.in_transaction = True
        try:
            for table in sorted(tables):
                self.store.locks.acquire(self, ".".join(table), self.cancel_requested.is_set)
            if self.in_transaction:
                self._write_in_transaction(operation)
            else:
                self.retry_conflicts(operation)
        finally:
            if not self.in_transaction:
                self.store.locks.release(self)
        self._touched.update(tables)

    def _record_writes(self) -> None:
        self.store.record_writes(self._touched, self._changed)
        self._touched, self._changed = set(), set()

    def read(self, operation: Callable[[], object]) -> None:
        """Run what only reads; an open transaction outlives its failure."""
        try:
            self.retry_conflicts(operation)
        except BaseException:
            self._mend()
            raise

    def define(self, operation: Operation, tables: Iterable[TableName]) -> None:
        """Run a DDL statement, which commits an open transaction first, as on Snowflake."""
        self.commit_transaction()
        commit_each, self._commit_each = self._commit_each, True
        try:
            self._write(operation, list(tables))
            self._record_writes()
        finally:
            self._commit_each = commit_each

    @contextlib.contextmanager
    def atomic(self) -> Iterator[None]:
        """Several DuckDB statements as one; inside a writing transaction they join it."""
        if self._writing:
            yield
            return
        self._duck_conn.begin()
        try:
            yield
        except BaseException:
            self._duck_conn.rollback()
            raise
        self._duck_conn.commit()

    def retry_conflicts(self, operation: Callable[[], object]) -> None:
        """Run until no concurrent change of the same rows or names gets in the way."""
        deadline = time.monotonic() + CONFLICT_SECONDS
        while True:
            try:
                operation()
                return
            except duckdb.TransactionException as error:
                if not is_conflict(error) or time.monotonic() > deadline:
                    raise
                if self.cancel_requested.is_set():
                    raise cancelled() from None
                time.sleep(random.uniform(0.01, 0.1))  # noqa: S311

    def close(self, retry: bool = True) -> None:
        """End the session: its transaction is rolled back, its temporary tables are gone."""
        with self.mutex:
            if not self._is_closed:
                with contextlib.suppress(duckdb.Error):
                    self.rollback_transaction()
                self.store.locks.release(self)
                self.store.drop_stages(self.temporary_stages)
                super().close()

    def _write_in_transaction(self, operation: Operation) -> None:
        if not self._writing:
            self._duck_conn.begin()
            self._writing = True
        try:
            changed = operation()
        except duckdb.TransactionException as error:
            if not is_conflict(error):
                self._mend()
                raise
            # Another session changed a table that this one now holds; a fresh snapshot sees it.
            self._replay()
            changed = operation()
        except BaseException:
            self._mend()
            raise
        self._writes.append((operation, changed))

    def _mend(self) -> None:
        """Make a transaction usable that DuckDB gave up because one statement in it failed.

        Snowflake drops the statement alone, and DuckDB has no savepoints.
        """
        if not self._writing:
            return
        try:
            self._duck_conn.execute("SELECT 1").fetchall()
        except duckdb.Error:
            self._replay()

    def _replay(self) -> None:
        """Write everything once more on a fresh snapshot.

        What others committed meanwhile may make a statement change other rows than the client was
        told of; then nothing is kept rather than something else.
        """

        def again() -> None:
            with contextlib.suppress(duckdb.TransactionException):
                self._duck_conn.rollback()
            self._duck_conn.begin()
            for operation, changed in self._writes:
                if operation() != changed:
                    raise ProgrammingError(msg="the data it had read changed meanwhile")

        try:
            self.retry_conflicts(again)
        except BaseException:
            self.rollback_transaction()
            self._rollback_reason = "a statement failed and the ones before it cannot be repeated"
            raise

    def _commit_writes(self) -> None:
        try:
            self._duck_conn.commit()
        except duckdb.TransactionException as error:
            if not is_conflict(error):
                raise
            self._replay()
            self._duck_conn.commit()

    def _end_transaction(self) -> None:
        self._writing = False
        self._writes = []
        self.in_transaction = False
        self.store.locks.release(self)


def is_conflict(error: duckdb.TransactionException) -> bool:
    """Whether DuckDB refused a write only because another one came first."""
    return "conflict" in str(error).lower()
