"""``python -m include.demo``: the pipelines, end to end, on this machine.

Starts the local warehouse if it does not run, delivers sample data, runs the DAGs through Airflow,
and shows what they made. A second run loads and merges only what is new.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from include.demo import affiliate, forex, gaming, retail, tpch
from include.demo.run import DemoError, run
from include.ingestion.errors import IngestionError
from include.logs import start_command
from include.orchestration import local_airflow
from include.orchestration.environment import demo_scale
from include.orchestration.local_warehouse import LocalWarehouseError
from include.orchestration.manifest import ManifestError
from include.sample_data.tpch import SampleDataError
from include.warehouse.connection import (
    ConfigurationError,
    WarehouseUnreachableError,
    get_settings,
)

PIPELINES = {
    one.domain: one
    for one in (
        tpch.PIPELINE,
        forex.PIPELINE,
        retail.PIPELINE,
        affiliate.PIPELINE,
        gaming.PIPELINE,
    )
}


def main(
    domains: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(PIPELINES)}; all by default.")
    ] = None,
) -> None:
    """Run the pipelines on this machine and show what they made."""
    console = Console(highlight=False)
    try:
        if unknown := set(domains or ()) - set(PIPELINES):
            raise DemoError(
                f"There is no pipeline {', '.join(sorted(unknown))}: choose from "
                f"{', '.join(PIPELINES)}."
            )
        demo_scale()  # A setting that cannot be read is said before anything starts.
        chosen = [PIPELINES[name] for name in domains or PIPELINES]
        code = 0 if run(console, get_settings(), chosen) else 1
    except (
        DemoError,
        ConfigurationError,
        IngestionError,
        LocalWarehouseError,
        ManifestError,
        WarehouseUnreachableError,
        local_airflow.LocalAirflowError,
        SampleDataError,
        ValueError,
    ) as error:
        Console(stderr=True, highlight=False).print(
            str(error), style="red", markup=False, soft_wrap=True
        )
        code = 2
    except KeyboardInterrupt:
        console.print("\nStopped; what is done so far stays, and the next run goes on from there.")
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    start_command()
    typer.run(main)
