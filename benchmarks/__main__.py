"""``python -m benchmarks``: measure on this machine, in a local warehouse of its own."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import orchestration as orchestrated
from benchmarks.increments import DOMAINS, MOST_RATIO, DbtError
from benchmarks.increments import measure as measure_increments
from benchmarks.loading import Bench, Method
from benchmarks.monitoring import BuildError, measure
from benchmarks.orchestration import RunError
from benchmarks.statements import measure as measure_statements
from include.airflow.local import LocalAirflowError
from include.delivery.account import create_databases
from include.local_warehouse.errors import WarehouseError
from include.local_warehouse.process import LocalWarehouse
from include.project.domains import SampleDataError
from include.project.monitoring_switch import MonitoringOffError
from include.warehouse.connection import LOCAL_HOST, ConfigurationError, ConnectionSettings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
console = Console()


@app.callback()
def main() -> None:
    """Measure on this machine, in a local warehouse that is made for it and removed after."""


@app.command()
def loading(
    rows: Annotated[int, typer.Option(min=1, help="Rows of the file.")] = 1_000_000,
    slow_rows: Annotated[
        int, typer.Option(min=10, help="Rows for pandas; a tenth of them for the literals.")
    ] = 50_000,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each way.")] = 3,
) -> None:
    """The loader beside PUT + COPY, pandas and MERGE of literals."""
    try:
        with _own_warehouse() as bench:
            methods = bench.measure(rows, slow_rows, repeat, console.print)
    except WarehouseError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    console.print(_table(methods))


@app.command()
def monitoring(
    rows: Annotated[int, typer.Option(min=1, help="Rows of the delivery.")] = 12_000,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each build.")] = 3,
) -> None:
    """A pipeline's build with Elementary's hooks beside the same without them."""
    try:
        with _own_warehouse() as bench:
            builds = measure(bench.settings, rows, repeat, console.print)
    except (BuildError, ConfigurationError, MonitoringOffError, WarehouseError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    table = Table("Elementary", box=None)
    for heading in ("seconds", "least", "of without"):
        table.add_column(heading, justify="right")
    first = median(builds[0].seconds)
    for build in builds:
        middle = median(build.seconds)
        table.add_row(
            build.name, f"{middle:.2f}", f"{min(build.seconds):.2f}", f"{middle / first:.3f}"
        )
    console.print(table)


@app.command()
def orchestration(
    scale: Annotated[float, typer.Option(min=0.001, help="TPC-H scale factor.")] = 0.1,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each way.")] = 3,
) -> None:
    """A run of the tpch DAG, without and with a scheduler, beside dbt build alone."""
    try:
        with _own_warehouse() as bench:
            ways = orchestrated.measure(bench.settings, scale, repeat, console.print)
    except (ConfigurationError, LocalAirflowError, RunError, WarehouseError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    table = Table("way", box=None)
    for heading in ("models", "seconds", "least", "more than dbt", "of dbt"):
        table.add_column(heading, justify="right")
    alone = median(ways[0].seconds)
    for way in ways:
        middle = median(way.seconds)
        table.add_row(
            way.name,
            str(way.models or ways[-1].models),
            f"{middle:.1f}",
            f"{min(way.seconds):.1f}",
            f"{middle - alone:.1f}",
            f"{middle / alone:.3f}",
        )
    console.print(table)


@app.command()
def increments(
    rows: Annotated[int, typer.Option(min=100, help="Rows of a day's largest source.")] = 3_000,
    days: Annotated[int, typer.Option(min=1, help="Days of the shorter history.")] = 2,
    times: Annotated[int, typer.Option(min=2, help="How much longer the other one is.")] = 10,
    domain: Annotated[list[str] | None, typer.Option(help="One of them; all by default.")] = None,
) -> None:
    """Incremental models on the same new rows, with a history and with ten times as much."""
    if unknown := {*(domain or [])} - {*DOMAINS}:
        raise typer.BadParameter(f"{min(unknown)} is not one of {', '.join(DOMAINS)}.")
    try:
        with tempfile.TemporaryDirectory(prefix="firn-bench-") as name:
            found = measure_increments(
                _settings,
                Path(name),
                domains=domain or DOMAINS,
                rows=rows,
                days=days,
                times=times,
                say=console.print,
            )
    except (DbtError, SampleDataError, WarehouseError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    table = Table("model", box=None)
    more = f"{times} x history"
    for heading in ("rows read", more, "ratio", "processor ms", more, "ratio"):
        table.add_column(heading, justify="right")
    table.add_column(f"why above {MOST_RATIO}")
    for one in found:
        table.add_row(
            one.model,
            f"{one.less.rows:,}",
            f"{one.more.rows:,}",
            f"{one.ratio:.2f}",
            f"{1000 * one.less.seconds:.1f}",
            f"{1000 * one.more.seconds:.1f}",
            f"{one.more.seconds / one.less.seconds:.2f}",
            one.remark,
        )
    console.print(table)


@app.command()
def statements(
    times: Annotated[int, typer.Option(min=1, help="Runs of each statement.")] = 300,
) -> None:
    """Small statements in the local warehouse beside DuckDB alone and plain fakesnow."""
    with tempfile.TemporaryDirectory(prefix="firn-bench-") as name:
        costs = measure_statements(Path(name), times)
    table = Table("statement, processor ms", box=None)
    for heading in ("DuckDB", "fakesnow", "local warehouse", "added"):
        table.add_column(heading, justify="right")
    for cost in costs:
        values = (cost.duckdb, cost.fakesnow, cost.ours, cost.ours - cost.duckdb)
        table.add_row(cost.name, *(f"{value:.2f}" for value in values))
    console.print(table)


@contextmanager
def _own_warehouse() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="firn-bench-") as name:
        home = Path(name)
        settings = _settings(home)
        process = LocalWarehouse(settings.warehouse_home, settings.port, settings.run_home)
        process.start()
        try:
            create_databases(settings)
            yield Bench(settings, home / "landing", int((process.health() or {})["pid"]))
        finally:
            process.stop()


def _settings(home: Path) -> ConnectionSettings:
    """Of a local warehouse, whatever the environment names."""
    return ConnectionSettings(
        _variables={"FIRN_ENV_FILE": os.devnull},
        firn_target="local",
        firn_home=home,
        firn_local_port=_free_port(),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL_HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _table(methods: list[Method]) -> Table:
    table = Table("way", box=None)
    for heading in ("rows", "seconds", "processor s", "rows/s", "of PUT + COPY"):
        table.add_column(heading, justify="right")
    first = methods[0].rows_per_second
    for method in methods:
        table.add_row(
            method.name,
            f"{method.rows:,}",
            f"{median(method.seconds):.2f}",
            f"{median(method.processor_seconds):.2f}",
            f"{method.rows_per_second:,.0f}",
            f"{method.rows_per_second / first:.3f}",
        )
    return table


if __name__ == "__main__":
    app()
