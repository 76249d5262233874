"""``firn demo``: the pipelines, end to end, on this machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from include.demo.run import DemoError, run
from include.project.domains import pipelines, with_part
from include.warehouse.connection import get_settings

app = typer.Typer()


@app.command()
def demo(
    domains: Annotated[
        list[str] | None,
        typer.Argument(help=f"Some of {', '.join(with_part('demo'))}; all by default."),
    ] = None,
) -> None:
    """Run the pipelines on this machine and show what they made.

    It starts the local warehouse if it does not run, delivers sample data, and runs the DAGs
    through Airflow. A second run loads and merges only what is new.
    """
    console = Console(highlight=False)
    known = pipelines()
    if unknown := set(domains or ()) - set(known):
        raise DemoError(
            f"There is no pipeline {', '.join(sorted(unknown))}: choose from {', '.join(known)}."
        )
    chosen = [known[name] for name in domains or known]
    for one in chosen:
        one.check()
    try:
        succeeded = run(console, get_settings(), chosen)
    except KeyboardInterrupt:
        console.print("\nStopped; what is done so far stays, and the next run goes on from there.")
        raise
    if not succeeded:
        raise typer.Exit(1)
