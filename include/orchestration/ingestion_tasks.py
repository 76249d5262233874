"""Ingestion as Airflow tasks: waiting for deliveries, loading them, telling what was refused.

Whatever is declared for a domain becomes tasks; a DAG file names no file, column or table. What
talks to the warehouse is imported by the tasks: Airflow reads DAG files every half minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, TaskGroup, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.task.trigger_rule import TriggerRule
from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.airflow.environment import is_headless
from include.core.logs import event
from include.ingestion.sources import DatabaseFormat, Source, load_domain
from include.orchestration.alerts import rows_rejected, source_differs
from include.project.run_mode import RunMode, RunModeError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.ingestion.database import Span
    from include.ingestion.results import FileResult

POLL_SECONDS = 30.0

SETTLING_SECONDS = 10.0
"""How long a trigger waits before it may fire.

A task that comes back from its trigger before the scheduler has taken note of its having left is
failed by the scheduler ("reported that the task instance finished with state success, but the task
instance's state attribute is queued"). On a busy machine that takes seconds.
"""

GROUP = "ingest"
LOADS = "loads"
"""The key under which tasks say which loads they made, for `rejected_rows`."""

Counts = dict[str, Any]
"""What a load task says of its source: rows by fate, and a sentence for each refused file."""


class DeliveryTrigger(BaseTrigger):
    """Waits for the first file of a source, without a worker.

    Fires with True when a file has landed, with False at the deadline.

    Args:
        domain: the domain of the source.
        source: its name.
        deadline: when to give up, as a Unix time.
        landing: the landing folder.
        taken: since when a file that somebody else has taken counts, as a Unix time; None if never.
    """

    def __init__(
        self, domain: str, source: str, deadline: float, landing: str, taken: float | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.domain, self.source, self.deadline = domain, source, deadline
        self.landing, self.taken = landing, taken

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger as Airflow stores it."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {
            "domain": self.domain,
            "source": self.source,
            "deadline": self.deadline,
            "landing": self.landing,
            "taken": self.taken,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once."""
        await asyncio.sleep(SETTLING_SECONDS)
        source = load_domain(self.domain).source(self.source)
        landing = Path(self.landing)
        while not (landed := await asyncio.to_thread(_is_there, source, landing, self.taken)):
            if (left := self.deadline - time.time()) <= 0:
                break
            await asyncio.sleep(min(POLL_SECONDS, left))
        yield TriggerEvent(landed)  # type: ignore[no-untyped-call]


class DeliverySensor(BaseOperator):
    """Green when a source has a file waiting; skipped when it may miss or is excluded.

    Waits as long as the source declares, counted from its first look; a run without a triggerer
    looks once. Of a daily source it is also green if a file was taken on the day of the run.

    Args:
        source: what is waited for.
    """

    def __init__(self, *, source: Source, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.domain, self.source_name = source.domain, source.name

    def execute(self, context: Context) -> None:
        """Look, and wait in the triggerer for what is not there yet."""
        from include.ingestion.landing import landing_folder

        source = load_domain(self.domain).source(self.source_name)
        if self.source_name in (context["params"].get("exclude_sources") or ()):
            raise AirflowSkipException(f"{source.title} is excluded from this run.")
        landing = landing_folder()
        taken = _beginning(context["dag_run"].run_after).timestamp() if source.daily else None
        if _is_there(source, landing, taken):
            return
        if is_headless() or not source.wait_minutes:
            self._missing(source, landing)
        self.defer(
            trigger=DeliveryTrigger(
                self.domain,
                self.source_name,
                time.time() + source.wait_minutes * 60,
                str(landing),
                taken,
            ),
            method_name=self.looked.__name__,
        )

    def looked(self, context: Context, event: bool) -> None:  # noqa: ARG002
        """Go on where the trigger ended."""
        from include.ingestion.landing import landing_folder

        if not event:
            self._missing(load_domain(self.domain).source(self.source_name), landing_folder())

    def _missing(self, source: Source, landing: Path) -> None:
        where = " or ".join(str(landing / pattern) for pattern in source.patterns)
        if source.stage is not None:
            where += f" or in @{source.stage}/"
        if source.if_missing == "skip":
            raise AirflowSkipException(f"{source.title}: nothing at {where}; it may miss.")
        raise AirflowFailException(
            f"{source.title}: nothing has been delivered: put a file at {where} and clear this "
            "task, or run again with the source in exclude_sources."
        )


def _is_there(source: Source, landing: Path, taken: float | None) -> bool:
    from include.ingestion.landing import discover, taken_since

    if discover(source, landing):
        return True
    if source.stage is not None:
        from include.ingestion.pickup import is_in_stage

        if is_in_stage(source):
            return True
    return taken is not None and taken_since(source, landing, datetime.fromtimestamp(taken, UTC))


def _beginning(run_after: datetime) -> datetime:
    """Midnight before a run, in UTC; an hour before it, if it runs soon after midnight."""
    run_after = run_after.astimezone(UTC)
    midnight = run_after.replace(hour=0, minute=0, second=0, microsecond=0)
    return min(midnight, run_after - timedelta(hours=1))


def ingest(domain: str, sources: Sequence[str] | None = None) -> TaskGroup:
    """Load what has landed for a domain: per declared source wait, then load.

    A source in a database is not waited for: its task extracts what has changed and loads that. A
    run that rebuilds extracts everything, or the range. When a comparison is due, the task also
    compares source and raw, and loads what differs.

    A refused file does not hold back the rest: the task ``refused`` fails with its reason, and so
    the run ends as failed, after everything else has gone on.

    Args:
        domain: a file of declarations.
        sources: some of its sources; all if not given.
    """
    chosen = _chosen(domain, sources)
    with TaskGroup(GROUP) as group:
        # All of them: a model may also read sources that another DAG loads.
        prepared = _prepare.override(task_id="prepare")(
            domain, [one.name for one in load_domain(domain).sources]
        )
        loaded = []
        for source in chosen:
            with TaskGroup(source.name):
                load = _load.override(task_id="load", doc_md=source.description or None)(
                    domain, source.name
                )
                if isinstance(source.format, DatabaseFormat):
                    prepared >> load
                else:
                    prepared >> _wait(source) >> load
            loaded.append(load)
    # Beside the group, so that what follows the group does not wait for it.
    _refused.override(task_id="refused")(domain, [one.name for one in chosen], loaded)
    return group


def ingest_in_chunks(domain: str, source: str) -> TaskGroup:
    """Load a merging source with one mapped task per chunk of its files, in parallel.

    ``extract`` checks each file whole and cuts it, ``load`` merges one chunk, ``finish`` enters
    the loads and archives the files. As in `ingest`, ``refused`` tells of refused files.
    """
    (declared,) = _chosen(domain, [source])
    with TaskGroup(GROUP) as group:
        prepared = _prepare.override(task_id="prepare")(domain, [source])
        waited = _wait(declared)
        extracted: Any = _extract.override(task_id="extract")(domain, source)
        merged = (
            _load_chunk.override(task_id="load")
            .partial(domain=domain, source=source, splits=extracted["splits"])
            .expand(chunk=extracted)
        )
        finished = _finish.override(task_id="finish")(
            domain, source, extracted["splits"], extracted["settled"]
        )
        prepared >> waited >> extracted
        merged >> finished
    _refused.override(task_id="refused")(domain, [source], [finished])
    return group


def _chosen(domain: str, names: Sequence[str] | None) -> list[Source]:
    declared = load_domain(domain)
    return [declared.source(name) for name in names] if names else list(declared.sources)


def _wait(source: Source) -> DeliverySensor:
    return DeliverySensor(
        task_id="wait",
        source=source,
        execution_timeout=timedelta(minutes=source.wait_minutes + 30),
        doc_md=f"Waits up to {source.wait_minutes:g} minutes for `{'`, `'.join(source.patterns)}`.",
    )


@task
def _prepare(domain: str, sources: list[str]) -> None:
    """Make the raw tables that are not there, so that models find them before a first delivery."""
    from include.ingestion.loader import prepare_sources

    prepare_sources(_chosen(domain, sources))


@task
def _load(domain: str, source: str) -> Counts:
    """Load every file that has landed, or what a database has."""
    from include.ingestion.errors import MissingDeliveryError
    from include.ingestion.loader import load_source

    (declared,) = _chosen(domain, [source])
    in_database = isinstance(declared.format, DatabaseFormat)
    span = _span() if in_database else None
    try:
        result = load_source(declared, span=span)
    except MissingDeliveryError as error:
        # Somebody else has loaded it since it was seen.
        raise AirflowSkipException(str(error)) from None
    counts = _loaded(source, result.files)
    if result.comparison and result.comparison.is_news:
        counts["differs"] = result.comparison.lines
    return counts


def _span() -> Span | None:
    """What a run extracts again: everything, a range, or only what has changed.

    Raises:
        AirflowFailException: its parameters contradict each other.
    """
    from include.ingestion.database import Span

    try:
        mode = RunMode.from_params(get_current_context()["params"])
    except RunModeError as error:
        raise AirflowFailException(str(error)) from None
    if mode.name == "incremental":
        return None
    start, end = (datetime.fromisoformat(one) if one else None for one in (mode.start, mode.end))
    return Span(start, end)


@task
def _extract(domain: str, source: str) -> list[dict[str, int]]:
    """Check files and cut them; the chunks, and under keys of their own what they are parts of."""
    from include.ingestion.chunks import Split, split_file
    from include.ingestion.landing import discover, landing_folder
    from include.ingestion.loader import refuse_names
    from include.ingestion.pickup import take_from_stage
    from include.warehouse.connection import get_settings

    settings = get_settings()
    (declared,) = _chosen(domain, [source])
    landing = landing_folder(settings)
    taken = take_from_stage(declared, landing, settings=settings)
    splits: list[dict[str, Any]] = []
    settled = refuse_names(declared, taken.unusable)
    for delivery in discover(declared, landing):
        split = split_file(declared, delivery, landing / ".chunks", settings=settings)
        if isinstance(split, Split):
            splits.append(split.as_json())
        else:
            settled.append(split)
    instance = get_current_context()["ti"]
    instance.xcom_push("splits", splits)
    instance.xcom_push("settled", _counted(settled))
    return [
        {"split": index, "number": number}
        for index, split in enumerate(splits)
        for number in range(1, split["chunks"] + 1)
    ]


@task
def _load_chunk(domain: str, source: str, splits: list[Any], chunk: Mapping[str, int]) -> int:
    """Merge one chunk; the number of its rows."""
    from include.ingestion.chunks import Split, load_chunk

    (declared,) = _chosen(domain, [source])
    return load_chunk(declared, Split.from_json(splits[chunk["split"]]), chunk["number"])


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def _finish(domain: str, source: str, splits: Any, settled: Any) -> Counts:
    """Enter the loads into the book and archive the files."""
    from include.ingestion.chunks import Split, finish_split

    (declared,) = _chosen(domain, [source])
    files = [finish_split(declared, Split.from_json(split)) for split in splits]
    counts = _together([settled, _loaded(source, files)])
    refused = len(counts["refused"])
    event(
        "load.source",
        level="warning" if refused else "info",
        domain=domain,
        source=source,
        **counts | {"refused": refused},
    )
    return counts


@task(trigger_rule=TriggerRule.ALL_DONE, retries=0)
def _refused(domain: str, sources: list[str], loaded: Any) -> None:
    """Report rejected rows and the differences that a comparison found; fail on refused files.

    After everything else was loaded, so that one message and one failure say it all.
    """
    counts = {source: one for source, one in zip(sources, loaded, strict=True) if one}
    rows_rejected(
        get_current_context(),
        domain,
        {source: (one["rejected"], one["delivered"]) for source, one in counts.items()},
    )
    source_differs(
        get_current_context(),
        domain,
        {source: one["differs"] for source, one in counts.items() if one.get("differs")},
    )
    reasons = [reason for one in counts.values() for reason in one["refused"]]
    if reasons:
        raise AirflowFailException(
            f"{len(reasons)} refused: " + " | ".join(reasons) + " Nothing of them is loaded; "
            "correct them and deliver them again."
        )


def _loaded(source: str, files: Sequence[FileResult]) -> Counts:
    """The accounts of some files together; which loads they are is said to whoever asks."""
    counts = _counted(files)
    loads = [file.load_id for file in files if file.status == "loaded"]
    told = {"source": source, "delivered": counts["delivered"], "loads": loads}
    get_current_context()["ti"].xcom_push(LOADS, told)
    return counts


def _counted(files: Sequence[FileResult]) -> Counts:
    """The accounts of some files together."""
    counts: Counts = _empty()
    for file in files:
        counts["files"] += 1
        if file.accounts:
            for fate in ("delivered", "loaded", "rejected", "superseded"):
                counts[fate] += getattr(file.accounts, fate)
        if file.status == "refused":
            counts["refused"].append(file.reason)
    return counts


def _empty() -> Counts:
    fates = ("files", "delivered", "loaded", "rejected", "superseded")
    return {**dict.fromkeys(fates, 0), "refused": []}


def _together(all_counts: Sequence[Counts]) -> Counts:
    return {
        name: sum((counts[name] for counts in all_counts), start=type(zero)())
        for name, zero in _empty().items()
    }
