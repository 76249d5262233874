"""``firn monitoring`` and ``firn report``: what is odd or late, for whoever is on call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from include.airflow.environment import SLACK, airflow_environment
from include.monitoring.elementary import Elementary, ElementaryError, report_writer
from include.monitoring.pipelines import schedules
from include.monitoring.site import build_report
from include.project.monitoring_switch import monitoring_switch
from include.warehouse.connection import (
    ConnectionSettings,
    get_settings,
    local_server_answers,
)
from include.warehouse.local_process import (
    LocalWarehouseError,
    start_warehouse,
    stop_warehouse,
)

app = typer.Typer()
monitoring = typer.Typer(no_args_is_help=True)
app.add_typer(monitoring, name="monitoring")
console = Console(highlight=False, markup=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@monitoring.callback()
def _monitoring() -> None:
    """What is odd or late, and pages for whoever is on call."""


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
    settings = get_settings()
    with _warehouse(settings):
        made = build_report(
            output or settings.home / "report",
            settings,
            write_elementary=report_writer(),
            with_dbt_docs=docs,
            say=console.print,
        )
    if made.warehouse:
        console.print(f"Without the warehouse: {made.warehouse}")
    for sentence in made.airflow:
        console.print(sentence)
    for part in made.parts:
        if part.href is None:
            console.print(f"Without {part.title}: {part.note}")
    console.print(f"{made.headline}\n{made.index}")


@app.command(name="schedules")
def show_schedules() -> None:
    """Print when each DAG starts, as Markdown."""
    typer.echo(schedules(), nl=False)


@monitoring.command()
def status() -> None:
    """Say whether Elementary watches, and if not, how to switch it on."""
    switch = monitoring_switch()
    console.print(
        f"Monitoring is on, with the packages in {switch.packages}"
        if switch.is_on
        else switch.why_off
    )


@monitoring.command()
def build() -> None:
    """Make or update Elementary's tables, and enter the dbt project into them."""
    Elementary().build()


@monitoring.command()
def watch() -> None:
    """Measure the age of sources and run the tests that Elementary makes."""
    for table in Elementary().watch():
        console.print(f"Not watched, as it is not there yet: {table}")


@monitoring.command()
def tell() -> None:
    """Send what was found to the Slack channel of the alerts, each finding at most once a day."""
    elementary = Elementary()
    os.environ.update(airflow_environment())
    # Airflow is configured when it is imported.
    from include.orchestration.alerts import webhook_url

    if not (webhook := webhook_url()):
        raise ElementaryError(
            f"There is no Slack connection: set {SLACK} in .env, as docs/alerts.md says."
        )
    elementary.send_alerts(webhook)


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
