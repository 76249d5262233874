"""The 22 TPC-H queries: through the connector, in plain fakesnow, and in DuckDB alone.

The queries are in the part of Snowflake's SQL that DuckDB reads as it is. Parameters are the
validation values of the TPC-H specification.

DuckDB and fakesnow read copies of the warehouse's database file, so the three have the same tables,
types and row groups. Each way runs in a process of its own, with DuckDB's default of one thread a
core, and the client of the local warehouse in one more.
"""

from __future__ import annotations

import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
from fakesnow.instance import FakeSnow

from benchmarks.results import BenchmarkError, Detail, Report, Result, Say
from benchmarks.warehouse import OwnWarehouse, own_warehouse
from include.domains.tpch import sample as tpch
from include.warehouse.connection import ConnectionSettings, connect

FOLDER = Path(__file__).parent / "tpch"
DIRECTLY, FAKESNOW, OURS = "DuckDB directly", "fakesnow", "the connector"
NEW = "the connector, new text"
MOST_OF_DUCKDB = 1.15
MOST_OF_FAKESNOW = 1.0

Rows = list[tuple[Any, ...]]
Ask = Callable[[str], tuple[float, Rows]]
Seconds = dict[str, list[float]]
"""Of each run of each query, by the query's name."""


def queries(scale: float) -> dict[str, str]:
    """The text of each query, by its name.

    Args:
        scale: of TPC-H, by which the share in the eleventh query is divided.
    """
    texts = {file.stem: file.read_text(encoding="utf-8") for file in FOLDER.glob("q*.sql")}
    texts["q11"] = texts["q11"].replace("0.0001", f"{0.0001 / scale:.10f}".rstrip("0"))
    return dict(sorted(texts.items()))


def run(scale: float, repeat: int, say: Say) -> Report:
    """Ask every query some times in turn, each time each way.

    Args:
        scale: of TPC-H.
        repeat: runs of each query that count, after one that does not.
        say: told what is going on.

    Raises:
        BenchmarkError: the ways do not agree.
    """
    with own_warehouse() as warehouse:
        say(f"Loading TPC-H at scale {scale:g}")
        tpch.load(scale, settings=warehouse.settings)
        seconds = _measure(warehouse, scale, repeat, say)
    medians = {way: {name: median(of[name]) for name in of} for way, of in seconds.items()}
    totals = {way: sum(of.values()) for way, of in medians.items()}
    measured = f"22 TPC-H queries, scale {scale:g}"

    def result(way: str, beside: str, target: float | None = None) -> Result:
        name = measured if way == OURS else f"{measured}, each text new"
        return Result("queries", name, totals[way], "s", totals[beside], beside, target)

    details = [
        (
            name,
            *(f"{1000 * of[name]:.1f}" for of in medians.values()),
            *(f"{ours / medians[way][name]:.2f}" for way in (DIRECTLY, FAKESNOW)),
        )
        for name, ours in medians[OURS].items()
    ]
    return Report(
        [
            result(OURS, DIRECTLY, MOST_OF_DUCKDB),
            result(OURS, FAKESNOW, MOST_OF_FAKESNOW),
            result(NEW, DIRECTLY),
        ],
        Detail(
            ("query", *(f"{way}, ms" for way in medians), "of DuckDB", "of fakesnow"),
            details,
        ),
    )


def _measure(warehouse: OwnWarehouse, scale: float, repeat: int, say: Say) -> dict[str, Seconds]:
    settings = warehouse.settings
    texts, numbers = queries(scale), count()
    # Stopped, it has written everything into the file.
    warehouse.process.stop()
    stored = settings.warehouse_home / "databases" / f"{tpch.DATABASE}.db"
    copies = [settings.home / name / stored.name for name in ("directly", "fakesnow")]
    for copy in copies:
        copy.parent.mkdir()
        shutil.copyfile(stored, copy)
    warehouse.process.start()
    with ExitStack() as stack:
        ways: dict[str, Ask] = {
            DIRECTLY: stack.enter_context(_way(_open_duckdb, copies[0])),
            FAKESNOW: stack.enter_context(_way(_open_fakesnow, copies[1].parent)),
            OURS: stack.enter_context(_way(_open_connector, settings)),
        }
        # The warehouse keeps what it rewrote a text to, so a text that comes again costs less.
        ways[NEW] = lambda sql: ways[OURS](f"{sql}-- {next(numbers)}")
        seconds: dict[str, Seconds] = {way: {name: [] for name in texts} for way in ways}
        # The first turn reads the files.
        for turn in range(repeat + 1):
            say(f"Turn {turn} of {repeat}" if turn else "Reading everything once")
            for name, text in texts.items():
                answers = {}
                for way, ask in ways.items():
                    taken, answers[way] = ask(text)
                    if turn:
                        seconds[way][name].append(taken)
                for way, rows in answers.items():
                    _compare(name, way, rows, answers[DIRECTLY])
    return seconds


@contextmanager
def _way(opened: Callable[[Any], None], at: Path | ConnectionSettings) -> Iterator[Ask]:
    """A process that opens what it asks, and then asks it."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        process.submit(opened, at).result()
        yield lambda sql: process.submit(_ask, sql).result()


_cursor: list[Any] = []
"""In each way's process, what runs statements."""

_opened = ExitStack()


def _open_duckdb(file: Path) -> None:
    connection = duckdb.connect(str(file), read_only=True)
    connection.execute(f"use {tpch.SCHEMA}")
    _cursor.append(connection)


def _open_fakesnow(folder: Path) -> None:
    fake = FakeSnow(db_path=folder)
    _cursor.append(fake.connect(database=tpch.DATABASE, schema=tpch.SCHEMA).cursor())


def _open_connector(settings: ConnectionSettings) -> None:
    warnings.simplefilter("ignore", UserWarning)
    connection = connect(settings, database=tpch.DATABASE, schema=tpch.SCHEMA)
    _cursor.append(_opened.enter_context(connection).cursor())


def _ask(sql: str) -> tuple[float, Rows]:
    began = time.perf_counter()
    rows = _cursor[0].execute(sql).fetchall()
    return time.perf_counter() - began, rows


def _compare(query: str, way: str, rows: Rows, expected: Rows) -> None:
    if len(rows) != len(expected):
        raise BenchmarkError(
            f"{query} has {len(rows):,} rows through {way} and {len(expected):,} in DuckDB."
        )
    for place, (row, wanted) in enumerate(zip(rows, expected, strict=True), 1):
        if len(row) != len(wanted) or not all(map(_same, row, wanted)):
            raise BenchmarkError(
                f"Row {place} of {query} is {row} through {way} and {wanted} in DuckDB."
            )


def _same(one: Any, other: Any) -> bool:
    # Averages and ratios are decimals here and doubles there.
    if isinstance(one, float | Decimal) and isinstance(other, float | Decimal):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)
