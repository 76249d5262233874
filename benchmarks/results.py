"""What benchmarks find: results of one kind, in one table on the console and in the README."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from include.warehouse.connection import REPOSITORY

README = REPOSITORY / "benchmarks" / "README.md"
BENCHMARKS = (
    "statements",
    "queries",
    "loading",
    "increments",
    "monitoring",
    "orchestration",
    "demo",
)
"""All of them, in the order in which they run and stand in the table."""

PACKAGES = ("duckdb", "fakesnow", "snowflake-connector-python", "dbt-core")
HEADINGS = ("benchmark", "measured", "value", "unit", "reference", "ratio", "at most", "target")
MET, MISSED = "met", "missed"
_NUMBER = re.compile(r"[-\d.,]*")

Say = Callable[[str], None]
Row = tuple[str, ...]


class BenchmarkError(RuntimeError):
    """It cannot be measured, or not be written down; the message says why."""


@dataclass(frozen=True)
class Result:
    """One thing that was measured; less is better.

    Attributes:
        benchmark: which one measured it.
        measured: what it is.
        value: how much.
        unit: of the value.
        reference: what it is compared with, in the same unit.
        beside: the name of what it is compared with.
        target: the most that the ratio may be, or the value where there is no reference.
    """

    benchmark: str
    measured: str
    value: float
    unit: str
    reference: float | None = None
    beside: str = ""
    target: float | None = None

    @property
    def ratio(self) -> float | None:
        """The value divided by the reference; None if there is no reference."""
        return None if self.reference is None else self.value / self.reference

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        if self.target is None:
            return None
        return (self.value if self.ratio is None else self.ratio) <= self.target

    def row(self) -> Row:
        """Its line of the table."""
        reference = "" if self.reference is None else f"{number(self.reference)} ({self.beside})"
        return (
            *(self.benchmark, self.measured, number(self.value), self.unit, reference),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            "" if self.target is None else f"{self.target:g}",
            {None: "", True: MET, False: MISSED}[self.met],
        )


@dataclass(frozen=True)
class Detail:
    """A table of what stands behind the results.

    Attributes:
        headings: of its columns.
        rows: as shown.
    """

    headings: Row
    rows: list[Row]


@dataclass(frozen=True)
class Report:
    """What one benchmark found.

    Attributes:
        results: at least one.
        detail: written into the README as well if it has a place for it.
    """

    results: list[Result]
    detail: Detail = field(default_factory=lambda: Detail((), []))


def number(value: float) -> str:
    """About three digits of a number."""
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def markdown(headings: Row, rows: Sequence[Row]) -> str:
    """A table that reads well as it is, and that Markdown shows as one."""
    columns = list(zip(headings, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [any(cells) and all(map(_NUMBER.fullmatch, cells)) for _, *cells in columns]

    def line(row: Row) -> str:
        cells = (
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, right, strict=True)
        )
        return f"| {' | '.join(cells)} |"

    rule = "|".join(
        "-" * (width + 1) + (":" if is_number else "-")
        for width, is_number in zip(widths, right, strict=True)
    )
    return "\n".join([line(headings), f"|{rule}|", *map(line, rows)])


def machine() -> str:
    """What the results depend on besides this project."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {packages}."


def missed(rows: Collection[Row]) -> str:
    """One sentence that names the missed targets of a table."""
    names = [f"{row[0]} ({row[1]})" for row in rows if row[-1] == MISSED]
    return f"Missed targets: {'; '.join(names)}." if names else "No target is missed."


def written() -> list[Row]:
    """The rows of the README's table that this machine and these versions gave."""
    block = _block(_text(), "results")
    if machine() not in block:
        return []
    lines = [line for line in block.splitlines() if line.startswith("| ")]
    rows = [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines]
    return [row for row in rows if row[0] in BENCHMARKS and len(row) == len(HEADINGS)]


def write(report: Report, benchmark: str) -> None:
    """Replace the rows of a benchmark in the README's table, and its table of details.

    Raises:
        BenchmarkError: the README cannot be read, or it has no place for the table.
    """
    rows = [row for row in written() if row[0] != benchmark]
    rows += [result.row() for result in report.results]
    _write(sorted(rows, key=lambda row: BENCHMARKS.index(row[0])))
    text = _text()
    if report.detail.rows and _marks(benchmark)[0] in text:
        detail = markdown(report.detail.headings, report.detail.rows)
        README.write_text(_replaced(text, benchmark, detail), encoding="utf-8")


def clear() -> None:
    """Take all rows out of the README's table.

    Raises:
        BenchmarkError: the README cannot be read, or it has no place for the table.
    """
    _write([])


def _write(rows: list[Row]) -> None:
    parts = [machine()]
    if rows:
        parts.append(markdown(HEADINGS, rows))
    if without := [name for name in BENCHMARKS if name not in {row[0] for row in rows}]:
        parts.append(f"Not measured: {', '.join(without)}.")
    README.write_text(_replaced(_text(), "results", "\n\n".join(parts)), encoding="utf-8")


def _text() -> str:
    try:
        return README.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(
            f"{README} cannot be read ({error}): fetch it from the repository again."
        ) from None


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _block(text: str, name: str) -> str:
    begin, end = _marks(name)
    return text.partition(begin)[2].partition(end)[0]


def _replaced(text: str, name: str, content: str) -> str:
    begin, end = _marks(name)
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise BenchmarkError(
            f"{README} does not have the lines {begin} and {end}: put them where the table belongs."
        )
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"
