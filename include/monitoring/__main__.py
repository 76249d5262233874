"""``python -m include.monitoring``: pages for whoever is on call.

Exit codes: 0 if it is done, 2 if the command could not do its work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from include.monitoring.site import ReportError, build_report, elementary_is_off
from include.orchestration.local_warehouse import (
    LocalWarehouseError,
    start_warehouse,
    stop_warehouse,
)
from include.warehouse.connection import (
    ConfigurationError,
    ConnectionSettings,
    get_settings,
    local_server_answers,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
console = Console(highlight=False, markup=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@app.callback()
def main() -> None:
    """Pages for whoever is on call."""


@app.command()
def report(
    output: Annotated[
        Path | None, typer.Option(help="The folder for it; `report` below FIRN_HOME by default.")
    ] = None,
    docs: Annotated[
        bool,
        typer.Option(
            "--docs/--no-docs", help="Make dbt's documentation anew, or keep it as it is."
        ),
    ] = True,
) -> None:
    """Write the state of every pipeline as pages that open from disk."""
    try:
        settings = get_settings()
        with _warehouse(settings):
            made = build_report(
                output or settings.home / "report",
                settings,
                write_elementary=elementary_is_off,
                with_dbt_docs=docs,
                say=console.print,
            )
    except (ReportError, ConfigurationError) as error:
        errors.print(str(error), style="red")
        raise typer.Exit(2) from None
    if made.warehouse:
        console.print(f"Without the warehouse: {made.warehouse}")
    for part in made.parts:
        if part.href is None:
            console.print(f"Without {part.title}: {part.note}")
    console.print(f"{made.headline}\n{made.index}")


@contextmanager
def _warehouse(settings: ConnectionSettings) -> Iterator[None]:
    """The local warehouse, if there is one that is stopped: it is stopped again afterwards."""
    asleep = (
        settings.is_local
        and settings.warehouse_home.exists()
        and not local_server_answers(settings.port)
    )
    variables = {**os.environ, **settings.environment()}
    started = False
    if asleep:
        console.print("Starting the local warehouse for as long as this takes")
        try:
            started = start_warehouse(variables)
        except LocalWarehouseError as error:
            # The page is made without it, and says so.
            errors.print(str(error), style="yellow")
    try:
        yield
    finally:
        if started:
            stop_warehouse(variables)


if __name__ == "__main__":
    app()
