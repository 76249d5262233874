"""Ways of bringing one CSV file into a table, timed one after another in the same warehouse."""

# ruff: noqa: S608 - names are made here, from constants and numbers.
from __future__ import annotations

import csv
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median

import pandas as pd
import sqlalchemy
from snowflake.connector import SnowflakeConnection
from snowflake.sqlalchemy import URL

from benchmarks.results import BenchmarkError, Detail, Report, Result, Say
from benchmarks.rows import COLUMNS, write_csv
from benchmarks.warehouse import own_warehouse
from include.ingestion.loader import load_source
from include.ingestion.sources import Column, Source
from include.warehouse.connection import LOCAL_HOST, ConnectionSettings, connect

DOMAIN = "bench"
SCHEMA = f"RAW.{DOMAIN.upper()}"
LITERAL_ROWS = 10
PANDAS_ROWS = 1_000
"""Rows that pandas sends with one INSERT."""

COPY, UNCOMPRESSED, COPY_AND_MERGE = "PUT + COPY", "PUT uncompressed + COPY", "PUT + COPY + MERGE"
APPEND, MERGE = "loader, append", "loader, merge"
PANDAS, LITERALS = "pandas to_sql", f"MERGE of {LITERAL_ROWS} literal rows"
COMPARED = (
    (APPEND, COPY),
    (APPEND, UNCOMPRESSED),
    (MERGE, COPY_AND_MERGE),
    (PANDAS, COPY),
    (LITERALS, COPY),
)
"""Ways, each with the one that it is compared with."""


@dataclass
class Method:
    """One way to load.

    Attributes:
        name: as shown.
        rows: how many it loads; the slow ways get fewer.
        run: loads the file at a path into the table of a name.
        seconds: of each run.
        processor_seconds: of each run, client and warehouse together.
    """

    name: str
    rows: int
    run: Callable[[Path, str], None]
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)

    @property
    def seconds_per_million(self) -> float:
        """Seconds for a million rows, of the run in the middle."""
        return 1_000_000 * median(self.seconds) / self.rows


def run(rows: int, slow_rows: int, repeat: int, say: Say) -> Report:
    """Load a file every way, in turn.

    Args:
        rows: of the file.
        slow_rows: for pandas; a tenth of them for the literals.
        repeat: runs of each way.
        say: told what is going on.
    """
    with own_warehouse() as warehouse:
        bench = Bench(warehouse.settings, warehouse.settings.home / "landing", warehouse.pid)
        methods = bench.measure(rows, slow_rows, repeat, say)
    taken = {method.name: method.seconds_per_million for method in methods}
    return Report(
        [
            Result("loading", way, taken[way], "s per million rows", taken[beside], beside)
            for way, beside in COMPARED
        ],
        Detail(
            ("way", "rows", "seconds", "CPU seconds", "rows per second"),
            [
                (
                    method.name,
                    f"{method.rows:,}",
                    f"{median(method.seconds):.2f}",
                    f"{median(method.processor_seconds):.2f}",
                    f"{1_000_000 / method.seconds_per_million:,.0f}",
                )
                for method in methods
            ],
        ),
    )


class Bench:
    """The ways to load, in one warehouse.

    Args:
        settings: of the warehouse.
        folder: for the generated files; a landing folder as well.
        server: the warehouse's process id.
    """

    def __init__(self, settings: ConnectionSettings, folder: Path, server: int) -> None:
        self.settings = settings
        self.folder = folder
        self.server = server

    def methods(self, rows: int, slow_rows: int) -> list[Method]:
        """Every way, the one that the others are measured against first."""
        return [
            Method(COPY, rows, self.put_and_copy),
            Method(UNCOMPRESSED, rows, self.put_uncompressed_and_copy),
            Method(APPEND, rows, self.load_append),
            Method(COPY_AND_MERGE, rows, self.put_copy_and_merge),
            Method(MERGE, rows, self.load_merge),
            Method(PANDAS, slow_rows, self.pandas),
            Method(LITERALS, slow_rows // 10, self.merge_literals),
        ]

    def measure(self, rows: int, slow_rows: int, repeat: int, say: Say) -> list[Method]:
        """Run every way some times in turn, each into a table of its own that is counted after.

        Raises:
            BenchmarkError: a table has not as many rows as the file.
        """
        with connect(self.settings, database="RAW", as_loader=True) as connection:
            connection.cursor().execute(f"create schema if not exists {SCHEMA}")
        # What is paid once in a process is no part of it.
        for method in self.methods(100, 100):
            self._time(method, 0)
        methods = self.methods(rows, slow_rows)
        for turn in range(1, repeat + 1):
            for method in methods:
                self._time(method, turn)
                say(
                    f"{turn}/{repeat} {method.name}: {method.rows:,} rows in "
                    f"{method.seconds[-1]:.2f} s, {method.processor_seconds[-1]:.2f} s of processor"
                )
        return methods

    def _time(self, method: Method, turn: int) -> None:
        table = re.sub(r"\W+", "_", f"{method.name}_{turn}".lower())
        path = self.folder / DOMAIN / table / f"{table}.csv"
        path.parent.mkdir(parents=True)
        write_csv(path, method.rows)
        used, started = self._processor_seconds(), time.perf_counter()
        method.run(path, table)
        method.seconds.append(time.perf_counter() - started)
        method.processor_seconds.append(self._processor_seconds() - used)
        with (
            connect(self.settings, database="RAW", as_loader=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"select count(*), count(distinct transaction_id) from {SCHEMA}.{table}")
            found = cursor.fetchall()
            cursor.execute(f"drop table {SCHEMA}.{table}")
        if found != [(method.rows, method.rows)]:
            raise BenchmarkError(f"{method.name} made {found} of {method.rows:,} rows.")
        path.unlink(missing_ok=True)

    def _processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.server}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")

    # -- the loader ---------------------------------------------------------------------------

    def load_append(self, path: Path, table: str) -> None:
        """`load: append`."""
        self._load(path, Source(name=table, load="append", columns=_columns()))

    def load_merge(self, path: Path, table: str) -> None:
        """`load: merge` into a table without rows."""
        self._load(path, Source(name=table, load="merge", key=[COLUMNS[0]], columns=_columns()))

    def _load(self, path: Path, source: Source) -> None:
        source = source.model_copy(update={"domain": DOMAIN})
        [loaded] = load_source(source, settings=self.settings, landing=self.folder).files
        if loaded.status != "loaded":
            raise BenchmarkError(f"{path} is {loaded.status}: {loaded.reason}")

    # -- by hand ------------------------------------------------------------------------------

    def put_and_copy(self, path: Path, table: str) -> None:
        """As PUT does it if nothing is said: with gzip on the way; into a table of texts."""
        with connect(self.settings, database="RAW", as_loader=True) as connection:
            self._put_and_copy(connection, path, f"{SCHEMA}.{table}")

    def put_uncompressed_and_copy(self, path: Path, table: str) -> None:
        """The bytes as they are, which costs nothing where there is no network."""
        with connect(self.settings, database="RAW", as_loader=True) as connection:
            self._put_and_copy(connection, path, f"{SCHEMA}.{table}", compress=False)

    def put_copy_and_merge(self, path: Path, table: str) -> None:
        """The same into a transient table, merged from there."""
        with connect(self.settings, database="RAW", as_loader=True) as connection:
            self._put_and_copy(connection, path, f"{SCHEMA}.load_{table}")
            execute = connection.cursor().execute
            execute(f"create table {SCHEMA}.{table} ({_definitions()})")
            execute(_merge(f"{SCHEMA}.{table}", f"{SCHEMA}.load_{table}"))
            execute(f"drop table {SCHEMA}.load_{table}")

    def _put_and_copy(
        self, connection: SnowflakeConnection, path: Path, table: str, *, compress: bool = True
    ) -> None:
        execute = connection.cursor().execute
        execute(f"create transient table {table} ({_definitions()})")
        execute(f"create temporary stage {table}_stage")
        execute(f"put 'file://{path}' @{table}_stage auto_compress = {str(compress).lower()}")
        execute(
            f"copy into {table} from @{table}_stage file_format ="
            " (type = csv skip_header = 1 field_optionally_enclosed_by = '\"')"
        )

    def pandas(self, path: Path, table: str) -> None:
        """`DataFrame.to_sql`."""
        address = URL(
            account="local",
            user="firn",
            password=self.settings.local_login.password(),
            host=LOCAL_HOST,
            port=self.settings.port,
            database="RAW",
            schema=DOMAIN.upper(),
        )
        engine = sqlalchemy.create_engine(address, connect_args={"protocol": "http"})
        frame = pd.read_csv(path, dtype=str)
        frame.to_sql(table, engine, index=False, chunksize=PANDAS_ROWS)
        engine.dispose()

    def merge_literals(self, path: Path, table: str) -> None:
        """One MERGE for each few rows, which stand in the statement."""
        with (
            connect(self.settings, database="RAW", as_loader=True) as connection,
            path.open(newline="") as file,
        ):
            execute = connection.cursor().execute
            execute(f"create table {SCHEMA}.{table} ({_definitions()})")
            lines = csv.reader(file)
            next(lines)
            while rows := list(islice(lines, LITERAL_ROWS)):
                values = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows)
                named = ", ".join(
                    f"column{place} as {name}" for place, name in enumerate(COLUMNS, 1)
                )
                execute(_merge(f"{SCHEMA}.{table}", f"(select {named} from values {values})"))


def _columns() -> list[Column]:
    return [Column(name=name, nullable=name != COLUMNS[0]) for name in COLUMNS]


def _definitions() -> str:
    return ", ".join(f"{name} varchar" for name in COLUMNS)


def _merge(table: str, source: str) -> str:
    key, *others = COLUMNS
    return (
        f"merge into {table} as t using {source} as s on t.{key} = s.{key}"
        f" when matched then update set {', '.join(f'{name} = s.{name}' for name in others)}"
        f" when not matched then insert ({', '.join(COLUMNS)})"
        f" values ({', '.join(f's.{name}' for name in COLUMNS)})"
    )


def _literal(text: str) -> str:
    return "null" if text == "" else "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
