"""The report on a workbook and the dbt models give the same rows for the same input."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.ingestion.loader import prepare_sources
from include.ingestion.sources import load_domain
from include.quality.workbook import (
    PURCHASES,
    RESULT,
    SPINS,
    hourly_activity,
    read_workbook,
)
from tests.conftest import start_warehouse
from tests.integration.dbt_runs import DbtRuns, dbt_runs
from tests.workbooks import Cell, at, write_workbook

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SEED = 20_220_401
ROWS = 400
USERS = ["U1", "U2", "U3", "u3", " U4"]
RAW = {
    PURCHASES: ("purchases", ("timestamp", "user_id", "revenue", "transaction_id", "updated_at")),
    SPINS: ("spins_hourly", ("timestamp", "user_id", "country", "total_spins", "updated_at")),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DbtRuns]:
    folder = tmp_path_factory.mktemp("agrees")
    warehouse = start_warehouse(folder)
    try:
        prepare_sources(load_domain("gaming").sources, settings=warehouse.settings())
        with dbt_runs(warehouse, folder, "gaming", "agrees") as runs:
            yield runs
    finally:
        warehouse.process.stop()


def rough_workbook(path: Path) -> Path:
    """Both streams with every kind of dirt that is rejected, superseded or added up."""
    draw = random.Random(SEED)  # noqa: S311

    def moment() -> Any:
        found = at("2022-04-01 00:00") + timedelta(seconds=draw.randrange(3 * 86_400))
        as_text = draw.random() < 0.2
        return found.strftime("%Y-%m-%dT%H:%M:%S.%f") if as_text else found

    def hour() -> Any:
        # Few enough for totals in parts and users in two countries.
        return at("2022-04-01 00:00") + timedelta(minutes=30 * draw.randrange(40))

    def changed() -> Any:
        return draw.choice([None, *(at(f"2022-04-05 {number}:00") for number in range(10, 13))])

    def user() -> Cell:
        return draw.choice([*USERS * 6, None, "", " ", 77])

    def revenue() -> Cell:
        good = draw.choice(["1.99", "4.99", "0.01", "99.99", "0.005", "2.345", "+5", "7.", ".5"])
        bad = [None, "", "4.99", 4.99, "a=", "a=b=1", "a=-1", "a=0", "a=0.004", "a=1e3", "free"]
        bad += ["a=12345678901", "a=4,99", "a=1 2", "a=\u0661"]
        return (
            draw.choice([f"PriceInUSD={good}", f"PriceInUSD={good}", f"x= {good} ", *bad[:3]])
            if draw.random() < 0.7
            else draw.choice(bad)
        )

    purchases: list[tuple[Cell, ...]] = [
        (
            draw.choice([moment(), moment(), moment(), moment(), None]),
            user(),
            revenue(),
            draw.choice([f"t{draw.randrange(ROWS // 2)}", f"t{draw.randrange(ROWS)}", None, " "])
            if draw.random() < 0.2
            else f"t{draw.randrange(ROWS)}",
            changed(),
        )
        for _ in range(ROWS)
    ]
    spins: list[tuple[Cell, ...]] = [
        (
            hour() if draw.random() < 0.97 else None,
            user(),
            draw.choice(["US", "US", "CA", "CA", "CA", "MX", None, " "]),
            draw.choice(
                [
                    round(draw.uniform(0, 9), 6),
                    draw.randrange(4),
                    0.1,
                    0,
                    *([None, -0.5] if draw.random() < 0.2 else []),
                ]
            ),
            changed(),
        )
        for _ in range(ROWS)
    ]
    return write_workbook(path, purchases, spins)


def fill(runs: DbtRuns, path: Path) -> None:
    """The workbook's rows as the raw tables have them, in the order they stand in."""
    for sheet, rows in read_workbook(path).items():
        table, columns = RAW[sheet]
        name = f"raw.gaming.{table}"
        runs.rows(f"truncate table {name}")
        values = rows.with_columns(
            pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M:%S%.6f"),
            pl.col("updated_at").dt.strftime("%Y-%m-%d %H:%M:%S"),
        ).select(*columns, "row")
        runs.cursor.executemany(
            f"insert into {name} ({', '.join(columns)}, _row_number, _source_file, _load_id, "
            "_loaded_at, _row_hash) "
            "values (%s, %s, %s, %s, %s, %s, 'w.xlsx', 'load', '2026-01-01 00:00:00', 'hash')",
            values.rows(),
        )


def assert_agree(runs: DbtRuns, path: Path) -> tuple[int, int]:
    """Build the models on the workbook's rows and compare; rows of the mart and rejected ones."""
    fill(runs, path)
    done = runs.run("--full-refresh")
    assert done.success, done.output
    activity = hourly_activity(read_workbook(path))
    columns = ", ".join(RESULT)
    built = runs.rows(f"select {columns} from {runs.table('mart_user_activity_hourly')}")
    assert set(built) ^ set(activity.hours.rows()) == set()
    assert len(built) == activity.hours.height == activity.expected_rows
    rejected = runs.rows(
        f"select raw_table, row_number_in_load, reason from {runs.table('stg_gaming__rejected')}"
    )
    tables = {sheet: table for sheet, (table, _) in RAW.items()}
    assert sorted(rejected) == sorted(
        (tables[sheet], row, reason) for sheet, row, reason in activity.rejected.rows()
    )
    return len(built), len(rejected)


def test_the_workbook_report_and_the_models_agree_row_for_row(
    runs: DbtRuns, tmp_path: Path
) -> None:
    path = rough_workbook(tmp_path / "rough.xlsx")
    built, rejected = assert_agree(runs, path)
    assert built > 100
    reasons = set(hourly_activity(read_workbook(path)).rejected["reason"])
    assert rejected > len(reasons) == 10
    countries = runs.rows(
        f"select distinct country from {runs.table('mart_user_activity_hourly')} order by 1"
    )
    assert countries == [("CA",), ("MX",), ("UNKNOWN",), ("US",)]
