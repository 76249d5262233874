"""The hourly table of a workbook: what counts, what is rejected, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from include.commands.firn import app
from include.quality.workbook import (
    RESULT,
    Activity,
    WorkbookError,
    hourly_activity,
    read_workbook,
    write_csv,
)
from tests.workbooks import HEADERS, Cell, at, write_workbook

A = "PriceInUSD=4.99"


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Activity]:
    def make(
        purchases: list[tuple[Cell, ...]] | None = None,
        spins: list[tuple[Cell, ...]] | None = None,
        **arguments: Any,
    ) -> Activity:
        path = write_workbook(tmp_path / "w.xlsx", purchases or [], spins or [], **arguments)
        return hourly_activity(read_workbook(path))

    return make


def hours(activity: Activity) -> list[tuple[Any, ...]]:
    return [
        (f"{row[0]:%d %H:%M}", *row[1:3], *map(str, row[3:])) for row in activity.hours.iter_rows()
    ]


def test_an_hour_with_spins_and_purchases_one_with_either(made: Callable[..., Activity]) -> None:
    activity = made(
        [
            (at("10:00"), "U1", "PriceInUSD=1.99", "T1"),
            (at("10:59:59"), "U1", "PriceInUSD=5", "T2"),
            (at("11:00"), "U1", "PriceInUSD=10.00", "T3"),
            (at("2022-04-02 00:00"), "U1", "PriceInUSD=7", "T4"),
        ],
        [
            # 12.1 and 13 are both 13, so that the purchases are those of the first by name.
            (at("10:00"), "U1", "US", 11.0),
            (at("10:30"), "U1", "US", 1.1),
            (at("10:00"), "U1", "CA", 13),
            (at("10:00"), "U2", "US", 0.000001),
        ],
    )
    assert activity.hours.columns == list(RESULT)
    assert hours(activity) == [
        ("01 10:00", "U1", "CA", "13", "6.99", "2", "3.495000", "16.99"),
        ("01 10:00", "U1", "US", "13", "0.00", "0", "0.000000", "16.99"),
        ("01 10:00", "U2", "US", "1", "0.00", "0", "0.000000", "0.00"),
        ("01 11:00", "U1", "UNKNOWN", "0", "10.00", "1", "10.000000", "16.99"),
        ("02 00:00", "U1", "UNKNOWN", "0", "7.00", "1", "7.000000", "7.00"),
    ]
    assert activity.expected_rows == 5
    assert activity.rejected.is_empty()


def test_purchases_go_to_the_country_with_most_spins(made: Callable[..., Activity]) -> None:
    activity = made(
        [(at("10:00"), "U1", A, "T1")],
        [(at("10:00"), "U1", "CA", 1), (at("10:00"), "U1", "US", 1.5)],
    )
    assert [(row[2], row[4]) for row in hours(activity)] == [("CA", "0.00"), ("US", "4.99")]


def test_the_last_change_of_a_purchase_counts(made: Callable[..., Activity]) -> None:
    activity = made(
        [
            (at("10:00"), "U1", A, "T1", at("12:01")),
            (at("11:00"), "U1", "PriceInUSD=3.00", "T1", at("12:02")),
            (at("10:00"), "U1", A, "T1", None),
            # Equally new: the one further down.
            (at("10:00"), "U2", A, "T2", at("12:00")),
            (at("10:00"), "U2", "PriceInUSD=6.00", "T2", at("12:00")),
            # What cannot be used supersedes nothing.
            (at("10:00"), "U3", A, "T3", at("12:00")),
            (at("10:00"), "U3", "free", "T3", at("12:05")),
        ]
    )
    assert [(row[1], row[0], row[4]) for row in hours(activity)] == [
        ("U2", "01 10:00", "6.00"),
        ("U3", "01 10:00", "4.99"),
        ("U1", "01 11:00", "3.00"),
    ]
    assert activity.usable["Purchases"] == 6
    assert activity.rejected.rows() == [("Purchases", 8, "revenue has no number after =")]


def test_parts_of_one_total_add_up_and_older_ones_do_not(made: Callable[..., Activity]) -> None:
    activity = made(
        spins=[
            (at("10:00"), "U1", "US", 5, at("11:00")),
            (at("10:00"), "U1", "US", 10.25, at("11:30")),
            (at("10:00"), "U1", "US", 0.75, at("11:30")),
            (at("10:00"), "U1", "US", 100, None),
            # Without any change all are parts; a tenth thirty times is three exactly.
            *[(at("12:00"), "U1", "US", 0.1)] * 30,
        ]
    )
    assert [row[3] for row in hours(activity)] == ["11", "3"]


def test_averages_round_half_up(made: Callable[..., Activity]) -> None:
    # A cent by 32 is 0.0003125: half up is …313, to the even neighbour …312.
    rows = [(at("10:00"), "U1", "x=0.32", "T0")]
    rows += [(at("10:00"), "U1", "x=0.01", f"T{number}") for number in range(1, 32)]
    activity = made([*rows[:-1], (at("10:00"), "U1", "x=0.02", "T31")])
    assert hours(activity)[0][4:7] == ("0.64", "32", "0.020000")
    odd = made([*rows[1:], (at("10:00"), "U1", "x=0.02", "T32")])
    assert hours(odd)[0][4:7] == ("0.33", "32", "0.010313")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("PriceInUSD=4.99", "4.99"),
        ("=1", "1.00"),
        ("a= +2.5 ", "2.50"),
        ("a=.5", "0.50"),
        ("a=5.", "5.00"),
        ("a=0.005", "0.01"),
        ("a=9999999999.99", "9999999999.99"),
    ],
)
def test_the_number_after_the_sign_is_the_revenue(
    made: Callable[..., Activity], text: str, amount: str
) -> None:
    assert hours(made([(at("10:00"), "U1", text, "T1")]))[0][4] == amount


NO_NUMBER = "revenue has no number after ="
NO_SPINS = "total_spins is above 1000000000 or not a number"


@pytest.mark.parametrize(
    ("sheet", "cells", "reason"),
    [
        ("Purchases", (at("10:00"), "U1", A, None), "transaction_id is missing"),
        ("Purchases", (at("10:00"), "U1", A, "  "), "transaction_id is missing"),
        ("Purchases", (at("10:00"), None, A, "T"), "user_id is missing"),
        ("Purchases", (None, "U1", A, "T"), "timestamp is no moment"),
        ("Purchases", (at("10:00"), "U1", None, "T"), NO_NUMBER),
        ("Purchases", (at("10:00"), "U1", "PriceInUSD=", "T"), NO_NUMBER),
        ("Purchases", (at("10:00"), "U1", "4.99", "T"), NO_NUMBER),
        ("Purchases", (at("10:00"), "U1", 4.99, "T"), NO_NUMBER),
        ("Purchases", (at("10:00"), "U1", "a=b=4.99", "T"), NO_NUMBER),
        ("Purchases", (at("10:00"), "U1", "a=4,99", "T"), NO_NUMBER),
        ("Purchases", (at("10:00"), "U1", "a=1e3", "T"), NO_NUMBER),
        ("Purchases", (at("10:00"), "U1", "a=12345678901", "T"), "revenue is above 9999999999.99"),
        ("Purchases", (at("10:00"), "U1", "a=-0.01", "T"), "revenue is negative"),
        ("Purchases", (at("10:00"), "U1", "a=-12345678901", "T"), "revenue is negative"),
        ("Purchases", (at("10:00"), "U1", "a=0.001", "T"), "revenue is zero"),
        ("Spins Hourly", (at("10:00"), "", "US", 1), "user_id is missing"),
        ("Spins Hourly", (at("10:00"), "U1", None, 1), "country is missing"),
        ("Spins Hourly", (None, "U1", "US", 1), "timestamp is no moment"),
        ("Spins Hourly", (at("10:00"), "U1", "US", None), "total_spins is missing"),
        ("Spins Hourly", (at("10:00"), "U1", "US", "many"), NO_SPINS),
        ("Spins Hourly", (at("10:00"), "U1", "US", 1e30), NO_SPINS),
        ("Spins Hourly", (at("10:00"), "U1", "US", 1_000_000_001), NO_SPINS),
        ("Spins Hourly", (at("10:00"), "U1", "US", -1e-12), "total_spins is negative"),
    ],
)
def test_what_cannot_be_used_is_rejected_and_never_zero(
    made: Callable[..., Activity], sheet: str, cells: tuple[Cell, ...], reason: str
) -> None:
    good: dict[str, tuple[Cell, ...]] = {
        "Purchases": (at("10:00"), "U9", A, "T9"),
        "Spins Hourly": (at("10:00"), "U9", "US", 2),
    }
    rows = {name: [row] for name, row in good.items()}
    rows[sheet].append(cells)
    activity = made(rows["Purchases"], rows["Spins Hourly"])
    assert activity.rejected.rows() == [(sheet, 3, reason)]
    assert [row[1:5] for row in hours(activity)] == [("U9", "US", "2", "4.99")]


def test_empty_rows_and_notes_beside_the_table_are_no_data(made: Callable[..., Activity]) -> None:
    headers = {
        "spins hourly ": ("date", "userId", "country", "total_spins", "Total Revenue"),
        "Purchases": ("date", "User ID", "Revenue", "transactionId"),
        "Notes": ("anything",),
    }
    activity = made([(), (at("10:00"), "U1", A, "T1"), ("", " ", None, "")], headers=headers)
    assert [row[1:5] for row in hours(activity)] == [("U1", "UNKNOWN", "0", "4.99")]
    assert activity.rejected.is_empty()
    noted = made(
        spins=[(None, None, None, None, None, "see the other sheet"), (at("10:00"), "U", "US", 1)],
        headers={**HEADERS, "Spins Hourly": (*HEADERS["Spins Hourly"], "Total Revenue")},
    )
    assert noted.hours.height == noted.usable["Spins Hourly"] == 1
    assert noted.rejected.is_empty()


def test_a_workbook_without_rows_has_no_hours(made: Callable[..., Activity]) -> None:
    activity = made()
    assert activity.hours.is_empty()
    assert activity.expected_rows == 0


def test_numbers_as_names_and_moments_as_text(made: Callable[..., Activity]) -> None:
    activity = made(
        [("2022-04-01T10:30:00.123456", 12345, A, 7), ("2022-04-01 10:31:00", 12345, A, 8)],
        [(at("10:00"), 12345, "US", "2.5")],
    )
    assert hours(activity) == [("01 10:00", "12345", "US", "3", "9.98", "2", "4.990000", "9.98")]


# -- what is refused -------------------------------------------------------------------------------


def without(sheet: str, *columns: str) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(column for column in header if name != sheet or column not in columns)
        for name, header in HEADERS.items()
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"headers": {"Purchases": HEADERS["Purchases"]}},
            "{path} has no sheet 'Spins Hourly', only 'Purchases': rename the sheet, or give the "
            "right file.",
        ),
        (
            {"headers": without("Purchases", "userId", "revenue")},
            "Sheet 'Purchases' of {path} has no column 'user_id', 'revenue', only 'date', "
            "'transaction_id', 'updated_at': name the columns in the sheet's first row.",
        ),
        (
            {"headers": {**HEADERS, "Purchases": ()}},
            "Sheet 'Purchases' of {path} has no column 'timestamp', 'user_id', 'revenue', "
            "'transaction_id', only none: name the columns in the sheet's first row.",
        ),
        (
            {"headers": {**HEADERS, "Purchases": (*HEADERS["Purchases"], "timestamp")}},
            "Sheet 'Purchases' of {path} has two columns for timestamp, 'date' and 'timestamp': "
            "remove or rename one.",
        ),
        (
            {"purchases": [(at("10:00"), "U", A, "T"), ("1 April", "U", A, "T"), ("x", "U", A)]},
            "Sheet 'Purchases' of {path}, row 3, and 1 more: '1 April' is no timestamp: enter a "
            "date with a time, such as 2022-04-01 22:53:05.",
        ),
        (
            {"spins": [(44652.5, "U", "US", 1)]},
            "Sheet 'Spins Hourly' of {path}, row 2: '44652.5' is no timestamp: enter a date with "
            "a time, such as 2022-04-01 22:53:05.",
        ),
        (
            {"spins": [(at("10:00"), "U", "US", 1, "yesterday")]},
            "Sheet 'Spins Hourly' of {path}, row 2: 'yesterday' is no updated_at: enter a date "
            "with a time, such as 2022-04-01 22:53:05.",
        ),
    ],
)
def test_a_workbook_that_cannot_be_used_is_refused_in_a_sentence(
    tmp_path: Path, arguments: dict[str, Any], sentence: str
) -> None:
    path = write_workbook(tmp_path / "w.xlsx", **arguments)
    result = CliRunner().invoke(app, ["workbook", str(path), "--output", str(tmp_path / "out")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == sentence.format(path=path) + "\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"date,userId\n", b"PK\x03\x04 broken"])
def test_what_is_no_workbook_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.xlsx"
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["workbook", str(path), "--output", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{path} cannot be read as a workbook (")
    assert result.stderr.endswith("save it again as .xlsx, without a password.\n")
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["workbook", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr == f"There is no file {tmp_path}: give the path of an .xlsx workbook.\n"


def test_no_workbook_and_a_setting_that_is_no_yes_or_no(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    result = CliRunner().invoke(app, ["workbook"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Which workbook? ")
    clean_environment.setenv("OPEN_DATA_DOCS", "perhaps")
    result = CliRunner().invoke(app, ["workbook"])
    assert (result.exit_code, result.stderr) == (
        2,
        "OPEN_DATA_DOCS is 'perhaps' in the environment: set it to true or false.\n",
    )


# -- the file --------------------------------------------------------------------------------------


def test_the_csv_has_upper_case_columns_and_exact_amounts(
    made: Callable[..., Activity], tmp_path: Path
) -> None:
    activity = made(
        [(at("10:30"), "U1", "x=0.10", "T1"), (at("10:31"), "U1", "x=0.20", "T2")],
        [(at("10:00"), "U1", "US", 5.01), (at("09:00"), "U2", "US", 5)],
    )
    csv = tmp_path / "new" / "report.csv"
    write_csv(activity.hours, csv)
    assert csv.read_text().splitlines() == [
        "APP_HOUR,USER_ID,COUNTRY,TOTAL_SPINS_HOURLY,TOTAL_REVENUE_HOURLY,"
        "TOTAL_PURCHASES_AMOUNT_HOURLY,AVG_REVENUE_PER_PURCHASE_HOURLY,"
        "TOTAL_REVENUE_PER_USER_DAILY",
        "2022-04-01 09:00:00,U2,US,5,0.00,0,0.000000,0.00",
        "2022-04-01 10:00:00,U1,US,6,0.30,2,0.150000,0.30",
    ]
    assert [path.name for path in csv.parent.iterdir()] == ["report.csv"]
    assert activity.hours["total_revenue_hourly"].to_list()[1] == Decimal("0.30")


def test_a_place_that_cannot_be_written_to(made: Callable[..., Activity], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbookError, match="cannot be written"):
        write_csv(made().hours, tmp_path / "file" / "report.csv")
