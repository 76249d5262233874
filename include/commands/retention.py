"""``firn retention``: delete what has been kept long enough."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from include.retention.run import clear_files, clear_stage, clear_tables

app = typer.Typer()


@app.command()
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only, delete nothing.")] = False,
) -> None:
    """Delete old rows of the ledgers, leftovers of loads and exports, old files and logs."""
    removed = [
        *clear_tables(dry_run=dry_run),
        *clear_stage(dry_run=dry_run),
        *clear_files(dry_run=dry_run),
    ]
    table = Table("what", "older than", "would go" if dry_run else "gone", box=None)
    for one in removed:
        table.add_row(one.what, f"{one.days} days", f"{one.count:,}")
    Console(highlight=False, markup=False, soft_wrap=True).print(table)
