"""How a model's task follows its node, and what the build publishes for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent
from cosmos.operators.watcher import DbtProducerWatcherOperator

from include.orchestration.watcher import NODES, DbtBuildOperator, DbtNodeTrigger, node_status


class Airflow:
    """What Airflow tells of a producer, and how often it was asked."""

    def __init__(self) -> None:
        self.producer: str | None = None
        self.nodes: dict[str, str] | None = None
        self.asked = 0

    def states(self, *, dag_id: str, task_ids: list[str], run_ids: list[str]) -> Any:
        assert dag_id == "dag"
        self.asked += 1
        return {run_ids[0]: {task_ids[0]: self.producer}} if self.producer else {}

    def xcom(self, **asked: Any) -> Any:
        place = {"task_id": "producer", "dag_id": "dag", "run_id": "run", "map_index": -1}
        assert asked == {"key": NODES, **place}
        return self.nodes


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    made = Airflow()
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", made.states)
    monkeypatch.setattr(XCom, "get_one", made.xcom)
    return made


def trigger(node: str = "model.firn.a", *, tries: int = 1, interval: float = 60) -> DbtNodeTrigger:
    made = DbtNodeTrigger(model_unique_id=node, producer_task_id="producer", poke_interval=interval)
    task: Any = RuntimeTaskInstance
    made.task_instance = task.model_construct(
        dag_id="dag", run_id="run", task_id="a", try_number=tries
    )
    return made


async def fired(waiting: DbtNodeTrigger) -> TriggerEvent:
    return await anext(waiting.run())


@pytest.mark.parametrize(
    ("producer", "status", "tries", "ends_here"),
    [
        ("running", "success", 1, True),
        ("success", "pass", 1, True),
        ("failed", "success", 1, True),
        # Tried again while the build runs on: what has become of the node since counts.
        ("running", "success", 2, True),
        # Someone wants it once more.
        ("success", "success", 2, False),
        ("running", "error", 1, False),
        ("running", "fail", 1, False),
        ("running", "skipped", 1, False),
        ("success", None, 1, False),
        ("failed", None, 1, False),
        ("upstream_failed", None, 1, False),
    ],
)
def test_a_node_that_is_done_needs_no_worker(producer, status, tries, ends_here, airflow):
    airflow.producer = producer
    airflow.nodes = {"model.firn.a": status} if status else None
    event = asyncio.run(fired(trigger(tries=tries)))
    assert isinstance(event, TaskSuccessEvent) is ends_here


def test_a_trigger_waits_until_its_node_has_ended(airflow):
    airflow.producer, airflow.nodes = "running", {"model.firn.b": "success"}

    async def wait() -> TriggerEvent:
        waiting = asyncio.create_task(fired(trigger(interval=0.01)))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        airflow.nodes = {"model.firn.a": "success"}
        return await asyncio.wait_for(waiting, 5)

    assert isinstance(asyncio.run(wait()), TaskSuccessEvent)
    assert airflow.asked > 2


def test_all_triggers_of_a_build_ask_once(airflow):
    airflow.producer = "running"
    airflow.nodes = {f"model.firn.m{number}": "success" for number in range(100)}

    async def wait() -> None:
        await asyncio.gather(*(fired(trigger(node)) for node in airflow.nodes or {}))

    asyncio.run(wait())
    assert airflow.asked == 1


class Told:
    """A task instance that keeps what was published."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}
        self.times = 0

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value
        self.times += key == NODES

    def xcom_pull(self, **_: Any) -> None:
        return None


Publish = Callable[..., Told]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Runs a producer whose dbt prints some lines; gives what it has published."""

    def run(*lines: str, tests: dict[str, list[str]]) -> Told:
        def printing(producer: DbtBuildOperator, context: Any) -> None:
            read = producer._make_parse_callable()
            for printed in lines:
                read(printed, {"context": context})

        monkeypatch.setattr(DbtProducerWatcherOperator, "execute", printing)
        told = Told()
        context: Any = {"ti": told}
        DbtBuildOperator(
            project_dir="/nowhere", profile_config=None, tests_per_model=tests
        ).execute(context)
        return told

    return run


def line(name: str, status: str, event: str = "LogModelResult", level: str = "info") -> str:
    node = {
        "unique_id": name,
        "node_status": status,
        "resource_type": name.partition(".")[0],
    }
    info = {"name": event, "level": level, "msg": "", "ts": "2024-01-01T00:00:00Z"}
    return json.dumps({"info": info, "data": {"node_info": node}})


def test_a_build_publishes_a_node_when_its_tests_have_ended(build):
    tests = {"model.p.a": ["test.p.one", "test.p.two"], "model.p.b": ["test.p.two"]}
    lines = [
        line("model.p.a", "success"),
        line("model.p.b", "success"),
        line("model.p.c", "success"),
        line("test.p.one", "pass"),
    ]
    assert build(*lines, tests=tests).pushed[NODES] == {"model.p.c": "success"}
    lines += [line("test.p.two", "fail")]
    assert build(*lines, tests=tests).pushed[NODES] == {
        "model.p.a": "fail",
        "model.p.b": "fail",
        "model.p.c": "success",
    }


def test_a_node_that_was_held_back_has_failed(build):
    lines = [
        line("model.p.a", "error"),
        line("model.p.b", "skipped", "SkippingDetails"),
        line("model.p.c", "skipped"),
        "no JSON",
        line("model.p.d", "success", level="debug"),
    ]
    assert build(*lines, tests={"model.p.b": ["test.p.one"]}).pushed[NODES] == {
        "model.p.a": "error",
        "model.p.b": "failed",
        "model.p.c": "skipped",
    }


def test_a_build_of_many_nodes_publishes_seldom(build):
    told = build(*(line(f"model.p.m{one}", "success") for one in range(1000)), tests={})
    assert len(told.pushed[NODES]) == 1000
    assert told.times <= 6


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
