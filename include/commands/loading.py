"""``firn load`` and its like: load what was delivered, and see what became of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from include.ingestion.comparison import Comparison
from include.ingestion.database import Span
from include.ingestion.errors import IngestionError, MissingDeliveryError, shown
from include.ingestion.landing import discover, landing_folder
from include.ingestion.loader import load_source
from include.ingestion.pickup import wait_for
from include.ingestion.raw import COMPARISONS, REJECTED_ROWS
from include.ingestion.rejects import open_rejects, write_rejected
from include.ingestion.results import SourceResult
from include.ingestion.sources import (
    DatabaseFormat,
    Source,
    domains,
    json_schema,
    load_domain,
)
from include.warehouse.connection import (
    connect,
    get_settings,
)

app = typer.Typer()
console = Console(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

DAYS_SHOWN = 20
MOMENTS = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _chosen(domain: str, names: list[str]) -> list[Source]:
    declared = load_domain(domain)
    return [declared.source(name) for name in names] if names else declared.sources


@app.command()
def load(
    domain: Annotated[str, typer.Argument(help="A domain, such as forex.")],
    sources: Annotated[list[str] | None, typer.Argument(help="Sources; all by default.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for missing files as long as is declared.")
    ] = False,
    start: Annotated[
        datetime | None,
        typer.Option("--from", formats=MOMENTS, help="Extract again from this event time on, UTC."),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option("--to", formats=MOMENTS, help="Extract again up to here, itself left out."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Extract everything again from a database.")
    ] = False,
) -> None:
    """Load what has landed; of a database, what has changed since the last time."""
    span = _span(start, end, everything)
    settings = get_settings()
    root = landing_folder(settings)
    complete = True
    for source in _chosen(domain, sources or []):
        try:
            if isinstance(source.format, DatabaseFormat):
                result = load_source(source, settings=settings, landing=root, span=span)
            elif span:
                raise IngestionError(
                    f"{source.title} is delivered as files: --from, --to and --all are for sources "
                    "in a database; name those after the domain."
                )
            else:
                if wait:
                    wait_for(source, root, source.wait_minutes * 60, settings=settings)
                result = load_source(source, settings=settings, landing=root)
        except MissingDeliveryError as error:
            errors.print(str(error), style="red")
            complete = False
            continue
        _report(result)
        complete = complete and not result.refused
    if not complete:
        raise typer.Exit(1)


def _span(start: datetime | None, end: datetime | None, everything: bool) -> Span | None:
    if everything and (start or end):
        raise IngestionError("--all is without bounds: leave out --from and --to.")
    if start and end and start >= end:
        raise IngestionError(f"--from {start} is not before --to {end}: the end is left out.")
    return Span(start, end) if everything or start or end else None


def _report(result: SourceResult) -> None:
    if not result.files:
        console.print(f"{result.source}: nothing to load.")
        return
    table = Table(title=result.source, title_justify="left", box=None)
    for name in ("file", "status", "delivered", "loaded", "rejected", "superseded"):
        table.add_column(name, justify="left" if name in ("file", "status") else "right")
    for file in result.files:
        rows = file.accounts
        counts = (rows.delivered, rows.loaded, rows.rejected, rows.superseded) if rows else ()
        table.add_row(shown(file.file, 60), file.status, *(f"{count:,}" for count in counts))
    console.print(table)
    for file in result.files:
        if file.added_columns:
            console.print(f"{shown(file.file)}: new columns {', '.join(file.added_columns)}")
        if file.reason:
            where = f" It is now {file.moved_to}." if file.moved_to else ""
            errors.print(f"{file.reason}{where}", style="red")
        if file.accounts and file.accounts.rejected:
            domain, _, name = result.source.partition(".")
            console.print(f"Why rows were rejected: firn rejected {domain} {name}")


@app.command()
def reconcile(
    domain: Annotated[str, typer.Argument(help="A domain with a database, such as gaming.")],
    sources: Annotated[list[str] | None, typer.Argument(help="Sources; all by default.")] = None,
) -> None:
    """Load what has changed in a database, compare all of it with raw, and load what differs.

    Rows that raw has and the source no longer has are reported and stay. The exit code is 1 if any
    difference is left.
    """
    chosen = _chosen(domain, sources or [])
    if not sources:
        chosen = [one for one in chosen if isinstance(one.format, DatabaseFormat)]
    if not chosen:
        raise IngestionError(f"{domain} has no source in a database that could be compared.")
    settings = get_settings()
    complete = True
    for source in chosen:
        result = load_source(source, settings=settings, compare_all=True)
        _report(result)
        compared = result.comparison
        complete = complete and not result.refused and _told(source, compared)
    if not complete:
        raise typer.Exit(1)


def _told(source: Source, compared: Comparison | None) -> bool:
    """Print what a comparison found; return whether source and raw are now the same."""
    if compared is None:
        errors.print(f"{source.title}: not compared, as not everything was loaded.", style="red")
        return False
    if compared.problem:
        errors.print(f"{source.title}: not compared: {compared.problem}", style="red")
        return False
    days = f"{compared.days:,} day{'s' * (compared.days != 1)} compared"
    console.print(f"{source.title}: {days}, {len(compared.extracted):,} extracted again.")
    for line in compared.lines:
        console.print(f"{source.title}: {line}.")
    if compared.differences:
        table = Table("day", "rows in source", "rows in raw", box=None)
        for day, one in list(compared.differences.items())[:DAYS_SHOWN]:
            table.add_row(shown(day) or "none", f"{one.source_rows:,}", f"{one.raw_rows:,}")
        console.print(table)
        if (more := len(compared.differences) - DAYS_SHOWN) > 0:
            console.print(f"and {more:,} more day{'s' * (more != 1)}, in {COMPARISONS}")
    return not compared.differences


@app.command(name="sources")
def list_sources(
    domain: Annotated[str | None, typer.Argument(help="One domain; all by default.")] = None,
) -> None:
    """Show the declared sources, and how many files wait for each."""
    root = landing_folder()
    table = Table(box=None)
    for heading in ("source", "load", "key", "if missing", "waiting", "from"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "source")
    for name in [domain] if domain else domains():
        for source in load_domain(name).sources:
            table.add_row(
                source.title,
                f"{source.load} {source.format.type}",
                ", ".join(source.key),
                source.if_missing,
                *_waiting(source, root),
            )
    console.print(table)
    console.print(f"Files are looked for below {root}")


def _waiting(source: Source, root: Path) -> tuple[str, str]:
    """How many files wait, and where; of a database its table."""
    if isinstance(source.format, DatabaseFormat):
        return "", source.format.table
    return str(len(discover(source, root))), " ".join(source.patterns)


@app.command()
def rejected(
    domain: Annotated[str, typer.Argument(help="A domain, such as forex.")],
    sources: Annotated[list[str] | None, typer.Argument(help="Sources; all by default.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows shown of each source.")] = 20,
    to: Annotated[
        Path | None,
        typer.Option(help="Write the rejected rows of one source here as CSV, to be corrected."),
    ] = None,
) -> None:
    """Show why rows were rejected; of a file name, those of its last load."""
    chosen = _chosen(domain, sources or [])
    if to is not None and len(chosen) != 1:
        raise IngestionError("--to writes the rows of one source: name it after the domain.")
    with connect(database="RAW", as_loader=True) as connection:
        for source in chosen:
            if to is not None:
                count = write_rejected(connection, source, to)
                console.print(
                    f"Wrote {count:,} rows to {to}. Correct them and deliver the file under a new "
                    f"name as {source.patterns[0]}"
                )
                continue
            rows, total = open_rejects(connection, source, limit)
            table = Table("file", "row", "column", "reason", "raw text", box=None)
            for file, row, column, reason, text in rows:
                table.add_row(
                    shown(file, 40), str(row), column or "", shown(reason), shown(text or "", 60)
                )
            console.print(f"{source.title}: {total:,} reasons")
            if rows:
                console.print(table)
                console.print(_hint(source), style="dim", soft_wrap=True)


def _hint(source: Source) -> str:
    """The query to look further with; printed, not run."""
    query = f"from {REJECTED_ROWS} where domain = '{source.domain}' and source = '{source.name}'"
    return f"select * {query} order by rejected_at desc, row_number;"


@app.command()
def schema() -> None:
    """Print the JSON schema of a domain's YAML file."""
    typer.echo(json_schema(), nl=False)
