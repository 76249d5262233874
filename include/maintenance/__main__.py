"""``python -m include.maintenance``: delete what has been kept long enough."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from snowflake.connector.errors import Error as SnowflakeError

from include.logs import start_command
from include.maintenance.run import clear_files, clear_stage, clear_tables
from include.maintenance.settings import RetentionError
from include.warehouse.connection import ConfigurationError, WarehouseUnreachableError


def main(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only, delete nothing.")] = False,
) -> None:
    """Delete old rows of the books, leftovers of loads and exports, old files and logs."""
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        removed = [
            *clear_tables(dry_run=dry_run),
            *clear_stage(dry_run=dry_run),
            *clear_files(dry_run=dry_run),
        ]
    except (RetentionError, ConfigurationError, WarehouseUnreachableError) as error:
        errors.print(str(error), style="red")
        raise typer.Exit(2) from None
    except (SnowflakeError, OSError) as error:
        said = " ".join(str(error).split())
        errors.print(f"Maintenance ended early ({said}): run it again.", style="red")
        raise typer.Exit(2) from None
    table = Table("what", "older than", "would go" if dry_run else "gone", box=None)
    for one in removed:
        table.add_row(one.what, f"{one.days} days", f"{one.count:,}")
    Console(highlight=False, markup=False, soft_wrap=True).print(table)


if __name__ == "__main__":
    start_command()
    typer.run(main)
