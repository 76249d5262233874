"""``python -m include.monitoring``: what is odd or late, and pages for whoever is on call.

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
from snowflake.connector.errors import Error as SnowflakeError

from include.logs import start_command
from include.monitoring.elementary import Elementary, ElementaryError, report_writer
from include.monitoring.site import ReportError, build_report
from include.monitoring.switch import MonitoringOffError, monitoring_switch
from include.orchestration.environment import SLACK, airflow_environment
from include.orchestration.local_warehouse import (
    LocalWarehouseError,
    start_warehouse,
    stop_warehouse,
)
from include.orchestration.manifest import ManifestError
from include.warehouse.connection import (
    ConfigurationError,
    ConnectionSettings,
    WarehouseUnreachableError,
    get_settings,
    local_server_answers,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
console = Console(highlight=False, markup=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@app.callback()
def main() -> None:
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
    try:
        settings = get_settings()
        with _warehouse(settings):
            made = build_report(
                output or settings.home / "report",
                settings,
                write_elementary=report_writer(),
                with_dbt_docs=docs,
                say=console.print,
            )
    except (ReportError, ConfigurationError) as error:
        errors.print(str(error), style="red")
        raise typer.Exit(2) from None
    if made.warehouse:
        console.print(f"Without the warehouse: {made.warehouse}")
    for sentence in made.airflow:
        console.print(sentence)
    for part in made.parts:
        if part.href is None:
            console.print(f"Without {part.title}: {part.note}")
    console.print(f"{made.headline}\n{made.index}")


@app.command()
def status() -> None:
    """Say whether Elementary watches, and if not, how to switch it on."""
    with _one_sentence():
        switch = monitoring_switch()
        console.print(
            f"Monitoring is on, with the packages in {switch.packages}"
            if switch.is_on
            else switch.why_off
        )


@app.command()
def build() -> None:
    """Make or update Elementary's tables, and enter the dbt project into them."""
    with _one_sentence():
        Elementary().build()


@app.command()
def watch() -> None:
    """Measure the age of sources and run the tests that Elementary makes."""
    with _one_sentence():
        for table in Elementary().watch():
            console.print(f"Not watched, as it is not there yet: {table}")


@app.command()
def tell() -> None:
    """Send what was found to the Slack channel of the alerts, each finding at most once a day."""
    with _one_sentence():
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
def _one_sentence() -> Iterator[None]:
    """Turn what a user can mend into a sentence and exit code 2."""
    try:
        yield
    except (
        ConfigurationError,
        ElementaryError,
        ManifestError,
        MonitoringOffError,
        SnowflakeError,
        ValueError,
        WarehouseUnreachableError,
    ) as error:
        errors.print(str(error), style="red")
        raise typer.Exit(2) from None


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
    start_command()
    app()
