"""One workbook of purchases and spins becomes the table of what players did by the hour.

The rules are those of the dbt model ``mart_user_activity_hourly``; a test holds the two together.
Amounts are exact decimals throughout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import fastexcel
import polars as pl

from include.core.errors import UserError

PURCHASES, SPINS = "Purchases", "Spins Hourly"
COLUMNS = {
    PURCHASES: ("timestamp", "user_id", "revenue", "transaction_id"),
    SPINS: ("timestamp", "user_id", "country", "total_spins"),
}
# A workbook may say when a row was changed; without it all rows count as equally new.
OPTIONAL = ("updated_at",)
MOMENTS = ("timestamp", "updated_at")
ALIASES = {"date": "timestamp"}
ROW = "row"

RESULT = (
    "app_hour",
    "user_id",
    "country",
    "total_spins_hourly",
    "total_revenue_hourly",
    "total_purchases_amount_hourly",
    "avg_revenue_per_purchase_hourly",
    "total_revenue_per_user_daily",
)
MOMENT_FORMAT = "%Y-%m-%d %H:%M:%S"
NO_COUNTRY = "UNKNOWN"

_WHOLE = pl.Decimal(38, 0)
_SPINS = pl.Decimal(38, 9)
_MONEY = pl.Decimal(38, 2)
_AMOUNT = r"^[^=]*=\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*$"
_SHOWN = 40  # characters of a cell or a name in a message


class WorkbookError(UserError):
    """The workbook cannot be used; the message says what, where and what to do."""


@dataclass(frozen=True)
class Activity:
    """What a workbook comes to.

    Attributes:
        hours: one row per hour, user and country, sorted by hour, user and country.
        rejected: ``sheet``, ``row`` (the header is row 1) and ``reason`` of rows not used.
        usable: number of rows used or superseded, by sheet.
        expected_rows: how many rows `hours` has to have, counted from the keys alone.
    """

    hours: pl.DataFrame
    rejected: pl.DataFrame
    usable: dict[str, int]
    expected_rows: int


def read_workbook(path: Path) -> dict[str, pl.DataFrame]:
    """Both sheets of a workbook: text as in the cells, moments in UTC, ``row`` as Excel counts.

    Further columns and empty rows are left out.

    Raises:
        WorkbookError: the file cannot be read, a sheet or column is missing, or a cell that must
            hold a moment holds something else.
    """
    if not path.is_file():
        raise WorkbookError(f"There is no file {path}: give the path of an .xlsx workbook.")
    with _readable(path):
        workbook = fastexcel.read_excel(path)
    found = {name.strip().casefold(): name for name in workbook.sheet_names}
    if missing := [name for name in COLUMNS if name.casefold() not in found]:
        raise WorkbookError(
            f"{path} has no sheet {_listed(missing)}, only {_listed(workbook.sheet_names)}: "
            "rename the sheet, or give the right file."
        )
    return {
        name: _with_moments(path, name, _sheet(path, workbook, name, found[name.casefold()]))
        for name in COLUMNS
    }


def hourly_activity(sheets: dict[str, pl.DataFrame]) -> Activity:
    """The table by hour, and the rows that could not be used with their reasons.

    Args:
        sheets: what `read_workbook` returned.
    """
    judged = {
        PURCHASES: _judged_purchases(sheets[PURCHASES]),
        SPINS: _judged_spins(sheets[SPINS]),
    }
    usable = {name: rows.filter(pl.col("reason").is_null()) for name, rows in judged.items()}
    rejected = pl.concat(
        rows.filter(pl.col("reason").is_not_null()).select(
            pl.lit(name).alias("sheet"), ROW, "reason"
        )
        for name, rows in judged.items()
    )
    purchases = _latest_purchases(usable[PURCHASES])
    spins = _latest_spins(usable[SPINS])
    return Activity(
        hours=_hours(purchases, spins),
        rejected=rejected,
        usable={name: rows.height for name, rows in usable.items()},
        expected_rows=_expected_rows(purchases, spins),
    )


def write_csv(table: pl.DataFrame, path: Path) -> None:
    """Write a table with its column names in upper case; readers see all of it or none.

    Raises:
        WorkbookError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("wb", dir=path.parent, prefix=".", delete=False) as file:
            unfinished = Path(file.name)
        try:
            table.rename(str.upper).write_csv(unfinished, datetime_format=MOMENT_FORMAT)
            unfinished.chmod(0o644)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise WorkbookError(
            f"{path} cannot be written ({error.strerror}): choose another place for the report."
        ) from None


# -- reading ---------------------------------------------------------------------------------------


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (fastexcel.FastExcelError, OSError) as error:
        reason = str(error).splitlines()[0].removeprefix("calamine error: ")
        raise WorkbookError(
            f"{path} cannot be read as a workbook ({reason}): save it again as .xlsx, without a "
            "password."
        ) from None


def _sheet(path: Path, workbook: fastexcel.ExcelReader, name: str, sheet: str) -> pl.DataFrame:
    """The columns that are needed, by the names used here, as text."""
    with _readable(path):
        # As text: the types of cells in one column may differ, and what is wrong is to be shown.
        cells = workbook.load_sheet(sheet, dtypes="string").to_polars()
    wanted = (*COLUMNS[name], *OPTIONAL)
    columns: dict[str, str] = {}
    for header in cells.columns:
        column = _snake(header)
        column = ALIASES.get(column, column)
        if column in wanted and column in columns:
            raise WorkbookError(
                f"Sheet {name!r} of {path} has two columns for {column}, {columns[column]!r} and "
                f"{header!r}: remove or rename one."
            )
        columns[column] = header
    if missing := [column for column in COLUMNS[name] if column not in columns]:
        raise WorkbookError(
            f"Sheet {name!r} of {path} has no column {_listed(missing)}, only "
            f"{_listed(cells.columns)}: name the columns in the sheet's first row."
        )
    return cells.select(
        (pl.int_range(pl.len(), dtype=pl.Int64) + 2).alias(ROW),
        *(
            (
                pl.col(columns[column]).cast(pl.String)
                if column in columns
                else pl.lit(None, pl.String)
            ).alias(column)
            for column in wanted
        ),
    ).filter(~pl.all_horizontal(_is_blank(column) for column in wanted))


def _with_moments(path: Path, name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Moments as such; a cell may be empty, but not hold something else."""
    for column in MOMENTS:
        text = pl.when(~_is_blank(column)).then(pl.col(column))
        parsed = rows.with_columns(
            text.str.replace("T", " ", literal=True)
            .str.to_datetime(f"{MOMENT_FORMAT}%.f", strict=False, time_unit="us")
            .alias("parsed")
        )
        wrong = parsed.filter(pl.col("parsed").is_null() & ~_is_blank(column))
        if not wrong.is_empty():
            row, shown = wrong.item(0, ROW), wrong.item(0, column)[:_SHOWN]
            others = f", and {wrong.height - 1} more" if wrong.height > 1 else ""
            raise WorkbookError(
                f"Sheet {name!r} of {path}, row {row}{others}: {shown!r} is no {column}: enter a "
                "date with a time, such as 2022-04-01 22:53:05."
            )
        rows = parsed.drop(column).rename({"parsed": column})
    return rows


def _snake(header: str) -> str:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|\W+", "_", header.strip())
    return re.sub(r"__+", "_", parted).strip("_").lower()


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name[:_SHOWN]) for name in names) or "none"


# -- which rows count ------------------------------------------------------------------------------


def _is_blank(column: str) -> pl.Expr:
    return pl.col(column).fill_null("").str.strip_chars(" ") == ""


def _first_fault(*faults: tuple[pl.Expr, str]) -> pl.Expr:
    return pl.coalesce(pl.when(wrong).then(pl.lit(reason)) for wrong, reason in faults)


def _judged_purchases(rows: pl.DataFrame) -> pl.DataFrame:
    digits = pl.col("revenue").str.extract(_AMOUNT, 1)
    amount = (
        digits.cast(pl.Decimal(38, 20), strict=False)
        # A cast would round to the even neighbour; SQL rounds half up.
        .round(2, mode="half_away_from_zero")
        # Null with more than ten digits before the point.
        .cast(pl.Decimal(12, 2), strict=False)
    )
    return rows.with_columns(amount.alias("amount")).with_columns(
        _first_fault(
            (_is_blank("transaction_id"), "transaction_id is missing"),
            (_is_blank("user_id"), "user_id is missing"),
            (pl.col("timestamp").is_null(), "timestamp is no moment"),
            (digits.is_null(), "revenue has no number after ="),
            (
                digits.str.starts_with("-") & (pl.col("amount") < 0).fill_null(value=True),
                "revenue is negative",
            ),
            (pl.col("amount").is_null(), "revenue is above 9999999999.99"),
            (pl.col("amount") == 0, "revenue is zero"),
        ).alias("reason")
    )


def _judged_spins(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        pl.col("total_spins").cast(_SPINS, strict=False).alias("spins"),
        # The decimal no longer tells a tiny negative number from zero.
        pl.col("total_spins").str.starts_with("-").alias("negative"),
    ).with_columns(
        _first_fault(
            (_is_blank("user_id"), "user_id is missing"),
            (_is_blank("country"), "country is missing"),
            (pl.col("timestamp").is_null(), "timestamp is no moment"),
            (_is_blank("total_spins"), "total_spins is missing"),
            (pl.col("negative"), "total_spins is negative"),
            (
                (pl.col("spins") > 1_000_000_000).fill_null(value=True),
                "total_spins is above 1000000000 or not a number",
            ),
        ).alias("reason")
    )


def _latest_purchases(usable: pl.DataFrame) -> pl.DataFrame:
    """One row a transaction: the last change, of equal ones the one further down."""
    return usable.sort(["updated_at", ROW], descending=True, nulls_last=True).unique(
        "transaction_id", keep="first", maintain_order=True
    )


def _latest_spins(usable: pl.DataFrame) -> pl.DataFrame:
    """Rows that share the latest change are parts of one total; older ones are out of date."""
    latest = pl.col("updated_at").max().over("timestamp", "user_id", "country")
    return usable.filter(pl.col("updated_at").eq_missing(latest))


# -- hours -----------------------------------------------------------------------------------------


def _hours(purchases: pl.DataFrame, spins: pl.DataFrame) -> pl.DataFrame:
    hour, day = pl.col("timestamp").dt.truncate("1h"), pl.col("app_hour").dt.date()
    by_purchase = purchases.group_by(hour.alias("app_hour"), "user_id").agg(
        pl.col("amount").cast(_MONEY).sum().alias("revenue"), pl.len().cast(pl.Int64).alias("count")
    )
    # Rounded up once, when all parts are together.
    by_country = spins.group_by(hour.alias("app_hour"), "user_id", "country").agg(
        pl.col("spins").sum().ceil().cast(_WHOLE)
    )
    # Purchases belong to one country: that with most spins, then the first by name.
    first = pl.struct("app_hour", "user_id").is_first_distinct()
    revenue, count = pl.col("total_revenue_hourly"), pl.col("total_purchases_amount_hourly")
    # Divided to the even neighbour, but so far behind that it is then rounded as SQL does.
    average = (revenue.cast(pl.Decimal(38, 12)) / count).round(6, mode="half_away_from_zero")
    return (
        by_country.join(by_purchase, on=["app_hour", "user_id"], how="full", coalesce=True)
        .sort(["spins", "country"], descending=[True, False], nulls_last=True)
        .with_columns(
            pl.col("country").fill_null(NO_COUNTRY),
            pl.col("spins").fill_null(0).alias("total_spins_hourly"),
            pl.when(first).then("revenue").fill_null(0).cast(_MONEY).alias("total_revenue_hourly"),
            pl.when(first).then("count").fill_null(0).alias("total_purchases_amount_hourly"),
        )
        .with_columns(
            pl.when(count > 0)
            .then(average)
            .otherwise(0)
            .cast(pl.Decimal(38, 6))
            .alias("avg_revenue_per_purchase_hourly"),
            revenue.sum().over("user_id", day).alias("total_revenue_per_user_daily"),
        )
        .select(RESULT)
        .sort("app_hour", "user_id", "country")
    )


def _expected_rows(purchases: pl.DataFrame, spins: pl.DataFrame) -> int:
    """Distinct hours of users with their countries, and hours of users who bought only."""
    hour = pl.col("timestamp").dt.truncate("1h")
    spun = spins.select(hour, "user_id", "country").unique()
    bought = purchases.select(hour, "user_id").unique()
    return spun.height + bought.join(spun, on=["timestamp", "user_id"], how="anti").height
