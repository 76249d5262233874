"""``firn up`` and ``down``: Airflow on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import typer
from rich.console import Console

from include.airflow import local as local_airflow
from include.airflow.environment import AIRFLOW_USER, airflow_environment
from include.project import manifest
from include.project.domains import samples_needed
from include.project.paths import firn_home
from include.warehouse.connection import get_settings
from include.warehouse.local_process import (
    start_warehouse,
    stop_warehouse,
)

app = typer.Typer()
# Lines are for copying: the terminal breaks them, not we.
console = Console(highlight=False, soft_wrap=True)


@app.command()
def up() -> None:
    """Start the local warehouse and Airflow; what runs already is left as it is."""
    settings = get_settings()
    variables = airflow_environment(settings=settings)
    if settings.is_local:
        console.print("Starting the local warehouse")
        if start_warehouse(variables):
            _ours(variables).parent.mkdir(parents=True, exist_ok=True)
            _ours(variables).touch()
        for prepare in samples_needed():
            prepare(settings, console.print)
    console.print("Starting Airflow")
    url = local_airflow.start(variables)
    password = local_airflow.password(variables)
    console.print(f"\nAirflow    {url}  (user {AIRFLOW_USER}, password {password})")
    if settings.is_local:
        console.print(
            f"Warehouse  127.0.0.1:{variables['FIRN_LOCAL_PORT']}  "
            "(account local, user firn, protocol http; the password is "
            f"{settings.local_login.origin})"
        )
    console.print(f"Logs       {firn_home(variables) / 'logs'}")
    console.print("\nDAGs are paused until you switch them on. Stop everything with: make down")


@app.command()
def down() -> None:
    """Stop what `up` started and nothing else; data and logs stay."""
    variables = airflow_environment()
    stopped = local_airflow.stop(variables)
    console.print(f"Stopped Airflow ({', '.join(stopped)})" if stopped else "Airflow did not run")
    if _ours(variables).exists():
        stop_warehouse(variables)
        _ours(variables).unlink()
        console.print("Stopped the local warehouse; its data stays")


@app.command("manifest")
def write_manifest() -> None:
    """Write the dbt manifest that DAGs are rendered from, if the dbt project has changed."""
    console.print(str(manifest.ensure_manifest(airflow_environment())))


@app.command(
    "airflow",
    add_help_option=False,
    context_settings={
        "allow_extra_args": True,
        "allow_interspersed_args": False,
        "ignore_unknown_options": True,
    },
)
def airflow_command(context: typer.Context) -> None:
    """Run a command of Airflow's own, such as `airflow dags list`, on the Airflow of `up`."""
    variables = airflow_environment()
    command = [sys.executable, "-m", "airflow", *context.args]
    os.execvpe(command[0], command, variables)  # noqa: S606 - no shell, Airflow checks its arguments


def _ours(variables: Mapping[str, str]) -> Path:
    """Exists while the warehouse that runs is one that `up` started."""
    return firn_home(variables) / "run" / "warehouse-started-by-up"
