"""``firn sample``: generated data for the warehouse and its sources."""

from __future__ import annotations

import typer

from include.project.domains import part_of, with_part

app = typer.Typer()
sample = typer.Typer(no_args_is_help=True)
app.add_typer(sample, name="sample")


@sample.callback()
def _sample() -> None:
    """Fill the local warehouse, its landing folder, or a source database with generated data."""


for _domain in with_part("sample"):
    sample.command(_domain)(part_of(_domain, "sample").command)
