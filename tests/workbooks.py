"""Workbooks of purchases and spins, written for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

import xlsxwriter

Cell = str | float | int | bool | datetime | date | None

HEADERS = {
    "Purchases": ("date", "userId", "revenue", "transaction_id", "updated_at"),
    "Spins Hourly": ("date", "userId", "country", "total_spins", "updated_at"),
}


def at(text: str) -> datetime:
    """A moment of 1 April 2022, from `hh:mm` or `hh:mm:ss`, or of another day in front of it."""
    day, _, time = text.rpartition(" ")
    return datetime.fromisoformat(f"{day or '2022-04-01'} {time}")


def write_workbook(
    path: Path,
    purchases: Iterable[Sequence[Cell]] = (),
    spins: Iterable[Sequence[Cell]] = (),
    headers: Mapping[str, Sequence[str]] = HEADERS,
) -> Path:
    """Cells in the order of the headers; only the sheets that have headers are written."""
    rows = {"Purchases": purchases, "Spins Hourly": spins}
    with xlsxwriter.Workbook(path) as workbook:
        moment = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        for name, header in headers.items():
            sheet = workbook.add_worksheet(name)
            sheet.write_row(0, 0, header)
            for row, cells in enumerate(rows.get(name, ()), start=1):
                for column, cell in enumerate(cells):
                    if isinstance(cell, datetime):
                        sheet.write_datetime(row, column, cell, moment)
                    elif isinstance(cell, str):
                        # Not a formula, whatever it begins with.
                        sheet.write_string(row, column, cell)
                    elif cell is not None:
                        sheet.write(row, column, cell)
    return path
