"""The data of the local warehouse: one DuckDB file per database, in one folder."""

from __future__ import annotations

import fcntl
import logging
import re
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

import duckdb
from fakesnow import info_schema, macros
from fakesnow.instance import GLOBAL_DATABASE_NAME
from fakesnow.transforms import show
from fakesnow.transforms import stage as fakesnow_stage

from include.warehouse.local.errors import WarehouseError
from include.warehouse.local.locks import TableLocks
from include.warehouse.local.rules import functions, metadata, staging

logger = logging.getLogger("firn.warehouse")

FORMAT = "firn-warehouse 1 duckdb 2"
MINIMUM_FREE_BYTES = 64 * 1024**2
DATABASE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


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
        self._lock_folder()
        self._check_format()
        self._check_space()
        shutil.rmtree(self.uploads, ignore_errors=True)
        self.uploads.mkdir()
        self.locks = TableLocks(idle_limit_seconds)
        self.catalog_lock = threading.RLock()
        # fakesnow keeps staged files in a temporary folder of its own unless told otherwise.
        fakesnow_stage.LOCAL_BUCKET_PATH = str(self.stages)
        self.attached: set[str] = set()
        self.hub = self._open()

    def _lock_folder(self) -> None:
        self._lock_file = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WarehouseError(
                f"Another local warehouse already serves {self.folder}; stop it first with "
                "`python -m include.warehouse stop`, or set FIRN_HOME to another folder."
            ) from None

    def _check_format(self) -> None:
        marker = self.folder / "format"
        if not marker.exists():
            if any(self.databases.iterdir()):
                raise WarehouseError(
                    f"{self.folder} holds databases without a format marker; move them away or run "
                    "`python -m include.warehouse reset`."
                )
            fresh = marker.with_suffix(".new")
            fresh.write_text(FORMAT + "\n")
            fresh.replace(marker)
        found = marker.read_text().strip()
        if found != FORMAT:
            raise WarehouseError(
                f"The data in {self.folder} has the format '{found}', this version reads "
                f"'{FORMAT}'; run `python -m include.warehouse reset` to start with empty "
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
        for file in sorted(self.databases.glob("*.db")):
            try:
                hub.execute(f"ATTACH '{self._quoted(file)}' AS \"{file.stem}\"")
                self.prepare_database(hub, file.stem)
            except duckdb.Error as error:
                reason = str(error).splitlines()[0]
                raise WarehouseError(
                    f"{file} cannot be opened ({reason}): move it away to start without the "
                    f"database {file.stem}, or run `python -m include.warehouse reset`."
                ) from None
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
            connection.execute(
                f"DELETE FROM {staging.STAGES} "
                "WHERE database_name = ? AND schema_name = ? AND name = ?",
                stage,
            )
            shutil.rmtree(self.stages.joinpath(*stage), ignore_errors=True)

    def prepare_database(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Create fakesnow's and our own views and macros in a database, if they are missing."""
        connection.execute(info_schema.per_db_creation_sql(name))
        connection.execute(macros.creation_sql(name))
        connection.execute(metadata.database_views_sql(name))
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{name}".PUBLIC')
        self.attached.add(name)

    def database_file(self, name: str) -> Path:
        """The file of a database.

        Raises:
            WarehouseError: the name is not a plain identifier.
        """
        if not DATABASE_NAME.fullmatch(name):
            raise WarehouseError(f"'{name}' cannot name a database of the local warehouse.")
        return self.databases / f"{name}.db"

    def remove_database(self, name: str) -> None:
        """Delete the files of a detached database and of its stages."""
        self.attached.discard(name)
        file = self.database_file(name)
        for part in (file, file.with_name(file.name + ".wal")):
            part.unlink(missing_ok=True)
        shutil.rmtree(self.stages / name, ignore_errors=True)

    def record_writes(self, tables: Iterable[tuple[str, str, str]]) -> None:
        """Keep the time of the last write of each table, which DuckDB does not know."""
        if not tables:
            return
        try:
            with self.catalog_lock, self.hub.cursor() as connection:
                metadata.record_writes(connection, tables)
        except duckdb.Error:
            # The rows are committed, and a client that heard of an error would write them again.
            logger.exception("the time of the last write was not kept")

    def close(self) -> None:
        """Write every database back to its file and let the folder go."""
        self.hub.close()
        self._lock_file.close()

    @staticmethod
    def _quoted(path: Path) -> str:
        return str(path).replace("'", "''")
