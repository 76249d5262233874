"""``python -m include.sample_data``: generated data for the warehouse and its sources."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from include.ingestion.errors import IngestionError
from include.logs import start_command
from include.sample_data import affiliate as affiliate_sample
from include.sample_data import forex as forex_sample
from include.sample_data import gaming as gaming_sample
from include.sample_data import retail as retail_sample
from include.sample_data import tpch as tpch_sample
from include.warehouse.connection import ConfigurationError, WarehouseUnreachableError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
console = Console()


@app.callback()
def main() -> None:
    """Fill the local warehouse, its landing folder, or a source database with generated data."""


@app.command()
def tpch(
    scale: Annotated[float, typer.Option(help="Scale factor: 1 is 6 million order lines.")] = 0.1,
    schema: Annotated[str, typer.Option(help="Schema to fill.")] = tpch_sample.SCHEMA,
) -> None:
    """Generate TPC-H and load it, under the names and types Snowflake's sample has."""
    try:
        tables = tpch_sample.load(scale, schema=schema, progress=console.print)
    except (tpch_sample.SampleDataError, ConfigurationError, WarehouseUnreachableError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    for table in tables:
        note = "" if table.loaded else "  (unchanged, not loaded again)"
        console.print(f"{table.table:<10}{table.rows:>12,} rows{note}", highlight=False)


@app.command()
def gaming(
    users: Annotated[int, typer.Option(help="How many play.")] = 100,
    days: Annotated[int, typer.Option(help="For how many days.")] = 3,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 1,
    more_minutes: Annotated[
        int, typer.Option(help="Let so many minutes go by in the sample that is there.")
    ] = 0,
) -> None:
    """Generate the operational database of the game, or let some minutes go by in it."""
    try:
        if more_minutes:
            made = gaming_sample.play_on(more_minutes)
        else:
            made = gaming_sample.fill(users, days, seed=seed, progress=console.print)
    except (tpch_sample.SampleDataError, IngestionError, ConfigurationError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    console.print(
        f"{made.purchases:,} purchases and {made.spins:,} hourly spins added, {made.corrected:,} "
        f"purchases corrected; the sample reaches {made.played_until}",
        highlight=False,
    )


@app.command()
def affiliate(
    start: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help=f"First day; {affiliate_sample.START} by default."),
    ] = None,
    days: Annotated[int, typer.Option(help="Days of files.")] = affiliate_sample.DAYS,
    rows: Annotated[
        int, typer.Option(help="Rows of a day in the largest source.")
    ] = affiliate_sample.ROWS,
    seed: Annotated[int, typer.Option(help="Other numbers.")] = affiliate_sample.SEED,
) -> None:
    """Deliver files of the seven affiliate systems into the landing folder."""
    try:
        first = start.date() if start else affiliate_sample.START
        files = affiliate_sample.deliver(start=first, days=days, rows=rows, seed=seed)
    except (tpch_sample.SampleDataError, ConfigurationError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    total = sum(file.rows for file in files)
    console.print(f"{len(files)} files with {total:,} rows delivered", highlight=False)


@app.command()
def forex(
    rows: Annotated[int, typer.Option(help="New transactions in each delivery.")] = 10_000,
    deliveries: Annotated[int, typer.Option(help="Deliveries, each correcting the last.")] = 1,
    seed: Annotated[int, typer.Option(help="Another number gives other data.")] = forex_sample.SEED,
    broken: Annotated[bool, typer.Option(help="Also files that must be refused.")] = False,
) -> None:
    """Write dirty CSV deliveries of customer transactions into the landing folder."""
    try:
        for number in range(1, deliveries + 1):
            file = forex_sample.deliver(number, rows, seed=seed)
            console.print(f"{file.file.name}  {file.rows:,} rows", highlight=False)
        for file in forex_sample.deliver_broken() if broken else ():
            console.print(f"{file.file.name}  to be refused", highlight=False)
    except (tpch_sample.SampleDataError, ConfigurationError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None


@app.command()
def retail(
    customers: Annotated[int, typer.Option(help="Customers in all.")] = 10_000,
    transactions: Annotated[int, typer.Option(help="New transactions a day.")] = 50_000,
    products: Annotated[int, typer.Option(help="Products in all.")] = 200,
    days: Annotated[int, typer.Option(help="How many days' deliveries to write.")] = 1,
    seed: Annotated[int, typer.Option(help="Another number, other data.")] = retail_sample.SEED,
    landing: Annotated[
        Path | None, typer.Option(help="Where to; by default where the loader looks.")
    ] = None,
) -> None:
    """Write daily deliveries of customers, transactions and products as Parquet."""
    sizes = retail_sample.Sizes(customers, transactions, products, seed)
    try:
        delivered = retail_sample.deliver_days(days, sizes, landing=landing)
    except (tpch_sample.SampleDataError, ConfigurationError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    for file in delivered:
        console.print(f"{file.rows:>12,} rows  {file.file}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    start_command()
    app()
