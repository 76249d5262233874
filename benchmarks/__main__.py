"""``python -m benchmarks``: measure on this machine, each thing beside a reference."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import results
from benchmarks.results import BENCHMARKS, HEADINGS, BenchmarkError, Report
from include.airflow.local import LocalAirflowError
from include.ingestion.errors import IngestionError
from include.local_warehouse.errors import WarehouseError
from include.project.domains import SampleDataError
from include.project.monitoring_switch import MonitoringOffError
from include.warehouse.connection import REPOSITORY, ConfigurationError, WarehouseUnreachableError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
EXPECTED = (
    BenchmarkError,
    ConfigurationError,
    IngestionError,
    LocalAirflowError,
    SampleDataError,
    WarehouseError,
    WarehouseUnreachableError,
)
Write = Annotated[bool, typer.Option("--write", help="Write the rows into benchmarks/README.md.")]


@app.callback()
def main() -> None:
    """Measure on this machine, in a local warehouse that is made for it and removed after.

    A target that is missed is named and is no error.
    """


@app.command("all")
def everything() -> None:
    """Run every benchmark with its defaults and write the table into benchmarks/README.md."""
    try:
        results.clear()
        failed = [name for name in BENCHMARKS if _run_apart(name) != 0]
        rows = results.written()
    except BenchmarkError as error:
        raise _refused(str(error)) from None
    typer.echo(f"\n{results.machine()}\n")
    if rows:
        typer.echo(results.markdown(HEADINGS, rows))
    if failed:
        _complain(f"These failed, and the reasons are above: {', '.join(failed)}.")
    typer.echo(f"\n{results.missed(rows)}")
    if failed:
        raise typer.Exit(2)


@app.command()
def statements(
    times: Annotated[int, typer.Option(min=1, help="Runs of each statement.")] = 300,
    write: Write = False,
) -> None:
    """Small statements in the local warehouse beside DuckDB alone and plain fakesnow."""
    _show("statements", write, times=times)


@app.command()
def queries(
    scale: Annotated[float, typer.Option(min=0.001, help="TPC-H scale factor.")] = 1.0,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each query.")] = 5,
    write: Write = False,
) -> None:
    """The 22 TPC-H queries through the connector beside DuckDB alone and plain fakesnow."""
    _show("queries", write, scale=scale, repeat=repeat)


@app.command()
def loading(
    rows: Annotated[int, typer.Option(min=1, help="Rows of the file.")] = 1_000_000,
    slow_rows: Annotated[
        int, typer.Option(min=10, help="Rows for pandas; a tenth of them for the literals.")
    ] = 5_000,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each way.")] = 3,
    write: Write = False,
) -> None:
    """The loader beside PUT + COPY, pandas and MERGE of literals."""
    _show("loading", write, rows=rows, slow_rows=slow_rows, repeat=repeat)


@app.command()
def increments(
    rows: Annotated[int, typer.Option(min=100, help="Rows of a day's largest source.")] = 2_000,
    days: Annotated[int, typer.Option(min=1, help="Days of the shorter history.")] = 2,
    times: Annotated[int, typer.Option(min=2, help="How much longer the other one is.")] = 10,
    domain: Annotated[list[str] | None, typer.Option(help="One of them; all by default.")] = None,
    write: Write = False,
) -> None:
    """Incremental models on the same new rows, with a history and with ten times as much."""
    _show("increments", write, domains=domain, rows=rows, days=days, times=times)


@app.command()
def monitoring(
    rows: Annotated[int, typer.Option(min=1, help="Rows of the delivery.")] = 6_000,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each build.")] = 2,
    write: Write = False,
) -> None:
    """A pipeline's build with Elementary's hooks beside the same without them."""
    _show("monitoring", write, rows=rows, repeat=repeat)


@app.command()
def orchestration(
    scale: Annotated[float, typer.Option(min=0.001, help="TPC-H scale factor.")] = 0.1,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each way.")] = 2,
    write: Write = False,
) -> None:
    """A run of the tpch DAG, without and with a scheduler, beside dbt build alone."""
    _show("orchestration", write, scale=scale, repeat=repeat)


@app.command()
def demo(write: Write = False) -> None:
    """The demo in an empty folder and once more: seconds, and those of all its processes."""
    _show("demo", write)


def _run_apart(name: str) -> int:
    """Run a benchmark in a process of its own, whose end and memory are nobody else's."""
    command = [sys.executable, "-m", "benchmarks", name, "--write"]
    return subprocess.run(command, cwd=REPOSITORY, check=False).returncode


def _show(name: str, write: bool, **options: Any) -> None:
    """Measure, and show and write what was found.

    Raises:
        typer.Exit: it failed; the reason has been said.
    """
    typer.echo(f"{name}:")
    try:
        # Not before it is asked for: some import Airflow and dbt.
        measure: Callable[..., Report] = import_module(f"benchmarks.{name}").run
        report = measure(**options, say=typer.echo)
        rows = [result.row() for result in report.results]
        if report.detail.rows:
            typer.echo(f"\n{results.markdown(report.detail.headings, report.detail.rows)}")
        typer.echo(f"\n{results.markdown(HEADINGS, rows)}\n\n{results.missed(rows)}\n")
        if write:
            results.write(report, name)
    except MonitoringOffError as error:
        typer.echo(f"Skipped. {error}\n")
    except EXPECTED as error:
        raise _refused(str(error)) from None
    except Exception as error:
        # Whoever mends what nobody expected needs to see where it came from.
        traceback.print_exc()
        raise _refused(f"{name} failed ({type(error).__name__}: {error}).") from None


def _refused(sentence: str) -> typer.Exit:
    _complain(sentence)
    return typer.Exit(2)


def _complain(sentence: str) -> None:
    Console(stderr=True).print(sentence, style="red", markup=False, soft_wrap=True)


if __name__ == "__main__":
    app()
