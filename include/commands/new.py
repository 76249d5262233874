"""``firn new``: the files of something new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from include.core.settings import REPOSITORY
from include.ingestion.new_domain import files_of, write
from include.monitoring.pipelines import schedules

SCHEDULES = "docs/schedules.md"

app = typer.Typer()
new = typer.Typer(no_args_is_help=True)
app.add_typer(new, name="new")


@new.callback()
def _new() -> None:
    """Write the files of something new, ready to be filled in."""


@new.command()
def domain(
    name: Annotated[str, typer.Argument(help="The domain's name, such as support.")],
    declaration: Annotated[
        Path, typer.Option("--from", help="What is delivered, as sources.yml declares it.")
    ],
) -> None:
    """Write a domain's declaration, models, DAG, page and test."""
    made = files_of(name, declaration)
    for file in write(made):
        typer.echo(f"Wrote {file}")
    (REPOSITORY / SCHEDULES).write_text(schedules(), "utf-8")
    typer.echo(f"Wrote {SCHEDULES}")
    typer.echo(
        f"\nNext:\n  .venv/bin/firn load {name}\n"
        f"  (cd dbt && ../.venv/bin/dbt build --select 'path:*/**/{name}' 'source:{name}')\n"
        f"  .venv/bin/python -m pytest tests/integration/test_dbt_{name}.py tests/dags"
    )
