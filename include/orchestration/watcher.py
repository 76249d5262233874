"""Airflow tasks that follow one dbt node through a build that another task runs.

In Cosmos's watcher mode one producer task runs ``dbt build`` for the whole selection, and each
model's task reports what became of its node. Cosmos calls a model done when it is built. Here it
is done when its tests have passed too, so that a failing test turns the model's own task red and
holds back what is built on it.

Under a scheduler a model's task starts as a trigger and ends as one, without a worker, if all went
well. Only what went wrong, and what is tried again, goes to a worker. All triggers of a build look
at the same list of nodes, which the producer publishes.
"""

from __future__ import annotations

import asyncio
import json
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, cast
from weakref import WeakValueDictionary

from airflow.providers.openlineage.conf import is_disabled
from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseTrigger, StartTriggerArgs, TaskSuccessEvent, TriggerEvent
from cosmos.operators._watcher.aggregation import (
    get_aggregated_test_status,
    get_tests_status_xcom_key,
)
from cosmos.operators._watcher.state import (
    DbtNodeStatus,
    ProducerTaskState,
    get_xcom_val,
    is_dbt_node_status_failed,
    is_dbt_node_status_success,
    is_dbt_node_status_terminal,
    is_producer_task_terminated,
    safe_xcom_push,
)
from cosmos.operators._watcher.triggerer import WatcherTrigger
from cosmos.operators.local import DbtSourceLocalOperator
from cosmos.operators.watcher import DbtConsumerWatcherSensor, DbtProducerWatcherOperator

from include.orchestration.alerts import HeldBackMixin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

_NEVER_RAN = {ProducerTaskState.UPSTREAM_FAILED, ProducerTaskState.REMOVED}

_BEFORE_IT_RUNS = {"scheduled", "queued"}

NODES = "nodes"
"""Under this XCom key the producer publishes what became of each node that has ended."""

PUBLISHING_SECONDS = 1.0
"""How often the producer publishes at most; the list grows with the build."""


def node_status(built: str | None, tested: str | None, *, has_tests: bool) -> str | None:
    """What became of a node: its own status until it is built, then that of its tests.

    Args:
        built: status of building the node, None while unknown.
        tested: status of all its tests together, None until the last one has reported.
        has_tests: whether the build runs tests of this node.
    """
    if has_tests and is_dbt_node_status_success(built):
        return tested
    return built


class HeldBackError(HeldBackMixin, AirflowException):
    """A node was not built because of another task, which has its own error."""


class Build:
    """A build as the triggers of its nodes see it; one of them asks for all.

    Args:
        dag_id: the DAG that runs it.
        run_id: the run of that DAG.
        task_id: the producer's task.
    """

    def __init__(self, dag_id: str, run_id: str, task_id: str) -> None:
        self._cosmos = WatcherTrigger("", task_id, dag_id, run_id, map_index=-1)
        self._lock = asyncio.Lock()
        self._asked = float("-inf")
        self._found: tuple[str | None, dict[str, str]] = (None, {})

    async def look(self, interval: float) -> tuple[str | None, dict[str, str]]:
        """The producer's state, and the status of each node that has ended.

        Args:
            interval: seconds for which an answer is good enough.
        """
        async with self._lock:
            if time.monotonic() - self._asked >= interval:
                # The state first: of a producer that has ended, the list is whole.
                state = await self._cosmos._get_producer_task_status()
                begun = state is not None and state not in _BEFORE_IT_RUNS
                nodes = await self._cosmos.get_xcom_val(NODES) if begun else None
                self._found = state, nodes or {}
                self._asked = time.monotonic()
        return self._found


_builds: WeakValueDictionary[tuple[str, str, str], Build] = WeakValueDictionary()


class DbtNodeTrigger(BaseTrigger):
    """Waits for one node and its tests without occupying a worker.

    Args:
        model_unique_id: dbt's id of the node.
        producer_task_id: the task that runs the build.
        poke_interval: seconds between two looks.
    """

    def __init__(self, *, model_unique_id: str, producer_task_id: str, poke_interval: float):
        super().__init__()  # type: ignore[no-untyped-call]
        self.arguments = {
            "model_unique_id": model_unique_id,
            "producer_task_id": producer_task_id,
            "poke_interval": poke_interval,
        }
        self.node = model_unique_id
        self.producer_task_id = producer_task_id
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger as Airflow stores it."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """End the task if its node is done; send it to a worker if there is more to do."""
        task = cast("RuntimeTaskInstanceProtocol", self.task_instance)
        place = (task.dag_id, task.run_id, self.producer_task_id)
        build = _builds.setdefault(place, Build(*place))
        self.log.info("Following %s in the build of %s.", self.node, self.producer_task_id)
        while True:
            producer, nodes = await build.look(self.poke_interval)
            ended, status = is_producer_task_terminated(producer), nodes.get(self.node)
            again = task.try_number > 1 and ended
            if not again and is_dbt_node_status_success(status):
                self.log.info("%s: %s", self.node, status)
                yield TaskSuccessEvent()
                return
            if ended or status is not None:
                self.log.info("%s: %s; a worker goes on.", self.node, status or producer)
                found = {"status": status, "producer": producer}
                yield TriggerEvent(found)  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poke_interval)


class NoBookkeepingMixin:
    """Leaves out what Cosmos does after each dbt command and nobody here needs.

    A task goes on from the parsing that the manifest comes from, and leaves it as it is. Cosmos
    would keep what each task makes of it. A run over a range parses with other variables, and the
    next run would have to parse everything again.
    """

    def _update_partial_parse_cache(self, tmp_dir_path: Path) -> None:
        pass

    def calculate_openlineage_events_completes(self, *arguments: Any) -> bool:
        """Cosmos would read all of dbt's results for events that nobody receives."""
        if is_disabled():
            return False
        return bool(super().calculate_openlineage_events_completes(*arguments))  # type: ignore[misc]


class DbtFreshnessOperator(NoBookkeepingMixin, DbtSourceLocalOperator):  # type: ignore[misc]
    """The task that runs ``dbt source freshness``."""


class DbtBuildOperator(NoBookkeepingMixin, DbtProducerWatcherOperator):  # type: ignore[misc]
    """The task that runs ``dbt build`` and reports each node's result to the node's task."""

    def execute(self, context: Context, **kwargs: Any) -> Any:
        """Build, and publish at the end what became of every node."""
        self._built: dict[str, str] = {}
        self._nodes: dict[str, str] = {}
        self._published = 0.0
        self._owners: dict[str, list[str]] = {}
        for node, tests in self.tests_per_model.items():
            for test in tests:
                self._owners.setdefault(test, []).append(node)
        # An empty list, as triggers would find none at first, which Airflow logs as an error.
        safe_xcom_push(context["ti"], NODES, {})
        try:
            return super().execute(context, **kwargs)
        finally:
            safe_xcom_push(context["ti"], NODES, self._nodes)

    def _note(self, data: dict[str, Any], task_instance: Any) -> None:
        """Take down what an event says about a node or a test, and publish it."""
        node = data.get("node_info") or {}
        name, status = node.get("unique_id"), node.get("node_status")
        if not name or not is_dbt_node_status_terminal(status):
            return
        if name not in self._owners and node.get("resource_type") not in {"test", "unit_test"}:
            # dbt says "skipped" also of a node that was held back by a failure before it.
            held_back = name in self._upstream_failure_skipped_ids
            self._built[name] = str(DbtNodeStatus.FAILED if held_back else status)
        for one in self._owners.get(name, [name]):
            tested = get_aggregated_test_status(
                one, self.tests_per_model, self.test_results_per_model
            )
            done = node_status(self._built.get(one), tested, has_tests=one in self.tests_per_model)
            if done is not None:
                self._nodes[one] = done.value if isinstance(done, Enum) else done
        if time.monotonic() - self._published >= PUBLISHING_SECONDS:
            self._published = time.monotonic()
            safe_xcom_push(task_instance, NODES, dict(self._nodes))

    def _make_parse_callable(self) -> Callable[..., None]:
        """Cosmos's reader of dbt's events, which here ignores debug events.

        dbt in a process of its own does not print debug events. dbt in this process passes them
        on, and Cosmos would push several results to Airflow for each node and test. That takes
        longer than running the statements of a small test.
        """
        read = super()._make_parse_callable()

        def read_what_is_printed(line: str, extra_kwargs: Any) -> None:
            try:
                event = json.loads(line)
                level, data = event["info"]["level"], event["data"]
            except (ValueError, KeyError, TypeError):
                level, data = "", {}
            if level == "debug":
                return
            read(line, extra_kwargs)
            if context := extra_kwargs.get("context"):
                self._note(data, context["ti"])

        return read_what_is_printed


class DbtNodeSensor(NoBookkeepingMixin, DbtConsumerWatcherSensor):  # type: ignore[misc]
    """One dbt node with its tests, green when the node is built and no test of it failed.

    A retry, and a node that dbt left out because something before it had failed and is repaired
    by now, runs ``dbt build`` for this node alone.

    Args:
        has_tests: whether the producer's build runs tests of this node.
        start_from_trigger: whether a trigger follows the node; else the task itself does.
    """

    template_fields: tuple[str, ...] = DbtConsumerWatcherSensor.template_fields
    base_cmd: ClassVar[list[str]] = ["build"]

    def __init__(self, *, has_tests: bool, start_from_trigger: bool, **arguments: Any) -> None:
        super().__init__(deferrable=False, **arguments)
        self.has_tests = has_tests
        self._build_alone = False
        self.start_from_trigger = start_from_trigger

    @property
    def start_trigger_args(self) -> StartTriggerArgs:
        """The trigger that this task starts as; Cosmos gives the task its producer afterwards."""
        return StartTriggerArgs(
            trigger_cls=f"{DbtNodeTrigger.__module__}.{DbtNodeTrigger.__qualname__}",
            trigger_kwargs={
                "model_unique_id": self.model_unique_id,
                "producer_task_id": self.producer_task_id,
                "poke_interval": self.poke_interval,
            },
            next_method=self.execute_complete.__name__,
            timeout=self.execution_timeout,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Go on in a worker: fail with the reason, or build the node alone."""
        self.log.info("Found by the trigger: %s", event)
        self.execute(context)

    def _get_node_status(self, ti: Any, context: Context) -> str | None:
        built = super()._get_node_status(ti, context)
        tested = get_xcom_val(
            ti, self.producer_task_id, get_tests_status_xcom_key(self.model_unique_id)
        )
        status = node_status(built, tested, has_tests=self.has_tests)
        # dbt says "error" or "fail" of what it ran. "failed" is Cosmos's word for a node that dbt
        # skipped because of a failure before it.
        left_out = built == DbtNodeStatus.FAILED and self._runs_after_other_nodes()
        if left_out or (ti.try_number > 1 and is_dbt_node_status_failed(status)):
            # That failure is history: nodes before this one are repaired, or it is a retry.
            self._build_alone = True
            return None
        return status

    def _runs_after_other_nodes(self) -> bool:
        return any(isinstance(task, DbtNodeSensor) for task in self.upstream_list)

    def _handle_no_dbt_node_status(
        self, producer_task_state: str | None, try_number: int, context: Context
    ) -> bool:
        if self._build_alone or producer_task_state == ProducerTaskState.SKIPPED:
            return bool(self._fallback_to_non_watcher_run(try_number, context))
        if producer_task_state == ProducerTaskState.FAILED:
            raise HeldBackError(
                f"The dbt build ended before '{self.model_unique_id}' was done: "
                f"the log of task '{self.producer_task_id}' says why."
            )
        if producer_task_state in _NEVER_RAN:
            raise HeldBackError(
                f"The dbt build never started, so '{self.model_unique_id}' was not built: "
                f"look at the tasks before '{self.producer_task_id}'."
            )
        # A build that ended well without a word about this node had nothing to do for it.
        return bool(producer_task_state == ProducerTaskState.SUCCESS)
