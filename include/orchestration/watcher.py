"""Airflow tasks that follow one dbt node through a build that another task runs.

In Cosmos's watcher mode one producer task runs ``dbt build`` for the whole selection, and each
model's task reports what became of its node. Cosmos calls a model done when it is built. Here it
is done when its tests have passed too, so that a failing test turns the model's own task red and
holds back what is built on it.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowException
from cosmos.operators._watcher.aggregation import get_tests_status_xcom_key
from cosmos.operators._watcher.state import (
    DbtNodeStatus,
    ProducerTaskState,
    get_xcom_val,
    is_dbt_node_status_failed,
    is_dbt_node_status_success,
)
from cosmos.operators._watcher.triggerer import WatcherTrigger
from cosmos.operators.watcher import DbtConsumerWatcherSensor, DbtProducerWatcherOperator

from include.orchestration.alerts import HeldBackMixin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow.sdk import Context
    from airflow.triggers.base import TriggerEvent

_NEVER_RAN = {ProducerTaskState.UPSTREAM_FAILED, ProducerTaskState.REMOVED}


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


SETTLING_SECONDS = 10.0
"""How long a trigger waits before it may fire.

A task that comes back from its trigger before the scheduler has taken note of its having left is
failed by the scheduler ("reported that the task instance finished with state success, but the task
instance's state attribute is queued"). On a busy machine that takes seconds.
"""


class DbtNodeTrigger(WatcherTrigger):  # type: ignore[misc]
    """Waits for one node and its tests without occupying a worker."""

    def __init__(self, *, has_tests: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.has_tests = has_tests

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger as Airflow stores it."""
        _, arguments = super().serialize()
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {**arguments, "has_tests": self.has_tests}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once, when the node and its tests have ended."""
        await asyncio.sleep(SETTLING_SECONDS)
        async for event in super().run():
            yield event

    async def _parse_dbt_node_status_and_compiled_sql(self) -> tuple[str | None, str | None]:
        built, compiled_sql = await super()._parse_dbt_node_status_and_compiled_sql()
        tested = await self.get_xcom_val(get_tests_status_xcom_key(self.model_unique_id))
        return node_status(built, tested, has_tests=self.has_tests), compiled_sql


class DbtBuildOperator(DbtProducerWatcherOperator):  # type: ignore[misc]
    """The task that runs ``dbt build`` and reports each node's result to the node's task."""

    def _make_parse_callable(self) -> Callable[..., None]:
        """Cosmos's reader of dbt's events, which here ignores debug events.

        dbt in a process of its own does not print debug events. dbt in this process passes them
        on, and Cosmos would push several results to Airflow for each node and test. That takes
        longer than running the statements of a small test.
        """
        read = super()._make_parse_callable()

        def read_what_is_printed(line: str, *arguments: Any, **named: Any) -> None:
            try:
                level = json.loads(line)["info"]["level"]
            except (ValueError, KeyError, TypeError):
                level = ""
            if level != "debug":
                read(line, *arguments, **named)

        return read_what_is_printed


class DbtNodeSensor(DbtConsumerWatcherSensor):  # type: ignore[misc]
    """One dbt node with its tests, green when the node is built and no test of it failed.

    A retry, and a node that dbt left out because something before it had failed and is repaired
    by now, runs ``dbt build`` for this node alone.

    Args:
        has_tests: whether the producer's build runs tests of this node.
    """

    template_fields: tuple[str, ...] = DbtConsumerWatcherSensor.template_fields
    base_cmd: ClassVar[list[str]] = ["build"]

    def __init__(self, *, has_tests: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.has_tests = has_tests
        self._build_alone = False

    def _execute_core(self, context: Context) -> None:
        if not self.deferrable:
            super()._execute_core(context)
        elif not self.poke(context):
            self.defer(
                trigger=DbtNodeTrigger(
                    has_tests=self.has_tests,
                    model_unique_id=self.model_unique_id,
                    producer_task_id=self.producer_task_id,
                    dag_id=self.dag_id,
                    run_id=context["run_id"],
                    map_index=context["task_instance"].map_index,
                    poke_interval=self.poke_interval,
                ),
                timeout=self.execution_timeout,
                method_name=self.execute_complete.__name__,
            )

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
