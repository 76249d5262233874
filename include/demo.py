"""``python -m include.demo``: the TPC-H pipeline, end to end, on this machine.

Starts the local warehouse if it does not run, generates and loads TPC-H, runs the DAG
``tpch__orders__4h`` through Airflow, and shows what it made. A second run finds nothing changed.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from include.orchestration import local_airflow
from include.orchestration.builds import NodeResult, builds_folder, read_run_results
from include.orchestration.environment import airflow_environment, demo_scale
from include.orchestration.local_warehouse import (
    LocalWarehouseError,
    start_warehouse,
    stop_warehouse,
)
from include.orchestration.manifest import (
    ManifestError,
    manifest_path,
    read_manifest,
    tests_by_owner,
)
from include.orchestration.single_run import DagRunOutcome, run_dag
from include.sample_data import tpch
from include.warehouse.connection import (
    ConfigurationError,
    ConnectionSettings,
    WarehouseUnreachableError,
    connect,
    get_settings,
)

DAG, DOMAIN = "tpch__orders__4h", "tpch"
LAYERS = ("source", "staging", "intermediate", "mart")

QUESTIONS = {
    "Which customer segments are worth most over their lifetime?": """
        select
            rfm_segment as "Segment",
            count(*) as "Customers",
            avg(lifetime_value)::number(38, 0) as "Lifetime value each"
        from {mart}.mart_customer_summary
        group by rfm_segment
        order by avg(lifetime_value) desc
        limit 3
    """,
    "Where do deliveries arrive late most often?": """
        select
            customer_region as "Region",
            count(*) as "Order lines",
            (100 * count_if(is_late) / count(*))::number(5, 1) as "Late, %"
        from {mart}.mart_orders
        where receipt_date is not null
        group by customer_region
        order by count_if(is_late) / count(*) desc
        limit 3
    """,
    "Which nations bring the most net revenue?": """
        select
            customer_nation as "Nation",
            (sum(net_price) / 1000000)::number(38, 1) as "Net revenue, millions",
            (100 * sum(margin_amount) / sum(net_price))::number(5, 1) as "Margin, %"
        from {mart}.mart_orders
        group by customer_nation
        order by sum(net_price) desc
        limit 3
    """,
    "Which products earn the most, and at what margin?": """
        select
            part_name as "Product",
            net_revenue::number(38, 0) as "Net revenue",
            (100 * margin_rate)::number(5, 1) as "Margin, %"
        from {mart}.mart_product_performance
        order by revenue_rank
        limit 3
    """,
    "What does discounting cost?": """
        select
            (100 * discount_rate)::number(5, 0) || ' %' as "Discount",
            (100 * margin_rate_before_discount)::number(5, 1) as "Margin before, %",
            (100 * margin_rate)::number(5, 1) as "Margin after, %"
        from {mart}.mart_discount_impact
        where discount_rate in (0.02, 0.05, 0.10)
        order by discount_rate
    """,
    "Which suppliers give the most quality for their cost?": """
        select
            supplier_name as "Supplier",
            cost_index::number(5, 2) as "Cost index",
            (100 * on_time_rate)::number(5, 1) as "On time, %"
        from {mart}.mart_supplier_performance
        order by cost_to_quality_rank
        limit 3
    """,
    "How soon does a customer pay back the cost of winning them?": """
        select
            customer_region as "Region",
            average_lifetime_margin::number(38, 0) as "Lifetime margin each",
            payback_months::number(38, 1) as "Months to pay back"
        from {mart}.mart_region_unit_economics
        order by payback_months
        limit 3
    """,
}

STAGES = {
    f"{DOMAIN}.source_freshness": "  Checking how fresh the sources are",
    f"{DOMAIN}.dbt_producer_watcher": "  Building and testing the models",
    "publish": f"  Publishing the asset {DOMAIN}",
}
"""What is told when an Airflow task begins; a model's task follows the build and is not told."""


class DemoError(RuntimeError):
    """The demo cannot run here; the message says why and what to do."""


@dataclass
class Project:
    """What the dbt project says about the nodes of the domain.

    Attributes:
        layers: the layer of each model and of each test, by unique id.
        relations: the table or view of each model.
        incremental: the models that are merged into, not built anew.
    """

    layers: dict[str, str] = field(default_factory=dict)
    relations: dict[str, str] = field(default_factory=dict)
    incremental: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, manifest: Mapping[str, Any]) -> Project:
        """The domain's part of a dbt manifest."""
        project = cls()
        for unique_id, node in manifest["nodes"].items():
            folders = Path(node["original_file_path"]).parts
            if node["resource_type"] == "model" and folders[2] == DOMAIN:
                project.layers[unique_id] = folders[1]
                project.relations[unique_id] = node["relation_name"]
                if node["config"]["materialized"] == "incremental":
                    project.incremental.add(unique_id)
        owned = tests_by_owner(manifest)
        for unit_test in manifest["unit_tests"].values():
            owned.setdefault(unit_test["depends_on"]["nodes"][0], []).append(unit_test["unique_id"])
        for owner, tests in owned.items():
            of_source = owner.startswith(f"source.firn.{DOMAIN}.")
            layer = "source" if of_source else project.layers.get(owner)
            if layer:
                project.layers |= dict.fromkeys(tests, layer)
        return project


class Show:
    """Tells what happens: bars on a terminal, a line per model elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """Begin something that takes a while."""
        self.console.print(f"[dim]{time.monotonic() - self._began:5.0f} s[/]  {text}")

    def stage(self, task: str) -> None:
        """Begin an Airflow task."""
        if text := STAGES.get(task):
            self.step(text)

    @contextmanager
    def build(self, project: Project) -> Iterator[_Bars | _Lines]:
        """Follow a build of the project's nodes."""
        if not self.console.is_terminal:
            yield _Lines(self, project)
            return
        columns = (
            TextColumn("         {task.description:<13}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[now]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            yield _Bars(progress, project)


class _Bars:
    def __init__(self, progress: Progress, project: Project) -> None:
        self._progress, self._project = progress, project
        totals = Counter(project.layers.values())
        self._bars: dict[str, TaskID] = {
            layer: progress.add_task(layer, total=totals[layer], now="")
            for layer in LAYERS
            if totals[layer]
        }
        self._running: dict[str, list[str]] = defaultdict(list)

    def __call__(self, node: NodeResult) -> None:
        layer = self._project.layers.get(node.unique_id)
        if layer not in self._bars:
            return
        running = self._running[layer]
        if node.status == "started":
            running.append(node.name)
        else:
            if node.name in running:
                running.remove(node.name)
            self._progress.advance(self._bars[layer])
        now = running[-1] if running else ""
        self._progress.update(self._bars[layer], now=now[:40])


class _Lines:
    def __init__(self, show: Show, project: Project) -> None:
        self._show, self._project = show, project

    def __call__(self, node: NodeResult) -> None:
        if node.failed or (node.kind == "model" and node.status != "started"):
            self._show.step(f"    {node.status:<8} {node.name}")


def run(console: Console, settings: ConnectionSettings, scale: float) -> bool:
    """Run the demo; return whether everything succeeded.

    Args:
        console: where to print.
        settings: of the local target.
        scale: TPC-H scale factor.

    Raises:
        DemoError, SampleDataError, LocalWarehouseError, LocalAirflowError, ManifestError,
        ConfigurationError, WarehouseUnreachableError: it cannot run; the message is one sentence.
    """
    if not settings.is_local:
        raise DemoError(
            f"FIRN_TARGET is {settings.target}, and the demo is for the local warehouse: "
            "set FIRN_TARGET=local."
        )
    variables = airflow_environment(headless=True, settings=settings)
    if any(local_airflow.is_running(name, variables) for name in local_airflow.COMPONENTS):
        raise DemoError(
            f"Airflow runs (make up) and would run the demo's tasks a second time: trigger {DAG} "
            "on its page instead, or stop it with make down."
        )
    show = Show(console)
    show.step(f"Starting the local warehouse on 127.0.0.1:{settings.port}")
    started = start_warehouse(variables)
    try:
        began = time.monotonic()
        sources = tpch.load(scale, settings=settings, progress=show.step)
        source_seconds = time.monotonic() - began
        if not any(table.loaded for table in sources):
            show.step(f"TPC-H at scale {scale:g} is loaded already")
        show.step("Preparing Airflow and parsing the dbt project")
        local_airflow.prepare(variables)
        project = Project.read(read_manifest(manifest_path(variables)))
        merged_into = _existing(settings, project)
        show.step(f"Running the DAG {DAG} through Airflow")
        with show.build(project) as on_node:
            outcome = run_dag(DAG, variables, on_node=on_node, on_task=show.stage)
        nodes = read_run_results(builds_folder(DAG, variables)) if outcome.built else []
        if not outcome.succeeded:
            _print_failure(console, outcome, nodes)
            return False
        show.step("Done")
        console.print(f"\n[bold]{DAG}[/]")
        console.print(_summary(settings, project, nodes, sources, source_seconds))
        _print_increment(console, nodes, merged_into)
        _print_answers(console, settings)
        _print_next(console, settings, started=started)
    finally:
        if started:
            stop_warehouse(variables)
    return True


def _existing(settings: ConnectionSettings, project: Project) -> set[str]:
    """The incremental models that have a table already."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select upper(table_schema || '.' || table_name) from information_schema.tables"
        )
        tables = {str(row[0]) for row in cursor.fetchall()}
    return {
        unique_id
        for unique_id in project.incremental
        if project.relations[unique_id].upper().split(".", 1)[1] in tables
    }


def _summary(
    settings: ConnectionSettings,
    project: Project,
    nodes: list[NodeResult],
    sources: list[tpch.LoadedTable],
    source_seconds: float,
) -> Table:
    # Relations are named by the dbt project, not by a user.
    counts = " union all ".join(
        f"select '{unique_id}', count(*) from {relation}"  # noqa: S608
        for unique_id, relation in project.relations.items()
    )
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(counts)
        rows = {
            str(row[0]): int(row[1]) for row in cast("list[tuple[str, int]]", cursor.fetchall())
        }

    table = Table(show_footer=True)
    table.add_column("Layer", footer="all")
    numbers: list[tuple[str, int, int, int, float]] = []
    for layer in LAYERS:
        here = [node for node in nodes if project.layers.get(node.unique_id) == layer]
        models = [node for node in here if node.kind == "model"]
        passed = sum(node.status == "pass" for node in here)
        seconds = sum(node.seconds for node in here)
        if layer == "source":
            loaded, count = sum(one.rows for one in sources), len(sources)
            numbers.append((layer, count, loaded, passed, seconds + source_seconds))
        else:
            held = sum(rows[node.unique_id] for node in models)
            numbers.append((layer, len(models), held, passed, seconds))
    total = [sum(line[column] for line in numbers) for column in (1, 2, 3, 4)]  # type: ignore[misc]
    table.add_column("Tables, views", justify="right", footer=f"{total[0]}")
    table.add_column("Rows", justify="right", footer=f"{total[1]:,}")
    table.add_column("Tests passed", justify="right", footer=f"{total[2]}")
    table.add_column("Seconds", justify="right", footer=f"{total[3]:.1f}")
    for layer, count, held, passed, seconds in numbers:
        table.add_row(layer, str(count), f"{held:,}", str(passed or "-"), f"{seconds:.1f}")
    return table


def _print_increment(console: Console, nodes: list[NodeResult], merged_into: set[str]) -> None:
    merges = [node for node in nodes if node.unique_id in merged_into]
    if not merges:
        console.print("First run: incremental models were built from all of their source.\n")
        return
    rows = sum(node.rows or 0 for node in merges)
    names = ", ".join(node.name for node in merges)
    why = "nothing in the source has changed" if rows == 0 else "only what differs from the source"
    console.print(f"Incremental run: {rows:,} rows merged into {names}: {why}.\n", soft_wrap=True)


def _print_answers(console: Console, settings: ConnectionSettings) -> None:
    mart = f"{settings.database}.{settings.schema_prefix}mart"
    with connect(settings) as connection, connection.cursor() as cursor:
        for question, sql in QUESTIONS.items():
            cursor.execute(sql.format(mart=mart))
            columns = [column.name for column in cursor.description]
            table = Table(box=None, pad_edge=False)
            for index, name in enumerate(columns):
                table.add_column(name, justify="right" if index else "left", header_style="dim")
            for name, *numbers in cursor.fetchall():
                table.add_row(str(name), *(f"{number:,}" for number in numbers))
            console.print(f"[bold]{question}[/]")
            console.print(Padding(table, (0, 0, 1, 2)))


def _print_next(console: Console, settings: ConnectionSettings, *, started: bool) -> None:
    mart = f"{settings.database}.{settings.schema_prefix}mart".lower()
    query = f"select * from {mart}.mart_orders limit 5"  # noqa: S608
    state = "is stopped" if started else "ran before and still runs"
    lines = [
        "[bold]What to try next[/]",
        "  make demo   again: the incremental models then merge nothing",
        "  make up     the warehouse and Airflow, with this DAG on its page; make down stops them",
        f'  .venv/bin/python -m include.warehouse sql "{query}"   while the warehouse runs',
        "  README.md   where things are, and how to connect a Snowflake account",
        "",
        f"The warehouse {state}; its data stays in {settings.warehouse_home}.",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)


def _print_failure(console: Console, outcome: DagRunOutcome, nodes: list[NodeResult]) -> None:
    tasks = ", ".join(outcome.failed_tasks) or "none of its tasks: Airflow itself ended"
    console.print(f"\n[bold red]{DAG} failed.[/] Failed tasks: {tasks}")
    for node in nodes:
        if node.failed:
            message = " ".join(node.message.split())
            console.print(f"  {node.kind} {node.name}: {message}", markup=False)
    console.print("\nThe end of the log:")
    for line in outcome.last_lines(12):
        console.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
    console.print(f"\nThe whole log: {outcome.log}", soft_wrap=True)


def main() -> int:
    """Run the demo as a command; return its exit code."""
    console = Console(highlight=False)
    try:
        return 0 if run(console, get_settings(), demo_scale()) else 1
    except (
        DemoError,
        ConfigurationError,
        LocalWarehouseError,
        ManifestError,
        WarehouseUnreachableError,
        local_airflow.LocalAirflowError,
        tpch.SampleDataError,
        ValueError,
    ) as error:
        Console(stderr=True, highlight=False).print(
            str(error), style="red", markup=False, soft_wrap=True
        )
        return 2
    except KeyboardInterrupt:
        console.print("\nStopped; what is done so far stays, and the next run goes on from there.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
