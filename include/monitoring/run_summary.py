"""What a run of a domain's DAG did, layer by layer: for people in the log, for charts in a table.

`RAW.META.RUN_SUMMARY` has one row per run and layer, as far as the DAG has them: source, staging,
intermediate, mart, export; and before these a row `run` for the run as a whole.
"""

# ruff: noqa: S608 - relations are named by the dbt project; every value is bound.
from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from snowflake.connector.errors import ProgrammingError

from include.project import changes
from include.project.builds import PRODUCER, NodeResult
from include.project.nodes import LAYERS, Project
from include.warehouse import ledgers
from include.warehouse.catalogue import DOES_NOT_EXIST, existing
from include.warehouse.connection import ConnectionSettings, connect, get_settings

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

EXPORT = "export"
WHOLE = "run"
SUCCESS, WARNING, FAILED, NOT_RUN = "success", "warning", "failed", "not run"
UNCHANGED = "unchanged"
_FAILED_STATES = {"failed", "up_for_retry"}
_MOST_CHARACTERS = 4_000
_OF_SOURCES = ("ingest", "refused", "deliver", "extract")


@dataclass(frozen=True)
class Layer:
    """What a run did in one layer.

    Attributes:
        layer: source, staging, intermediate, mart or export; run for all of it together.
        status: success, warning (a test warned), failed, unchanged (there was nothing to build),
            or not run.
        began_at: when the first of it began, in UTC; None if nothing ran.
        ended_at: when the last of it ended.
        table_count: tables and views of the layer; of an export, those that were written.
        row_count: rows in them now; None if they could not be counted.
        delivered: rows in the files of this run; None for a layer that loads none.
        loaded, rejected, superseded: what became of them.
        tests_passed, tests_warned, tests_failed, tests_skipped: the layer's tests.
        problems: a line for each failed task, refused file, and test that warned or failed.
    """

    layer: str
    status: str = NOT_RUN
    began_at: datetime | None = None
    ended_at: datetime | None = None
    table_count: int = 0
    row_count: int | None = None
    delivered: int | None = None
    loaded: int | None = None
    rejected: int | None = None
    superseded: int | None = None
    tests_passed: int = 0
    tests_warned: int = 0
    tests_failed: int = 0
    tests_skipped: int = 0
    problems: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """From the first beginning to the last end."""
        if self.began_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.began_at).total_seconds()


@dataclass(frozen=True)
class Run:
    """A run of a DAG, as far as it has got.

    Attributes:
        began_at: when it began, in UTC.
        states: the state of each task by its id; a mapped task may have several.
    """

    dag_id: str
    run_id: str
    domain: str
    began_at: datetime
    states: Mapping[str, Collection[str]]

    @property
    def loaded_sources(self) -> set[str]:
        """The sources that have a task of their own to load them."""
        tasks = [task.split(".") for task in self.states]
        return {task[1] for task in tasks if len(task) == 3 and task[0] == "ingest"}

    @property
    def built(self) -> bool:
        """Whether its dbt build went well."""
        return self.states.get(self._producer) == {"success"}

    @property
    def unchanged(self) -> bool:
        """Whether there was nothing to build."""
        looked = self.states.get(f"{self.domain}.{changes.TASK}") == {"success"}
        return looked and self.states.get(self._producer) == {"skipped"}

    @property
    def _producer(self) -> str:
        return f"{self.domain}.{PRODUCER}"

    def failed(self, *groups: str) -> list[str]:
        """The failed tasks that are of some groups, or are them; of all if none is given."""
        return sorted(
            task
            for task, states in self.states.items()
            if _FAILED_STATES & set(states) and (not groups or _within(task, groups))
        )


@dataclass(frozen=True)
class Loads:
    """The loads of a run together, from the book of loads."""

    began_at: datetime | None = None
    ended_at: datetime | None = None
    files: int = 0
    delivered: int = 0
    loaded: int = 0
    rejected: int = 0
    superseded: int = 0
    refused: tuple[str, ...] = ()


def layers(
    run: Run,
    project: Project,
    nodes: Sequence[NodeResult],
    loads: Loads,
    exported: Sequence[Mapping[str, Any]] | None,
    rows: Mapping[str, int],
) -> list[Layer]:
    """The layers of a run that its DAG has, in the order it works through them.

    Args:
        run: the run.
        project: the domain's part of the dbt project.
        nodes: what became of each node of its build; empty if there was none.
        loads: what it loaded.
        exported: what the export task said; None if it said nothing.
        rows: how many rows each relation has, by its name in upper case.
    """
    found = []
    for name in LAYERS:
        here = [node for node in nodes if project.layers.get(node.unique_id) == name]
        relations = (
            project.sources
            if name == "source"
            else [
                relation
                for unique_id, relation in project.relations.items()
                if project.layers[unique_id] == name
            ]
        )
        layer = _built(Layer(name), here)
        if run.unchanged and name != "source":
            layer = replace(layer, status=UNCHANGED)
        if name != "source" and not relations and not here:
            continue
        counted = [rows[one.upper()] for one in relations if one.upper() in rows]
        layer = replace(
            layer,
            table_count=len(relations),
            row_count=sum(counted) if len(counted) == len(relations) else None,
        )
        found.append(_with_loads(layer, run, loads) if name == "source" else layer)
    return [*found, *_export(run, exported)]


def whole(
    run: Run, found: Sequence[Layer], nodes: Sequence[NodeResult], ended_at: datetime
) -> Layer:
    """The run as a whole: how it went, and the failed tasks that none of its layers explains.

    Args:
        run: the run.
        found: its layers.
        nodes: what became of each node of its build; empty if there was none.
        ended_at: when it had got so far.
    """
    explained = [*_OF_SOURCES, EXPORT]
    if any(node.failed for node in nodes):
        explained.append(run.domain)
    problems = tuple(
        f"task {task} failed: see its log" for task in run.failed() if not _within(task, explained)
    )
    statuses = {layer.status for layer in found}
    status = WARNING if WARNING in statuses else SUCCESS
    if problems or FAILED in statuses:
        status = FAILED
    return Layer(WHOLE, status, run.began_at, ended_at, problems=problems)


def _within(task: str, groups: Sequence[str]) -> bool:
    return any(task == group or task.startswith(f"{group}.") for group in groups)


def _built(layer: Layer, nodes: Sequence[NodeResult]) -> Layer:
    """What dbt did in the layer."""
    tests = [node for node in nodes if node.kind == "test"]
    warned = sum(node.status == "warn" for node in tests)
    problems = tuple(
        f"{node.kind} {node.name} {node.status}: {' '.join(node.message.split())}"
        for node in nodes
        if node.failed or node.status == "warn"
    )
    ran = [node for node in nodes if node.status != "skipped"]
    status = NOT_RUN
    if ran:
        status = WARNING if warned else SUCCESS
    if any(node.failed for node in nodes):
        status = FAILED
    return replace(
        layer,
        status=status,
        began_at=min((node.began for node in ran if node.began), default=None),
        ended_at=max((node.ended for node in ran if node.ended), default=None),
        tests_passed=sum(node.status == "pass" for node in tests),
        tests_warned=warned,
        tests_failed=sum(node.failed for node in tests),
        tests_skipped=sum(node.status == "skipped" for node in tests),
        problems=problems,
    )


def _with_loads(layer: Layer, run: Run, loads: Loads) -> Layer:
    """The source layer: besides dbt's tests of the raw tables, what was loaded into them."""
    failed = run.failed(*_OF_SOURCES)
    problems = (*loads.refused, *(f"task {task} failed: see its log" for task in failed))
    status = layer.status
    if loads.files and status == NOT_RUN:
        status = SUCCESS
    if problems:
        status = FAILED
    return replace(
        layer,
        status=status,
        began_at=min((one for one in (loads.began_at, layer.began_at) if one), default=None),
        # The tests of sources come after the loads; between the two is Airflow.
        ended_at=loads.ended_at or layer.ended_at,
        delivered=loads.delivered,
        loaded=loads.loaded,
        rejected=loads.rejected,
        superseded=loads.superseded,
        problems=(*layer.problems, *problems),
    )


def _export(run: Run, exported: Sequence[Mapping[str, Any]] | None) -> list[Layer]:
    """The export, if the DAG has one."""
    if EXPORT not in run.states and exported is None:
        return []
    failed = run.failed(EXPORT)
    if not exported:
        problems = tuple(f"task {task} failed: see its log" for task in failed)
        return [Layer(EXPORT, status=FAILED if failed else NOT_RUN, problems=problems)]
    return [
        Layer(
            EXPORT,
            status=SUCCESS,
            began_at=min(datetime.fromisoformat(one["began"]) for one in exported),
            ended_at=max(datetime.fromisoformat(one["ended"]) for one in exported),
            table_count=len(exported),
            row_count=sum(one["rows"] for one in exported),
        )
    ]


# -- the warehouse ---------------------------------------------------------------------------------


def summarize(
    run: Run,
    project: Project,
    nodes: Sequence[NodeResult],
    exported: Sequence[Mapping[str, Any]] | None,
    *,
    made: tuple[changes.Scope, Mapping[str, str]] | None = None,
    settings: ConnectionSettings | None = None,
) -> list[Layer]:
    """Count, put together and record a run; run again, it replaces what it recorded.

    Args:
        run: the run.
        project: the domain's part of the dbt project.
        nodes: what became of each node of its build; empty if there was none.
        exported: what the export task said; None if it said nothing.
        made: what was built, and what of; None if nothing was, or not all of it went well.
        settings: read from the environment if not given.

    Raises:
        WarehouseUnreachableError: the warehouse takes no connection.
        snowflake.connector.errors.Error: it fails.
    """
    settings = settings or get_settings()
    tag = {"dag": run.dag_id}
    with connect(settings, query_tag=tag) as connection, connection.cursor() as cursor:
        rows = _row_counts(cursor, [*project.sources, *project.relations.values()])
        names = {one.rpartition(".")[2].lower() for one in project.sources}
        loads = _loads(cursor, run, names | run.loaded_sources)
        found = layers(run, project, nodes, loads, exported, rows)
        found = [whole(run, found, nodes, datetime.now(UTC)), *found]
        build = changes.built(cursor, settings, *made) if made else None
    with (
        connect(settings, database="RAW", as_loader=True, query_tag=tag) as connection,
        connection.cursor() as cursor,
    ):
        _record(cursor, run, found, settings.target)
        if made and build:
            changes.record(cursor, settings, made[0], run.dag_id, build)
    return found


def _row_counts(cursor: SnowflakeCursor, relations: Sequence[str]) -> dict[str, int]:
    """The rows of the relations that can be counted, by their names in upper case."""

    def count(some: Iterable[str]) -> dict[str, int]:
        counts = [f"select '{one.upper()}', count(*) from {one}" for one in some]
        if not counts:
            return {}
        cursor.execute(" union all ".join(counts))
        return {str(name): int(rows) for name, rows in cursor.fetchall()}

    with suppress(ProgrammingError):
        return count(relations)
    # Something is missing.
    there = existing(cursor, relations)
    with suppress(ProgrammingError):
        return count(sorted(there))
    # A view over a table that is gone: it alone has no number.
    found: dict[str, int] = {}
    for relation in sorted(there):
        with suppress(ProgrammingError):
            found |= count([relation])
    return found


def _loads(cursor: SnowflakeCursor, run: Run, sources: Collection[str]) -> Loads:
    """What the run loaded of these sources; nothing where nothing is ever loaded."""
    if not sources:
        return Loads()
    values = {
        "domain": run.domain,
        "began_at": _naive(run.began_at),
        "sources": sorted(sources),
    }
    ended = (
        "domain = %(domain)s and source in (%(sources)s)"
        " and finished_at >= %(began_at)s::timestamp_ntz"
    )
    try:
        cursor.execute(
            "select status, reason, started_at, finished_at, delivered, loaded, rejected,"
            f" superseded from {ledgers.LOADS.table}"
            f" where {ended} and status in ('committed', 'refused') order by finished_at",
            values,
        )
    except ProgrammingError as error:
        if error.errno == DOES_NOT_EXIST:
            return Loads()
        raise
    found = cursor.fetchall()
    refused = tuple(str(reason) for status, reason, *_ in found if status == "refused")
    committed = [row[2:] for row in found if row[0] == "committed"]
    if not committed:
        return Loads(refused=refused)
    began, last, *columns = zip(*committed, strict=True)
    delivered, loaded, rejected, superseded = (
        sum(int(one or 0) for one in column) for column in columns
    )
    return Loads(
        began_at=_aware(min(began)),
        ended_at=_aware(max(last)),
        files=len(committed),
        delivered=delivered,
        loaded=loaded,
        rejected=rejected,
        superseded=superseded,
        refused=refused,
    )


def _record(cursor: SnowflakeCursor, run: Run, found: Sequence[Layer], target: str) -> None:
    """The run's rows, in place of those that an earlier try recorded."""
    summary = ledgers.RUN_SUMMARY
    recorded = _naive(datetime.now(UTC))
    lines = [
        asdict(layer)
        | {
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "domain": run.domain,
            "target": target,
            "position": position,
            "began_at": _naive(layer.began_at),
            "ended_at": _naive(layer.ended_at),
            "seconds": layer.seconds,
            "problems": "\n".join(layer.problems)[:_MOST_CHARACTERS] or None,
            "recorded_at": recorded,
        }
        for position, layer in enumerate(found)
    ]
    key = ("dag_id", "run_id", "layer")
    values = {
        f"{name}_{place}": line[name]
        for place, line in enumerate(lines)
        for name in summary.columns
    }
    source = " union all ".join(
        "select " + ", ".join(f"%({name}_{place})s as {name}" for name in summary.columns)
        for place in range(len(lines))
    )
    others = [name for name in summary.columns if name not in key]
    # One statement, so that a run is recorded whole, and a second try replaces the first.
    merge = f"""
        merge into {summary.table} as t using ({source}) as s
        on {" and ".join(f"t.{name} = s.{name}" for name in key)}
        when matched then update set {", ".join(f"{name} = s.{name}" for name in others)}
        when not matched then insert ({", ".join(summary.columns)})
        values ({", ".join(f"s.{name}" for name in summary.columns)})
    """
    try:
        cursor.execute(merge, values)
    except ProgrammingError as error:
        if error.errno != DOES_NOT_EXIST:
            raise
        ledgers.prepare(cursor)
        cursor.execute(merge, values)


def _naive(moment: datetime | None) -> str | None:
    """As UTC without a zone, which is what the columns are."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f") if moment else None


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


# -- for people ------------------------------------------------------------------------------------

_COLORS = {SUCCESS: "green", WARNING: "yellow", FAILED: "red", UNCHANGED: "dim", NOT_RUN: "dim"}


def text(run: Run, found: Sequence[Layer]) -> str:
    """The run as a table, with its problems below; times are UTC."""
    table = Table(title=f"{run.dag_id}  {run.run_id}", title_justify="left")
    headings = ("Layer", "Status", "Began", "Ended", "Seconds", "Tables", "Rows")
    for heading in (*headings, "Delivered", "Rejected", "Tests"):
        right = heading not in ("Layer", "Status")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for layer in found:
        table.add_row(
            layer.layer,
            f"[{_COLORS[layer.status]}]{layer.status}[/]",
            f"{layer.began_at:%H:%M:%S}" if layer.began_at else "-",
            f"{layer.ended_at:%H:%M:%S}" if layer.ended_at else "-",
            f"{layer.seconds:.1f}" if layer.seconds is not None else "-",
            str(layer.table_count),
            _number(layer.row_count),
            _number(layer.delivered),
            _number(layer.rejected),
            _tests(layer),
        )
    console = Console(file=io.StringIO(), width=140, highlight=False)
    console.print(table)
    for layer in found:
        for problem in layer.problems:
            console.print(f"{layer.layer}: {problem}", markup=False, soft_wrap=True)
    assert isinstance(console.file, io.StringIO)  # noqa: S101 - made two lines above
    return console.file.getvalue().rstrip()


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _tests(layer: Layer) -> str:
    counts = {
        "passed": layer.tests_passed,
        "warned": layer.tests_warned,
        "failed": layer.tests_failed,
        "skipped": layer.tests_skipped,
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "-"
