"""What the local warehouse adds to a statement: the same in DuckDB, in fakesnow, and through it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import duckdb
import fakesnow
import snowflake.connector

from benchmarks.results import Detail, Report, Result, Say
from benchmarks.warehouse import temporary_folder
from include.local_warehouse.session import Session
from include.local_warehouse.store import Store

TEST = (
    "select count(*) as failures, count(*) != 0 as should_warn, count(*) != 0 as should_error "
    "from (select a from t where a is null and {} > 0) as tested"
)
STATEMENTS: dict[str, Callable[[int], str]] = {
    "trivial, new": "select {} as n".format,
    "trivial, seen": lambda _: "select 1 as n",
    "test of a column, new": TEST.format,
    "test of a column, seen": lambda _: TEST.format(1),
    "insert, new": "insert into t values ({}, 'z')".format,
}
"""Statements that DuckDB and Snowflake share, by what they stand for."""


@dataclass(frozen=True)
class Cost:
    """Processor time of one statement, in milliseconds, the median of many.

    Attributes:
        name: what the statement stands for.
        duckdb: in DuckDB alone.
        fakesnow: in plain fakesnow.
        ours: in a session of the local warehouse, without HTTP.
    """

    name: str
    duckdb: float
    fakesnow: float
    ours: float


def run(times: int, say: Say) -> Report:
    """Measure each statement, the local warehouse beside plain fakesnow.

    Args:
        times: how often each statement runs.
        say: told what is going on.
    """
    say(f"Each statement {times} times")
    with temporary_folder() as folder:
        costs = measure(folder, times)
    return Report(
        [
            Result("statements", cost.name, cost.ours, "CPU ms", cost.fakesnow, "fakesnow")
            for cost in costs
        ],
        Detail(
            ("statement, CPU ms", "DuckDB", "fakesnow", "local warehouse", "more than DuckDB"),
            [
                (
                    cost.name,
                    *(f"{value:.2f}" for value in (cost.duckdb, cost.fakesnow, cost.ours)),
                    f"{cost.ours - cost.duckdb:.2f}",
                )
                for cost in costs
            ],
        ),
    )


def measure(folder: Path, times: int) -> list[Cost]:
    """The cost of each statement.

    Args:
        folder: for the warehouse's files.
        times: how often each statement runs.
    """
    warnings.simplefilter("ignore", UserWarning)
    plain = duckdb.connect()
    plain.execute("create table t (a int, b varchar)")
    store = Store(folder)
    session = Session(store)
    for statement in ("create database d", "create schema d.s", "use schema d.s"):
        session.cursor().execute(statement)
    session.cursor().execute("create table t (a int, b varchar)")
    try:
        with fakesnow.patch():
            faked = snowflake.connector.connect(database="d", schema="s").cursor()
            faked.execute("create table t (a int, b varchar)")
            return [
                Cost(
                    name,
                    _median(times, lambda sql: plain.execute(sql).fetchall(), statement),
                    _median(times, lambda sql: faked.execute(sql), statement),
                    _median(times, lambda sql: session.cursor().execute(sql), statement),
                )
                for name, statement in STATEMENTS.items()
            ]
    finally:
        session.close()
        store.close()


def _median(times: int, run: Callable[[str], object], statement: Callable[[int], str]) -> float:
    seconds = []
    for number in range(times):
        sql = statement(number)
        began = time.thread_time()
        run(sql)
        seconds.append(time.thread_time() - began)
    return 1000 * median(seconds)
