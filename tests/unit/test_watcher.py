"""When a task that waits for a dbt node wakes up, and what it makes of what it hears."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from include.orchestration import watcher
from include.orchestration.watcher import DbtNodeTrigger, node_status


def trigger(status: str | None, monkeypatch: pytest.MonkeyPatch) -> DbtNodeTrigger:
    """A trigger whose node has the status already."""
    made = DbtNodeTrigger(
        has_tests=False,
        model_unique_id="model.firn.a",
        producer_task_id="producer",
        dag_id="dag",
        run_id="run",
        map_index=-1,
        poke_interval=2,
    )

    async def known(*_: Any, **__: Any) -> Any:
        return status, None

    async def nothing(*_: Any, **__: Any) -> None:
        return None

    monkeypatch.setattr(made, "_parse_dbt_node_status_and_compiled_sql", known)
    monkeypatch.setattr(made, "_get_producer_task_status", nothing)
    monkeypatch.setattr(made, "_log_startup_events", nothing)
    return made


def test_a_trigger_lets_the_scheduler_settle_before_it_fires(monkeypatch):
    happened: list[object] = []

    async def sleep(seconds: float) -> None:
        happened.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def fire() -> None:
        async for event in trigger("success", monkeypatch).run():
            happened.append(event.payload["status"])

    asyncio.run(fire())
    assert happened == [watcher.SETTLING_SECONDS, "success"]


@pytest.mark.parametrize(
    ("built", "tested", "has_tests", "status"),
    [
        (None, None, True, None),
        ("success", None, True, None),
        ("success", "pass", True, "pass"),
        ("success", "fail", True, "fail"),
        ("error", None, True, "error"),
        ("success", None, False, "success"),
    ],
)
def test_a_node_is_done_when_its_tests_are(built, tested, has_tests, status):
    assert node_status(built, tested, has_tests=has_tests) == status
