"""The data of the local warehouse: one DuckDB file per database, in one folder."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import re
import shutil
import threading
import weakref
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from fakesnow import info_schema, macros
from fakesnow.instance import GLOBAL_DATABASE_NAME
from fakesnow.transforms import show
from snowflake.connector.errors import ProgrammingError

from . import places
from .errors import WarehouseError
from .gate import Gate
from .history import History
from .locks import TableLocks
from .remembered import Remembered
from .rules import account, functions, metadata, staging
from .rules.answers import identifier, literal

if TYPE_CHECKING:
    from .session import Session

logger = logging.getLogger("firn.warehouse")

FORMAT = "firn-warehouse 1 duckdb 2"
MINIMUM_FREE_BYTES = 64 * 1024**2
DATABASE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,199}")


class Store:
    """The open data folder: every database attached, one server at a time.

    Args:
        folder: where the files are; made if it is missing.
        idle_limit_seconds: how long a silent transaction may block others.

    Raises:
        WarehouseError: another server has the folder, it holds another format, or the disk is full.
    """

    def __init__(self, folder: Path, idle_limit_seconds: float = 60.0) -> None:
        self.folder = folder.resolve()
        self.databases = self.folder / "databases"
        self.stages = self.folder / "stages"
        self.uploads = self.folder / "uploads"
        for needed in (self.folder, self.databases, self.stages):
            needed.mkdir(parents=True, exist_ok=True)
        self._close_folder()
        self._lock_folder()
        self._check_format()
        self._check_space()
        shutil.rmtree(self.uploads, ignore_errors=True)
        self.uploads.mkdir()
        self.locks = TableLocks(idle_limit_seconds)
        self.catalog_lock = threading.RLock()
        self.gate = Gate()
        self.remembered = Remembered()
        self.history = History(self.folder)
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        places.guard_fakesnow(self.stages)
        self.attached: set[str] = set()
        self.hub = self._open()

    def _close_folder(self) -> None:
        try:
            # This also protects readable files in it, such as those of an older version.
            self.folder.chmod(0o700)
        except OSError as error:
            raise WarehouseError(
                f"{self.folder} cannot be closed to other users ({error.strerror}); set FIRN_HOME "
                "to a folder of your own."
            ) from None

    def _lock_folder(self) -> None:
        self._lock_file = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WarehouseError(
                f"Another local warehouse already serves {self.folder}; stop it first with "
                "`firn warehouse stop`, or set FIRN_HOME to another folder."
            ) from None

    def _check_format(self) -> None:
        marker = self.folder / "format"
        if not marker.exists():
            if any(self.databases.iterdir()):
                raise WarehouseError(
                    f"{self.folder} holds databases without a format marker; move them away or run "
                    "`firn warehouse reset`."
                )
            fresh = marker.with_suffix(".new")
            fresh.write_text(FORMAT + "\n")
            fresh.replace(marker)
        found = marker.read_text().strip()
        if found != FORMAT:
            raise WarehouseError(
                f"The data in {self.folder} has the format '{found}', this version reads "
                f"'{FORMAT}'; run `firn warehouse reset` to start with empty "
                "databases."
            )

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < MINIMUM_FREE_BYTES:
            raise WarehouseError(
                f"The disk that holds {self.folder} has only {free // 1024**2} MiB left; free at "
                f"least {MINIMUM_FREE_BYTES // 1024**2} MiB or set FIRN_HOME to another disk."
            )

    def _open(self) -> duckdb.DuckDBPyConnection:
        spill = self.folder / "spill"
        shutil.rmtree(spill, ignore_errors=True)
        hub = duckdb.connect(
            ":memory:",
            config={
                # sqlglot writes DuckDB's older arrow lambdas.
                "lambda_syntax": "ENABLE_SINGLE_ARROW",
                "temp_directory": str(spill),
            },
        )
        # Every statement comes from a client, so the engine itself must not reach other files.
        hub.execute("SET GLOBAL TimeZone = 'UTC'")
        hub.execute(
            f"ATTACH '{self._quoted(self.folder / 'account.db')}' AS {GLOBAL_DATABASE_NAME}"
        )
        allowed = ", ".join(
            f"'{self._quoted(folder)}/'" for folder in (self.databases, self.stages, spill)
        )
        hub.execute(f"SET allowed_directories = [{allowed}]")
        hub.execute("SET enable_external_access = false")
        hub.execute(info_schema.fs_global_creation_sql())
        hub.execute(show.fs_global_creation_sql())
        hub.execute(metadata.ACCOUNT_TABLES_SQL)
        hub.execute(functions.MACROS_SQL)
        named = {stem: name for name, stem in hub.execute(f"FROM {metadata.FILES}").fetchall()}
        for found in sorted(self.databases.glob("*.db")):
            file = self._file(found.stem)
            name = named.get(file.stem, file.stem)
            if name == metadata.NOBODY:
                self._unlink(file)
                continue
            named.pop(file.stem, None)
            try:
                hub.execute(f"ATTACH '{self._quoted(file)}' AS {identifier(name)}")
                self.prepare_database(hub, name)
            except duckdb.Error as error:
                reason = str(error).splitlines()[0]
                raise WarehouseError(
                    f"{file} cannot be opened ({reason}): move it away to start without the "
                    f"database {name}, or run `firn warehouse reset`."
                ) from None
        for stem in named:
            # Of a database that was being made or dropped when the server was killed.
            hub.execute(f"DELETE FROM {metadata.FILES} WHERE stem = ?", (stem,))
        metadata.restore_views(hub, hub)
        # A killed server could not end its sessions.
        left_over = hub.execute(
            f"SELECT database_name, schema_name, name FROM {staging.STAGES} "
            "WHERE type LIKE '%TEMPORARY'"
        ).fetchall()
        self._drop_stages(hub, left_over)
        return hub

    def drop_stages(self, stages: Iterable[tuple[str, str, str]]) -> None:
        """Forget stages and delete the files in them."""
        with self.catalog_lock, self.hub.cursor() as connection:
            self._drop_stages(connection, stages)

    def _drop_stages(
        self, connection: duckdb.DuckDBPyConnection, stages: Iterable[tuple[str, str, str]]
    ) -> None:
        for stage in stages:
            gone = connection.execute(
                f"DELETE FROM {staging.STAGES} "
                "WHERE database_name = ? AND schema_name = ? AND name = ? RETURNING name",
                stage,
            ).fetchone()
            if gone:
                self._remove_staged(*stage)

    def _remove_staged(self, *names: str) -> None:
        """Delete the files of a stage, or of all stages of a schema or a database."""
        # A name that is not allowed for a folder has no folder.
        with contextlib.suppress(ProgrammingError):
            shutil.rmtree(places.inside(self.stages, *names), ignore_errors=True)

    def forget_stages(self, *container: str) -> None:
        """Forget the stages of a schema or database that is gone, and delete their files."""
        columns = ("database_name", "schema_name")[: len(container)]
        condition = " AND ".join(f"{column} = ?" for column in columns)
        with self.catalog_lock, self.hub.cursor() as connection:
            connection.execute(f"DELETE FROM {staging.STAGES} WHERE {condition}", container)
        self._remove_staged(*container)

    def prepare_database(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Create fakesnow's and our own views and macros in a database, if they are missing."""
        connection.execute(info_schema.per_db_creation_sql(name))
        connection.execute(macros.creation_sql(name))
        connection.execute(metadata.database_views_sql(name))
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{name}".PUBLIC')
        self.attached.add(name)

    def database_file(self, name: str) -> Path:
        """The file of a database; another one than its name says once it has been swapped.

        Raises:
            WarehouseError: the name is not a plain identifier.
        """
        if not DATABASE_NAME.fullmatch(name):
            raise WarehouseError(f"'{name}' cannot name a database of the local warehouse.")
        with self.catalog_lock, self.hub.cursor() as connection:
            found = connection.execute(
                f"SELECT stem FROM {metadata.FILES} WHERE name = ?", (name,)
            ).fetchone()
        return self._file(found[0] if found else name)

    def _file(self, stem: str) -> Path:
        try:
            return places.inside(self.databases, path=f"{stem}.db")
        except ProgrammingError:
            raise WarehouseError(
                f"{self.databases / stem}.db is not a file in {self.databases}: replace the link "
                "with the file itself."
            ) from None

    def new_database_file(self, name: str) -> Path:
        """The file for a database that is made, which is not that of any other.

        Raises:
            WarehouseError: the name is not a plain identifier.
        """
        if (file := self.database_file(name)).exists():
            # A database of another name has it since the two were swapped.
            file = self._spare_file(name)
            with self.catalog_lock, self.hub.cursor() as connection:
                connection.execute(f"INSERT INTO {metadata.FILES} VALUES (?, ?)", (name, file.stem))
        return file

    def swap_databases(self, one: str, other: str) -> None:
        """Let two attached databases change names; nothing else may run meanwhile.

        What says which file is whose, and what is kept of tables and grants by name, is one
        transaction. Killed before it is committed, the old names hold, afterwards the new ones.

        Raises:
            duckdb.Error: it could not be done, and the names are the old ones.
        """
        files = {one: self.database_file(one), other: self.database_file(other)}
        with self.catalog_lock, self.hub.cursor() as connection:
            connection.execute("BEGIN")
            try:
                metadata.swap_databases(connection, one, other, files[one].stem, files[other].stem)
                self._attach({one: files[other], other: files[one]})
                with self.hub.cursor() as another:
                    metadata.restore_views(connection, another)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                self._attach(files)
                raise

    def clone_database(self, of: str, to: str) -> None:
        """Make a database, or make it anew, as a copy of another; nothing else may run meanwhile.

        Killed before it is complete, the old database is there, or none.

        Raises:
            duckdb.Error: it could not be done.
            OSError: the disk is full.
        """
        copy, old = self._spare_file(to), self.database_file(to)
        with self.catalog_lock, self.hub.cursor() as connection:
            files = f"INSERT INTO {metadata.FILES} VALUES (?, ?)"
            connection.execute(files, (metadata.NOBODY, copy.stem))
            try:
                connection.execute(f"CHECKPOINT {identifier(of)}")
                shutil.copyfile(self.database_file(of), copy)
                connection.execute("BEGIN")
                connection.execute(
                    f"DELETE FROM {metadata.FILES} WHERE name = ? OR stem = ?", (to, copy.stem)
                )
                connection.execute(files, (to, copy.stem))
                if old.exists():
                    connection.execute(files, (metadata.NOBODY, old.stem))
                metadata.copy_database_notes(connection, of, to)
                account.copy_grants(connection, of, to)
                self._attach({to: copy})
                with self.hub.cursor() as another:
                    metadata.restore_views(connection, another)
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(duckdb.TransactionException):
                    connection.execute("ROLLBACK")
                connection.execute(f"DETACH DATABASE IF EXISTS {identifier(to)}")
                if old.exists():
                    self._attach({to: old})
                self._unlink(copy)
                raise
            self._unlink(old)
            connection.execute(f"DELETE FROM {metadata.FILES} WHERE name = ?", (metadata.NOBODY,))
        self.forget_stages(to)

    def _spare_file(self, name: str) -> Path:
        number = 2
        while (file := self._file(f"{name}.{number}")).exists():
            number += 1
        return file

    @staticmethod
    def _unlink(file: Path) -> None:
        for part in (file, file.with_name(file.name + ".wal")):
            part.unlink(missing_ok=True)

    def _attach(self, files: dict[str, Path]) -> None:
        """Give each of some databases a file, after taking away the ones that they have."""
        with self.hub.cursor() as connection:
            for name in files:
                connection.execute(f"DETACH DATABASE IF EXISTS {identifier(name)}")
            for name, file in files.items():
                connection.execute(f"ATTACH {literal(str(file))} AS {identifier(name)}")
                self.prepare_database(connection, name)

    def remove_database(self, name: str) -> None:
        """Delete the files of a detached database and of its stages."""
        self.attached.discard(name)
        self._unlink(self.database_file(name))
        with self.catalog_lock, self.hub.cursor() as connection:
            connection.execute(f"DELETE FROM {metadata.FILES} WHERE name = ?", (name,))
            metadata.forget_container(connection, (name,))
        self.forget_stages(name)

    def record_writes(
        self,
        tables: Iterable[tuple[str, str, str]],
        changed: Collection[tuple[str, str, str]] = (),
    ) -> None:
        """Record when each table was last written, which DuckDB does not know.

        Args:
            tables: the tables that a statement wrote to or defined.
            changed: those of them whose rows have changed.
        """
        if not tables:
            return
        try:
            with self.catalog_lock, self.hub.cursor() as connection:
                metadata.record_writes(connection, tables, changed)
        except duckdb.Error:
            # The rows are committed, and a client that heard of an error would write them again.
            logger.exception("the time of the last write was not kept")

    def close(self) -> None:
        """Write every database back to its file and let the folder go."""
        self.hub.close()
        self.history.close()
        self._lock_file.close()

    @staticmethod
    def _quoted(path: Path) -> str:
        return str(path).replace("'", "''")
