"""What the page says: the state of each pipeline, put together from all that is known of it.

Pure functions of what was read; nothing here asks the warehouse or the disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from include.monitoring.charts import Bar, Line, bars, line
from include.monitoring.history import AddedColumns, Compared, History, PastRun, Refused, Rejects
from include.monitoring.pipelines import Pipeline
from include.monitoring.run_summary import FAILED as RUN_FAILED
from include.monitoring.run_summary import NOT_RUN, SUCCESS, WARNING, WHOLE, Layer
from include.project.builds import NodeResult, SourceAge

_NODES = ("test ", "unit_test ", "model ", "seed ", "snapshot ")
_KINDS = {"unit_test": "unit test"}


class State(IntEnum):
    """How a pipeline is, the worst first."""

    FAILED = 0
    LATE = 1
    WARNING = 2
    NEVER = 3
    WELL = 4

    @property
    def word(self) -> str:
        """As the page says it."""
        return {0: "Failed", 1: "Late", 2: "Warning", 3: "Never ran", 4: "Well"}[self.value]

    @property
    def sign(self) -> str:
        """A sign that can be told apart without colours."""
        return {0: "✕", 1: "◔", 2: "!", 3: "○", 4: "✓"}[self.value]

    @property
    def style(self) -> str:
        """The name of its style."""
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """One thing that somebody should look at, in a sentence.

    Attributes:
        nodes: the tests and models that it is about, with what dbt says.
        details: what else belongs to it, such as a failed task.
    """

    state: State
    text: str
    nodes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def all_details(self) -> tuple[str, ...]:
        """Both."""
        return self.nodes + self.details


@dataclass(frozen=True)
class LastRun:
    """The latest run that anything is known of.

    Attributes:
        began_at: in UTC.
        ended_at: in UTC.
        status: success, warning or failed.
        run_id: Airflow's; empty if only dbt's results are known.
    """

    began_at: datetime
    ended_at: datetime
    status: str
    seconds: float
    run_id: str = ""

    @property
    def state(self) -> State:
        """How it ended."""
        return {RUN_FAILED: State.FAILED, WARNING: State.WARNING}.get(self.status, State.WELL)


@dataclass(frozen=True)
class Source:
    """How old a source table is now.

    Attributes:
        age: since its newest rows; None if dbt could not look.
        limit: the age that it should not exceed; None if there is none.
    """

    name: str
    state: State
    newest: datetime | None
    age: timedelta | None
    limit: timedelta | None
    message: str = ""


@dataclass(frozen=True)
class Tests:
    """The tests of the last build.

    Attributes:
        told: those that failed or warned, the failed ones first.
        at: when they ran, in UTC; None if it is not known.
    """

    passed: int = 0
    warned: int = 0
    failed: int = 0
    skipped: int = 0
    told: tuple[NodeResult, ...] = ()
    at: datetime | None = None

    @property
    def count(self) -> int:
        """All of them."""
        return self.passed + self.warned + self.failed + self.skipped


@dataclass(frozen=True)
class LayerView:
    """A layer of the last run, and its rows in the runs before.

    Attributes:
        change: rows more than in the run before; None if that is not known.
        chart: its rows over time; None for a single run.
    """

    layer: Layer
    change: int | None
    chart: Line | None


@dataclass(frozen=True)
class PipelineView:
    """A pipeline as the page shows it.

    Attributes:
        findings: the worst first.
        merged: rows that the last build wrote into each incremental model, if any; of those that
            were there before.
        built_anew: the incremental models that were not, or were built from all of their source.
        failed_models: models, seeds and snapshots that failed in the last build.
    """

    pipeline: Pipeline
    state: State
    findings: tuple[Finding, ...] = ()
    last: LastRun | None = None
    sources: tuple[Source, ...] = ()
    tests: Tests = field(default_factory=Tests)
    layers: tuple[LayerView, ...] = ()
    runs: tuple[Bar, ...] = ()
    merged: Mapping[str, int] = field(default_factory=dict)
    built_anew: tuple[str, ...] = ()
    failed_models: tuple[NodeResult, ...] = ()

    @property
    def freshness(self) -> str:
        """How many sources are fresh, old or late; empty if none was checked."""
        words = {
            State.WELL: "fresh",
            State.WARNING: "old",
            State.LATE: "late",
            State.FAILED: "not known",
        }
        counts = Counter(source.state for source in self.sources)
        return ", ".join(
            f"{counts[state]} {word}" for state, word in words.items() if counts[state]
        )

    @property
    def told(self) -> tuple[NodeResult, ...]:
        """The models that failed, then the tests that failed or warned."""
        return (*self.failed_models, *self.tests.told)

    @property
    def delivered(self) -> int | None:
        """Rows that the last run was given; None if it takes none or that is not known."""
        return self._source("delivered")

    @property
    def rejected(self) -> int | None:
        """Rows of them that were rejected."""
        return self._source("rejected")

    @property
    def rows(self) -> LayerView | None:
        """The last layer with counted rows: what readers see of it."""
        counted = [one for one in self.layers if one.layer.layer != "export"]
        return next((one for one in reversed(counted) if one.layer.row_count is not None), None)

    def _source(self, name: str) -> int | None:
        for one in self.layers:
            if one.layer.layer == "source":
                value: int | None = getattr(one.layer, name)
                return value
        return None


@dataclass(frozen=True)
class DomainView:
    """A domain with its pipelines and what was delivered to it."""

    name: str
    pipelines: tuple[PipelineView, ...]
    rejects: tuple[Rejects, ...] = ()
    refused: tuple[Refused, ...] = ()
    added_columns: tuple[AddedColumns, ...] = ()
    compared: tuple[Compared, ...] = ()

    @property
    def state(self) -> State:
        """The worst of its pipelines; a file that waits to be corrected is a warning."""
        states = [one.state for one in self.pipelines]
        return min([*states, State.WARNING] if self.refused else states)


@dataclass(frozen=True)
class Overview:
    """All of the index.

    Attributes:
        now: when it was made, in UTC.
        domains: the worst first.
        attention: pipelines that are not well and domains with refused files, the worst first.
    """

    now: datetime
    domains: tuple[DomainView, ...]

    @property
    def pipelines(self) -> list[PipelineView]:
        """All of them, the worst first."""
        found = [one for domain in self.domains for one in domain.pipelines]
        return sorted(found, key=lambda one: (one.state, one.pipeline.dag_id))

    @property
    def attention(self) -> list[PipelineView]:
        """Pipelines with findings, the worst first."""
        return [one for one in self.pipelines if one.findings]

    @property
    def refused(self) -> list[tuple[DomainView, Refused]]:
        """Files that wait to be corrected."""
        return [(domain, one) for domain in self.domains for one in domain.refused]

    @property
    def has_runs(self) -> bool:
        """Whether any pipeline has run."""
        return any(one.last for one in self.pipelines)

    @property
    def headline(self) -> str:
        """The state of everything, in a sentence."""
        if not self.has_runs:
            return "No pipeline has run yet."
        total = len(self.pipelines)
        words = [
            f"{count} {word}"
            for state, word in (
                (State.FAILED, "failed"),
                (State.LATE, "late"),
                (State.WARNING, "with warnings"),
                (State.NEVER, "never ran"),
            )
            if (count := sum(one.state == state for one in self.pipelines))
        ]
        well = sum(one.state == State.WELL for one in self.pipelines)
        if not words:
            return "The pipeline is well." if total == 1 else f"All {total} pipelines are well."
        are = "is" if well == 1 else "are"
        return f"{well} of {total} pipelines {are} well; {', '.join(words)}."


@dataclass(frozen=True)
class Artifacts:
    """What dbt left of a DAG's last build.

    Attributes:
        nodes: what became of each node; empty if there was no build.
        built_at: when the build ended, in UTC; None if there was none.
        sources: the ages that the last check found.
    """

    nodes: Sequence[NodeResult] = ()
    built_at: datetime | None = None
    sources: Sequence[SourceAge] = ()


def overview(
    pipelines: Sequence[Pipeline],
    history: History,
    artifacts: Mapping[str, Artifacts],
    incremental: Mapping[str, str],
    now: datetime,
) -> Overview:
    """The index.

    Args:
        pipelines: all there are.
        history: what the warehouse tells.
        artifacts: what dbt left, by DAG.
        incremental: the tables of the models that are merged into, by unique id.
        now: the time that ages are counted to.
    """
    domains = []
    for name in sorted({one.domain for one in pipelines}):
        views = [
            pipeline_view(
                one,
                history.runs.get(one.dag_id, []),
                artifacts.get(one.dag_id, Artifacts()),
                incremental,
                history.created,
                now,
            )
            for one in pipelines
            if one.domain == name
        ]
        domains.append(
            DomainView(
                name,
                tuple(views),
                tuple(history.rejects.get(name, ())),
                tuple(history.refused.get(name, ())),
                tuple(history.added_columns.get(name, ())),
                tuple(history.compared.get(name, ())),
            )
        )
    return Overview(now, tuple(sorted(domains, key=lambda one: (one.state, one.name))))


def pipeline_view(
    pipeline: Pipeline,
    runs: Sequence[PastRun],
    artifacts: Artifacts,
    incremental: Mapping[str, str],
    created: Mapping[str, datetime],
    now: datetime,
) -> PipelineView:
    """One pipeline.

    Args:
        pipeline: the DAG.
        runs: its last runs, oldest first; empty if the warehouse tells of none.
        artifacts: what dbt left of it.
        incremental: the tables of the models that are merged into, by unique id.
        created: when these tables were created.
        now: the time that ages are counted to.
    """
    recorded = runs[-1] if runs else None
    last = _last_run(recorded, artifacts)
    # A build later than the last recorded run has not been summarized, or not yet.
    ahead = bool(artifacts.built_at and (not recorded or artifacts.built_at > recorded.recorded_at))
    current = bool(artifacts.built_at and last and artifacts.built_at >= last.began_at)
    tests = _tests(artifacts, None if ahead else recorded, current=current)
    sources = tuple(_source(one, now) for one in artifacts.sources)
    failed_models = tuple(
        node
        for node in artifacts.nodes
        if current and node.failed and node.kind not in ("test", "unit_test")
    )
    findings = [
        *_of_run(last, tests, failed_models, None if ahead else recorded),
        *_of_lateness(pipeline, last, now),
        *_of_sources(sources),
        *_of_rejects(recorded if not ahead else None),
    ]
    findings.sort(key=lambda finding: finding.state)
    merged, built_anew = _merges(artifacts, incremental, created) if current else ({}, ())
    state = findings[0].state if findings else State.WELL if last else State.NEVER
    return PipelineView(
        pipeline=pipeline,
        state=state,
        findings=tuple(findings),
        last=last,
        sources=sources,
        tests=tests,
        layers=_layers(runs),
        runs=_runs(runs),
        merged=merged,
        built_anew=built_anew,
        failed_models=failed_models,
    )


def _last_run(recorded: PastRun | None, artifacts: Artifacts) -> LastRun | None:
    built = artifacts.built_at
    if recorded and not (built and built > recorded.recorded_at):
        return LastRun(
            recorded.began_at, recorded.ended_at, recorded.status, recorded.seconds, recorded.run_id
        )
    if not built:
        return None
    status = SUCCESS
    if any(node.status == "warn" for node in artifacts.nodes):
        status = WARNING
    if any(node.failed for node in artifacts.nodes):
        status = RUN_FAILED
    began = min((node.began for node in artifacts.nodes if node.began), default=built)
    return LastRun(began, built, status, (built - began).total_seconds())


def _tests(artifacts: Artifacts, recorded: PastRun | None, *, current: bool) -> Tests:
    """Of the last build, with names; without its results only the numbers of the summary."""
    tests = [node for node in artifacts.nodes if node.kind in ("test", "unit_test")]
    if tests and (current or not recorded):
        told = [node for node in tests if node.failed or node.status == "warn"]
        return Tests(
            passed=sum(node.status == "pass" for node in tests),
            warned=sum(node.status == "warn" for node in tests),
            failed=sum(node.failed for node in tests),
            skipped=sum(node.status == "skipped" for node in tests),
            told=tuple(sorted(told, key=lambda node: (not node.failed, node.name))),
            at=artifacts.built_at,
        )
    if not recorded:
        return Tests()
    layers = recorded.layers.values()
    return Tests(
        sum(layer.tests_passed for layer in layers),
        sum(layer.tests_warned for layer in layers),
        sum(layer.tests_failed for layer in layers),
        sum(layer.tests_skipped for layer in layers),
        at=recorded.ended_at,
    )


def _source(found: SourceAge, now: datetime) -> Source:
    """Its age now, not when it was checked: it may have become late since."""
    if found.newest is None:
        return Source(found.name, State.FAILED, None, None, None, found.message)
    age = now - found.newest
    state, limit = State.WELL, found.warn_after or found.error_after
    if found.warn_after is not None and age > found.warn_after:
        state = State.WARNING
    if found.error_after is not None and age > found.error_after:
        state, limit = State.LATE, found.error_after
    return Source(found.name, state, found.newest, age, limit)


def _of_run(
    last: LastRun | None,
    tests: Tests,
    failed_models: Sequence[NodeResult],
    recorded: PastRun | None,
) -> list[Finding]:
    if last is None:
        return []
    # The nodes of dbt's results are told in full; of the summary then only what is more.
    names = bool(tests.told or failed_models)
    problems = tuple(
        f"{name}: {problem}" if name != WHOLE else problem
        for name, layer in (recorded.layers.items() if recorded else ())
        for problem in layer.problems
        if not (names and problem.startswith(_NODES))
    )
    failed = [node_text(node) for node in (*failed_models, *tests.told) if node.failed]
    warned = [node_text(node) for node in tests.told if node.status == "warn"]
    found = []
    if last.status == RUN_FAILED:
        found.append(
            Finding(
                State.FAILED,
                f"The last run failed, at {moment(last.ended_at)}.",
                tuple(failed),
                problems,
            )
        )
        problems = ()
    elif problems and last.status == WARNING and not warned:
        found.append(Finding(State.WARNING, "The last run ended with warnings.", (), problems))
    if warned:
        found.append(
            Finding(
                State.WARNING,
                f"{plural(len(warned), 'test')} warned in the last build.",
                tuple(warned),
            )
        )
    return found


def _of_lateness(pipeline: Pipeline, last: LastRun | None, now: datetime) -> list[Finding]:
    within = pipeline.due_within
    if last is None or within is None or pipeline.every is None or now - last.began_at <= within:
        return []
    allowed = duration(pipeline.late_after) if pipeline.late_after else "nothing"
    return [
        Finding(
            State.LATE,
            f"The last run began {duration(now - last.began_at)} ago, at {moment(last.began_at)}; "
            f"one is due every {duration(pipeline.every)} and may take {allowed}.",
        )
    ]


def _of_sources(sources: Sequence[Source]) -> list[Finding]:
    found = []
    for source in sources:
        if source.age is None or source.newest is None:
            text = f"How old {source.name} is could not be found out."
            found.append(
                Finding(State.FAILED, text, (), (source.message,) if source.message else ())
            )
        elif source.state != State.WELL and source.limit is not None:
            text = (
                f"The newest rows of {source.name} are {duration(source.age)} old, "
                f"of {moment(source.newest)}; the limit is {duration(source.limit)}."
            )
            found.append(Finding(source.state, text))
    return found


def _of_rejects(recorded: PastRun | None) -> list[Finding]:
    source = recorded.layers.get("source") if recorded else None
    if not source or not source.rejected:
        return []
    return [
        Finding(
            State.WARNING,
            f"{source.rejected:,} of {source.delivered or 0:,} rows that were delivered to the "
            "last run were rejected.",
        )
    ]


def _merges(
    artifacts: Artifacts, incremental: Mapping[str, str], created: Mapping[str, datetime]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Rows that were merged by model, and the models that were built anew.

    What dbt says of a table that it created is no number of rows.
    """
    merged, anew = {}, []
    for node in artifacts.nodes:
        table = incremental.get(node.unique_id, "")
        if node.status != "success" or not node.began or table not in created:
            continue
        if created[table] < node.began:
            merged[node.name] = node.rows or 0
        else:
            anew.append(node.name)
    return merged, tuple(anew)


def _layers(runs: Sequence[PastRun]) -> tuple[LayerView, ...]:
    if not runs:
        return ()
    found = []
    for name, layer in runs[-1].layers.items():
        if name == WHOLE:
            continue
        past = [
            (run, run.layers[name].row_count)
            for run in runs
            if name in run.layers and run.layers[name].row_count is not None
        ]
        counts = [count for _, count in past if count is not None]
        change = (
            counts[-1] - counts[-2] if len(counts) > 1 and layer.row_count is not None else None
        )
        chart = None
        if counts:
            chart = line(
                counts,
                f"Rows in {name} over {plural(len(counts), 'run')}: from {counts[0]:,} on "
                f"{moment(past[0][0].ended_at)} to {counts[-1]:,} on "
                f"{moment(past[-1][0].ended_at)}, at least {min(counts):,}, at most "
                f"{max(counts):,}.",
            )
        found.append(LayerView(layer, change, chart))
    return tuple(found)


def _runs(runs: Sequence[PastRun]) -> tuple[Bar, ...]:
    words = {RUN_FAILED: "failed", WARNING: "warning", SUCCESS: "well", NOT_RUN: "never"}
    labels = [
        f"{moment(run.began_at)}: {_ENDED[run.status]}, {duration(run.seconds)}" for run in runs
    ]
    return tuple(bars([run.seconds for run in runs], labels, [words[run.status] for run in runs]))


_ENDED = {RUN_FAILED: "failed", WARNING: "ended with warnings", SUCCESS: "ended well"}


# -- in words --------------------------------------------------------------------------------------


def node_text(node: NodeResult) -> str:
    """A node of a build and what dbt said about it."""
    message = " ".join(node.message.split())
    return f"{_KINDS.get(node.kind, node.kind)} {node.name}: {message or node.status}"


def moment(at: datetime) -> str:
    """A time in UTC, to the minute."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def duration(length: timedelta | float) -> str:
    """A length of time in its two largest units; a number is of seconds."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else float(length)
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    whole = round(seconds)
    for size, unit, smaller, name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            large, rest = divmod(whole, size)
            # Beyond a month nobody asks for hours.
            few = rest // smaller if large < 30 else 0
            return f"{large:,} {unit} {few} {name}" if few else f"{large:,} {unit}"
    return f"{whole} s"


def plural(count: int, word: str) -> str:
    """A number of things."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
