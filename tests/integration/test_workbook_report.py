"""The report on a workbook, checked by Great Expectations: every expectation can fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.commands.workbook import read_back
from include.quality.expectations import COLUMNS, LARGEST, TYPES, expectations, validate
from include.quality.workbook import WorkbookError, hourly_activity, read_workbook, write_csv
from include.warehouse.connection import REPOSITORY
from tests.workbooks import at, write_workbook

pytestmark = pytest.mark.integration

PURCHASES = [
    (at("10:00"), "U1", "PriceInUSD=1.99", "T1"),
    (at("10:59"), "U1", "PriceInUSD=5.00", "T2"),
    (at("11:00"), "U1", "PriceInUSD=10.01", "T3"),
    (at("11:00"), "U2", "PriceInUSD=0.01", "T4"),
]
SPINS = [
    (at("10:00"), "U1", "US", 12.1),
    (at("10:00"), "U1", "CA", 3),
    (at("12:00"), "U2", "US", 1),
]
ROWS = 5


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    activity = hourly_activity(
        read_workbook(write_workbook(folder / "game.xlsx", PURCHASES, SPINS))
    )
    assert activity.expected_rows == activity.hours.height == ROWS
    write_csv(activity.hours, folder / "report.csv")
    return folder / "report.csv"


def failed(frame: Any, docs: Path, rows: int = ROWS) -> set[str]:
    found = validate(frame, expectations(rows), docs, "game.xlsx")
    assert len(found) == len(expectations(rows)) == 30
    return {f"{one.name} {one.about}".strip() for one in found if not one.success}


def test_a_good_report_meets_all_expectations(csv: Path, tmp_path: Path) -> None:
    assert failed(read_back(csv), tmp_path / "docs") == set()


def set_value(column: str, value: Any) -> Callable[[Any], Any]:
    def change(frame: Any) -> Any:
        frame = frame.copy()
        frame[column] = frame[column].where(frame.index != 1, value)
        return frame

    return change


def set_numbers(column: str) -> Callable[[Any], Any]:
    return lambda frame: frame.assign(**{column: range(len(frame))})


def set_text(column: str) -> Callable[[Any], Any]:
    return lambda frame: frame.assign(**{column: frame[column].astype(str)})


def between(column: str) -> str:
    return f"expect_column_values_to_be_between {column}"


PRODUCT = (
    "expect_revenue_to_be_average_times_count TOTAL_REVENUE_HOURLY, "
    "AVG_REVENUE_PER_PURCHASE_HOURLY, TOTAL_PURCHASES_AMOUNT_HOURLY"
)
DAY = (
    "expect_column_pair_values_a_to_be_greater_than_b TOTAL_REVENUE_PER_USER_DAILY, "
    "TOTAL_REVENUE_HOURLY"
)
SPINS_COLUMN, REVENUE, COUNT, AVERAGE, DAILY = COLUMNS[3:]

BROKEN: dict[str, tuple[Callable[[Any], Any], set[str]]] = (
    {
        "another order of columns": (
            lambda frame: frame[[*COLUMNS[1:], COLUMNS[0]]],
            {"expect_table_columns_to_match_ordered_list"},
        ),
        "a row too few": (
            lambda frame: frame.iloc[1:],
            {"expect_table_row_count_to_equal"},
        ),
        "a row twice": (
            lambda frame: frame.iloc[[0, 0, 1, 2, 3]],
            {"expect_compound_columns_to_be_unique APP_HOUR, USER_ID, COUNTRY"},
        ),
        "no row at all": (
            lambda frame: frame.iloc[:0],
            {"expect_table_row_count_to_equal", "expect_table_row_count_to_be_between"},
        ),
        "another country": (
            set_value("COUNTRY", "MX"),
            {"expect_column_values_to_be_in_set COUNTRY"},
        ),
        "no name": (
            set_value("USER_ID", ""),
            {"expect_column_value_lengths_to_be_between USER_ID"},
        ),
        "an hour before the game": (
            set_value("APP_HOUR", at("2009-12-31 23:00")),
            {between("APP_HOUR")},
        ),
        "an hour to come": (
            set_value("APP_HOUR", (datetime.now(UTC) + timedelta(days=2)).replace(tzinfo=None)),
            {between("APP_HOUR")},
        ),
        "fewer than no spins": (set_value(SPINS_COLUMN, -1), {between(SPINS_COLUMN)}),
        "too many spins": (
            set_value(SPINS_COLUMN, LARGEST[SPINS_COLUMN] + 1),
            {between(SPINS_COLUMN)},
        ),
        "revenue out of range": (
            lambda frame: set_value(REVENUE, 60_000.0)(
                set_value(AVERAGE, 60_000.0)(set_value(COUNT, 1)(set_value(DAILY, 60_000.0)(frame)))
            ),
            {between(REVENUE), between(AVERAGE), between(DAILY)},
        ),
        "too many purchases": (
            lambda frame: set_value(COUNT, 501)(
                set_value(REVENUE, 0.0)(set_value(AVERAGE, 0.0)(frame))
            ),
            {between(COUNT)},
        ),
        "a cent too much": (set_value(AVERAGE, 0.01), {PRODUCT}),
        "a day below its hour": (set_value(DAILY, 0.5), {DAY}),
    }
    | {
        f"no {column}": (
            set_value(column, None),
            {f"expect_column_values_to_not_be_null {column}"},
        )
        for column in COLUMNS
    }
    | {
        f"{column} of another type": (
            set_text(column) if column not in ("USER_ID", "COUNTRY") else set_numbers(column),
            {f"expect_column_values_to_be_of_type {column}"},
        )
        for column in TYPES
    }
)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_found(csv: Path, tmp_path: Path, name: str) -> None:
    change, expected = BROKEN[name]
    found = failed(change(read_back(csv)), tmp_path / "docs")
    # A column of another type, or with a gap, can fail at other things too.
    exact = "type" not in name and not name.startswith("no ")
    assert expected == found if exact else expected <= found


def test_no_expectation_is_left_untested() -> None:
    names = {
        re.sub(r"(?<!^)(?=[A-Z])", "_", type(one).__name__).lower() for one in expectations(ROWS)
    }
    assert names == {one.split()[0] for _, found in BROKEN.values() for one in found}


# -- the command -----------------------------------------------------------------------------------


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "include.commands", "workbook", *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"FIRN_HOME": str(folder / "home"), "COLUMNS": "200"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_reports_what_it_finds_and_strict_fails(tmp_path: Path) -> None:
    path = write_workbook(
        tmp_path / "game.xlsx",
        [*PURCHASES, (at("10:00"), "U1", "free", "T9"), (at("10:00"), None, "x=1", "T8")],
        [*SPINS, (at("10:00"), "U3", "MX", 4)],
    )
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> "{tmp_path}/opened"\n')
    browser.chmod(0o755)
    done = run(
        tmp_path,
        "--strict",
        DATA_SOURCE_PATH=str(path),
        OUTPUT_PATH=str(tmp_path / "out"),
        OPEN_DATA_DOCS="true",
        BROWSER=f"{browser} %s",
    )
    assert done.returncode == 1, done.stderr
    assert "Rows that can be used: 4 of Purchases, 4 of Spins Hourly" in done.stdout
    assert re.search(r"Purchases +revenue has no number after = +1 *\n", done.stdout)
    assert re.search(r"Purchases +user_id is missing +1 *\n", done.stdout)
    assert "30 expectations, 1 failed" in done.stdout
    assert "expect_column_values_to_be_in_set on COUNTRY: 1 of 6 rows" in done.stdout
    assert done.stderr == ""
    rejected = (tmp_path / "out" / "user_activity_hourly_rejected.csv").read_text().splitlines()
    assert rejected == [
        "SHEET,ROW,REASON",
        "Purchases,6,revenue has no number after =",
        "Purchases,7,user_id is missing",
    ]
    assert len((tmp_path / "out" / "user_activity_hourly.csv").read_text().splitlines()) == 7
    docs = tmp_path / "out" / "user_activity_hourly_data_docs"
    (page,) = docs.glob("validations/**/*.html")
    assert (tmp_path / "opened").read_text().strip() == page.as_uri()
    assert str(page) in done.stdout
    assert (docs / "index.html").exists()
    shown = page.read_text()
    for column in COLUMNS:
        assert column in shown
    assert "MX" in shown
    assert "Revenue must be average revenue times number of purchases" in shown


def test_a_second_report_takes_the_place_of_the_first(csv: Path, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    assert failed(read_back(csv), docs) == set()
    first = set(docs.glob("validations/**/*.html"))
    assert failed(read_back(csv), docs) == set()
    second = set(docs.glob("validations/**/*.html"))
    assert len(first) == len(second) == 1
    assert first != second


def test_a_folder_with_something_else_in_it_is_left_alone(csv: Path, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(WorkbookError, match="holds something else"):
        failed(read_back(csv), tmp_path)
    assert (tmp_path / "letters.txt").read_text() == "dear"


def test_the_library_tells_nobody_that_it_was_used(csv: Path, tmp_path: Path) -> None:
    watched = (
        "import sys\n"
        "def watch(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'): print('asked', arguments[-1])\n"
        "sys.addaudithook(watch)\n"
        "from pathlib import Path\n"
        "from include.commands.workbook import read_back\n"
        "from include.quality.expectations import expectations, validate\n"
        f"validate(read_back(Path({str(csv)!r})), expectations({ROWS}), "
        f"Path({str(tmp_path / 'docs')!r}), 'x')\n"
        "print('done')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", watched],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr
