"""``firn workbook``: a report on a workbook of purchases and spins."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from include.core.settings import Workbook
from include.quality.workbook import (
    MOMENT_FORMAT,
    Activity,
    WorkbookError,
    hourly_activity,
    read_workbook,
    write_csv,
)
from include.warehouse.connection import ConnectionSettings

app = typer.Typer()
console = Console(highlight=False, markup=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

CSV_NAME = "user_activity_hourly.csv"


@app.command()
def workbook(
    file: Annotated[
        Path | None, typer.Argument(help="The .xlsx; DATA_SOURCE_PATH by default.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="A .csv, or a folder for it; OUTPUT_PATH by default, else below FIRN_HOME."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with exit code 1 if an expectation fails.")
    ] = False,
    open_docs: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open", help="Open the pages in a browser; OPEN_DATA_DOCS by default."
        ),
    ] = None,
) -> None:
    """Make the hourly table of a workbook of purchases and spins, and check it."""
    settings = Workbook()
    source = file or settings.data_source_path
    if source is None:
        raise WorkbookError(
            "Which workbook? Give its path after the command, or in DATA_SOURCE_PATH; with "
            "make: make workbook FILE=path.xlsx."
        )
    csv = _csv(source, output or settings.output_path)
    activity = hourly_activity(read_workbook(source))
    write_csv(activity.hours, csv)
    write_csv(activity.rejected, csv.with_name(f"{csv.stem}_rejected.csv"))
    _tell(activity, csv)
    met, page = _check(activity, csv, title=source.name)
    if settings.open_data_docs if open_docs is None else open_docs:
        webbrowser.open(page.as_uri())
    if strict and not met:
        raise typer.Exit(1)


def _csv(source: Path, output: Path | None) -> Path:
    chosen = output or ConnectionSettings().home / "reports" / source.stem
    chosen = chosen.expanduser()
    return chosen if chosen.suffix.lower() == ".csv" else chosen / CSV_NAME


def _tell(activity: Activity, csv: Path) -> None:
    used = ", ".join(f"{count:,} of {sheet}" for sheet, count in activity.usable.items())
    console.print(f"Rows that can be used: {used}")
    reasons = activity.rejected.group_by("sheet", "reason").len().sort("sheet", "reason")
    if not reasons.is_empty():
        table = Table("sheet", "reason", "rows", box=None, title="Rejected", title_justify="left")
        for sheet, reason, count in reasons.iter_rows():
            table.add_row(sheet, reason, f"{count:,}")
        console.print(table)
        console.print(f"Which rows: {csv.with_name(f'{csv.stem}_rejected.csv')}")
    console.print(f"{activity.hours.height:,} rows: {csv}")


def _check(activity: Activity, csv: Path, title: str) -> tuple[bool, Path]:
    """Whether all expectations are met, and the page that shows them."""
    from include.quality.expectations import expectations, validate

    docs = csv.with_name(f"{csv.stem}_data_docs")
    findings = validate(read_back(csv), expectations(activity.expected_rows), docs, title)
    failed = [finding for finding in findings if not finding.success]
    # Not the index: it lists this one page, by scripts that it loads from the internet.
    (page,) = docs.glob("validations/**/*.html")
    console.print(f"{len(findings)} expectations, {len(failed) or 'none'} failed: {page}")
    for finding in failed:
        where = f" on {finding.about}" if finding.about else ""
        console.print(f"  {finding.name}{where}: {finding.detail}", style="yellow")
    return not failed, page.absolute()


def read_back(csv: Path) -> Any:
    """A report as a pandas table, its types guessed from the text but for names."""
    table = pl.read_csv(
        csv,
        infer_schema_length=None,
        schema_overrides={"USER_ID": pl.String, "COUNTRY": pl.String},
    )
    moment = pl.col("APP_HOUR").cast(pl.String).str.to_datetime(MOMENT_FORMAT, strict=False)
    return table.with_columns(moment).to_pandas()
