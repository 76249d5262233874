"""Waiting for deliveries: what counts as there, and what a wait that is over leads to."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from include.ingestion.landing import archive as archived
from include.ingestion.landing import discover, taken_since
from include.ingestion.sources import Source, load_domain
from include.orchestration import ingestion_tasks
from include.orchestration.ingestion_tasks import DeliverySensor, DeliveryTrigger

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture
def landing(tmp_path: Path, clean_environment: pytest.MonkeyPatch) -> Path:
    clean_environment.setenv("FIRN_LANDING", str(tmp_path))
    clean_environment.setattr(ingestion_tasks, "SETTLING_SECONDS", 0)
    clean_environment.setattr(ingestion_tasks, "POLL_SECONDS", 0.01)
    return tmp_path


def source(name: str) -> Source:
    return load_domain("affiliate").source(name)


def deliver(landing: Path, name: str) -> Path:
    file = landing / "affiliate" / name / "2026-03-04.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a\n")
    return file


def take(landing: Path, name: str) -> None:
    """Deliver a file and archive it, as a load does."""
    deliver(landing, name)
    (delivery,) = discover(source(name), landing)
    assert archived(source(name), delivery, "load")


def wait(name: str, run_after: datetime | None = None, **params: Any) -> None:
    run = SimpleNamespace(run_after=run_after or datetime.now(UTC))
    context: Any = {"params": params, "dag_run": run}
    DeliverySensor(task_id="wait", source=source(name)).execute(context)


def test_a_file_that_waits_is_enough(landing: Path) -> None:
    deliver(landing, "routy")
    wait("routy")


def test_a_file_that_was_taken_counts_from_its_moment_on(landing: Path) -> None:
    now = datetime.now(UTC)
    assert not taken_since(source("voluum"), landing, now - timedelta(days=9))
    take(landing, "voluum")
    assert taken_since(source("voluum"), landing, now - timedelta(seconds=2))
    assert not taken_since(source("voluum"), landing, now + timedelta(seconds=60))
    assert not taken_since(source("routy"), landing, now - timedelta(days=9))


def test_a_daily_source_that_another_run_has_taken_is_not_waited_for(landing: Path) -> None:
    take(landing, "voluum")
    wait("voluum")
    with pytest.raises(TaskDeferred):
        wait("voluum", datetime.now(UTC) + timedelta(days=2))
    with pytest.raises(TaskDeferred):
        wait("routy")


def test_a_source_that_is_not_daily_is_waited_for_whatever_was_taken(landing: Path) -> None:
    take(landing, "deals")
    with pytest.raises(TaskDeferred):
        wait("deals")


def test_an_excluded_source_is_not_looked_for(landing: Path) -> None:
    deliver(landing, "routy")
    with pytest.raises(AirflowSkipException, match=r"affiliate\.routy is excluded"):
        wait("routy", exclude_sources=["routy"])


@pytest.mark.parametrize(
    ("run_after", "beginning"),
    [
        (NOON, NOON.replace(hour=0)),
        (NOON.replace(hour=6, minute=30), NOON.replace(hour=0)),
        (NOON.replace(hour=0, minute=10), NOON.replace(day=3, hour=23, minute=10)),
    ],
)
def test_the_day_begins_at_midnight_or_an_hour_before_the_run(
    run_after: datetime, beginning: datetime
) -> None:
    assert ingestion_tasks._beginning(run_after) == beginning


def fired(trigger: DeliveryTrigger) -> bool:
    async def first() -> bool:
        async for event in trigger.run():
            return bool(event.payload)
        raise AssertionError("it did not fire")

    # As the triggerer gets it: from the database.
    path, arguments = trigger.serialize()
    assert path == "include.orchestration.ingestion_tasks.DeliveryTrigger"
    trigger = DeliveryTrigger(**arguments)
    return asyncio.run(first())


def test_the_wait_ends_with_a_file_with_one_taken_or_at_the_deadline(landing: Path) -> None:
    def trigger(name: str, seconds: float, taken: float | None = None) -> DeliveryTrigger:
        return DeliveryTrigger("affiliate", name, time.time() + seconds, str(landing), taken)

    assert not fired(trigger("voluum", 0.05))
    take(landing, "voluum")
    assert fired(trigger("voluum", 60, time.time() - 2))
    assert not fired(trigger("voluum", 0.05, time.time() + 60))
    deliver(landing, "voluum")
    assert fired(trigger("voluum", 60))


def test_what_did_not_come_is_skipped_or_fails_as_declared(landing: Path) -> None:
    with pytest.raises(TaskDeferred) as waiting:
        wait("manual")
    trigger = waiting.value.trigger
    assert isinstance(trigger, DeliveryTrigger)
    assert trigger.deadline - time.time() == pytest.approx(6 * 3600, abs=60)
    sensor = DeliverySensor(task_id="wait", source=source("manual"))
    with pytest.raises(AirflowSkipException, match="it may miss"):
        sensor.looked({}, event=False)
    with pytest.raises(AirflowFailException, match="nothing has been delivered: put a file at"):
        DeliverySensor(task_id="wait", source=source("routy")).looked({}, event=False)
    sensor.looked({}, event=True)
