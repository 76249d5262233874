"""The demo: each pipeline from its sample data to the answers of its marts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from include.airflow import local as local_airflow
from include.airflow.environment import airflow_environment
from include.core.errors import UserError
from include.demo.show import Show
from include.orchestration.single_run import DagRunOutcome, run_dag, start_importing
from include.project.builds import NodeResult, builds_folder, read_run_results
from include.project.domains import Pipeline
from include.project.manifest import manifest_path, read_manifest
from include.project.monitoring_switch import monitoring_switch
from include.project.nodes import Project
from include.warehouse.catalogue import existing
from include.warehouse.connection import ConnectionSettings, connect
from include.warehouse.local_process import start_warehouse, stop_warehouse


class DemoError(UserError):
    """The demo cannot run here; the message says why and what to do."""


@dataclass(frozen=True)
class Result:
    """What became of one pipeline.

    Attributes:
        nodes: of all its DAGs; one that two DAGs built stands for the later build.
        merged_into: the incremental models that had a table before.
        failed: the run that failed, if one did; the DAGs after it did not run.
        unchanged: whether there was nothing to build.
        seconds: from the delivery to the end of the last DAG.
    """

    pipeline: Pipeline
    project: Project
    nodes: Sequence[NodeResult]
    merged_into: set[str]
    failed: DagRunOutcome | None
    unchanged: bool
    seconds: float


def run(console: Console, settings: ConnectionSettings, pipelines: Sequence[Pipeline]) -> bool:
    """Run the demo; return whether everything succeeded.

    A pipeline that fails does not keep the others from running.

    Args:
        console: where to print.
        settings: of the local target.
        pipelines: what to run, in this order.

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
    if local_airflow.runs(variables):
        raise DemoError(
            "Airflow runs (make up) and would run the demo's tasks a second time: trigger the DAGs "
            "on its page instead, or stop it with make down."
        )
    show = Show(console)
    show.step(f"Starting the local warehouse on 127.0.0.1:{settings.port}, and Airflow")
    # All three at a time; they have nothing to do with each other until the first run.
    start_importing(variables)
    with ThreadPoolExecutor(1) as beside:
        preparing = beside.submit(local_airflow.prepare, variables)
        started = start_warehouse(variables)
    try:
        preparing.result()
        manifest = read_manifest(manifest_path(variables))
        results = [_run_one(show, settings, variables, manifest, one) for one in pipelines]
        show.step("Done")
        console.print()
        console.print(_summary(settings, results))
        for result in results:
            _print_result(console, settings, result)
        _print_next(console, settings, started=started)
    finally:
        if started:
            stop_warehouse(variables)
    return not any(result.failed for result in results)


def _run_one(
    show: Show,
    settings: ConnectionSettings,
    variables: dict[str, str],
    manifest: Mapping[str, Any],
    pipeline: Pipeline,
) -> Result:
    began = time.monotonic()
    show.step(f"[bold]{pipeline.domain}[/]: {pipeline.title}")
    pipeline.deliver(settings, lambda text: show.step(f"  {text}"))
    project = Project.read(manifest, pipeline.domain)
    merged_into = _existing(settings, project)
    nodes: dict[str, NodeResult] = {}
    failed, unchanged = None, True
    with show.build(project) as on_node:
        for dag in pipeline.dags:
            show.step(f"  Running the DAG {dag} through Airflow")
            outcome = run_dag(dag, variables, on_node=on_node, on_task=show.stage)
            unchanged = unchanged and outcome.unchanged
            if outcome.built:
                built = read_run_results(builds_folder(dag, variables))
                nodes |= {node.unique_id: node for node in built}
            if not outcome.succeeded:
                failed = outcome
                break
    return Result(
        pipeline,
        project,
        list(nodes.values()),
        merged_into,
        failed,
        unchanged,
        time.monotonic() - began,
    )


def _existing(settings: ConnectionSettings, project: Project) -> set[str]:
    """The incremental models that have a table already."""
    with connect(settings) as connection, connection.cursor() as cursor:
        tables = existing(cursor, project.relations.values())
    return {
        unique_id
        for unique_id in project.incremental
        if project.relations[unique_id].upper() in tables
    }


def _rows(settings: ConnectionSettings, relations: Sequence[str]) -> int:
    """How many rows there are in some relations together; those that do not exist hold none."""
    with connect(settings) as connection, connection.cursor() as cursor:
        there = existing(cursor, relations)
        # Relations are named by the dbt project, not by a user.
        counts = " union all ".join(
            f"select count(*) from {relation}"  # noqa: S608
            for relation in relations
            if relation.upper() in there
        )
        if not counts:
            return 0
        cursor.execute(counts)
        return sum(int(row[0]) for row in cast("list[tuple[int]]", cursor.fetchall()))


def _summary(settings: ConnectionSettings, results: Sequence[Result]) -> Table:
    lines = []
    for result in results:
        project, nodes = result.project, result.nodes
        models = [node for node in nodes if node.kind == "model"]
        lines.append(
            (
                _rows(settings, project.sources),
                len(models),
                _rows(settings, list(project.relations.values())),
                sum(node.status == "pass" for node in nodes),
                sum(node.status == "warn" for node in nodes),
                result.seconds,
            )
        )
    total = [sum(column) for column in zip(*lines, strict=True)]
    table = Table(show_footer=True)
    table.add_column("Pipeline", no_wrap=True, footer="all")
    headings = ("Source rows", "Models", "Rows in them", "Passed", "Warned", "Seconds")
    for heading, number in zip(headings, total, strict=True):
        table.add_column(heading, justify="right", no_wrap=True, footer=_number(number))
    for result, line in zip(results, lines, strict=True):
        name = result.pipeline.domain
        table.add_row(f"[red]{name}[/]" if result.failed else name, *map(_number, line))
    return table


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.0f}"


def _print_result(console: Console, settings: ConnectionSettings, result: Result) -> None:
    title = f"{result.pipeline.domain}: {result.pipeline.title}"
    console.print()
    console.rule(f"[bold]{title}[/]", align="left", style="dim")
    if result.failed:
        _print_failure(console, result.failed, result.nodes)
        return
    _print_increment(console, result)
    for node in result.nodes:
        if node.status == "warn":
            message = " ".join(node.message.split())
            console.print(f"[yellow]Warning[/] {node.name}: {message}", soft_wrap=True)
    console.print()
    _print_answers(console, settings, result.pipeline)


def _print_increment(console: Console, result: Result) -> None:
    merges = [node for node in result.nodes if node.unique_id in result.merged_into]
    if result.unchanged:
        console.print("Nothing new was loaded since the last run, so nothing was built.")
    elif not result.project.incremental:
        console.print("Every model is built anew.")
    elif not merges:
        console.print("First run: incremental models were built from all of their source.")
    else:
        rows = sum(node.rows or 0 for node in merges)
        names = ", ".join(node.name for node in merges)
        why = (
            "nothing in the source has changed"
            if rows == 0
            else "only what the source has that they had not"
        )
        console.print(f"Incremental run: {rows:,} rows merged into {names}: {why}.", soft_wrap=True)


def _print_answers(console: Console, settings: ConnectionSettings, pipeline: Pipeline) -> None:
    mart = f"{settings.database}.{settings.schema_prefix}mart"
    with connect(settings) as connection, connection.cursor() as cursor:
        for question, sql in pipeline.questions.items():
            cursor.execute(sql.format(mart=mart))
            columns = [column.name for column in cursor.description]
            table = Table(box=None, pad_edge=False)
            for index, name in enumerate(columns):
                table.add_column(name, justify="right" if index else "left", header_style="dim")
            for name, *values in cursor.fetchall():
                table.add_row(str(name), *map(_value, values))
            console.print(f"[bold]{question}[/]")
            console.print(Padding(table, (0, 0, 1, 2)))


def _value(value: object) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, str) else f"{value:,}"


def _print_next(console: Console, settings: ConnectionSettings, *, started: bool) -> None:
    schema = f"{settings.schema_prefix}mart".upper()
    query = (
        f"select table_name, row_count from {settings.database.lower()}.information_schema.tables "  # noqa: S608
        f"where table_schema = '{schema}'"
    )
    state = "is stopped" if started else "ran before and still runs"
    lines = [
        "[bold]What to try next[/]",
        "  make demo   again: only what is new is loaded and merged",
        "  make up     the warehouse and Airflow, with the DAGs on its page; make down stops them",
        f'  .venv/bin/firn sql "{query}"   while the warehouse runs',
        "  make report  the state of every pipeline, as pages that open from disk",
        "  docs/index.md  all pages: an account, a domain of your own, operating it",
        "",
        f"The warehouse {state}; its data stays in {settings.warehouse_home}.",
        monitoring_switch().why_off or "Monitoring is on: docs/monitoring.md.",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)


def _print_failure(console: Console, outcome: DagRunOutcome, nodes: Sequence[NodeResult]) -> None:
    tasks = ", ".join(outcome.failed_tasks) or "none of its tasks: Airflow itself ended"
    console.print(f"[bold red]{outcome.dag_id} failed.[/] Failed tasks: {tasks}")
    for node in nodes:
        if node.failed:
            message = " ".join(node.message.split())
            console.print(f"  {node.kind} {node.name}: {message}", markup=False)
    console.print("\nThe end of the log:")
    for line in outcome.last_lines(12):
        console.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
    console.print(f"\nThe whole log: {outcome.log}", soft_wrap=True)
