"""What every DAG has in common: its arguments, its parameters, its first and last tasks.

A DAG file is a docstring, a schedule and steps::

    with DAG(**pipeline("tpch__orders__4h", "0 */4 * * *", __doc__, late_after=timedelta(hours=1))):
        run(dbt_task_group("tpch"), publishes="tpch")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, cast

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, Param, get_current_context, task
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowFailException
from airflow.task.trigger_rule import TriggerRule

from include.airflow.environment import is_headless
from include.core.logs import hide_secrets_in_tasks
from include.orchestration.alerts import run_failed, run_is_late, run_succeeded, task_failed
from include.orchestration.summary_tasks import summary
from include.project.run_mode import (
    END,
    FULL_REFRESH,
    PATTERN,
    SHAPE,
    START,
    RunMode,
    RunModeError,
)

START_DATE = pendulum.datetime(2025, 1, 1, tz="UTC")


def pipeline(
    dag_id: str,
    schedule: Any,
    doc: str | None,
    *,
    late_after: timedelta,
    tags: Sequence[str] = ("ingestion", "dbt"),
    params: Mapping[str, Param] | None = None,
    timeout: timedelta | None = None,
    retries: int = 2,
    retry_delay: timedelta = timedelta(minutes=15),
    max_retry_delay: timedelta | None = None,
) -> dict[str, Any]:
    """The arguments of a DAG.

    Args:
        dag_id: the name of its file: domain, pipeline and schedule.
        schedule: a cron expression in UTC, or a timetable.
        doc: the docstring of its file.
        late_after: how long a run may take from being queued, all retries included; then it is
            reported as late.
        tags: what it is found by on Airflow's page, besides its domain.
        params: parameters of its own, besides those that each DAG with dbt has.
        timeout: how long a run may take; without one, only its tasks have limits.
        retries: how often a failed task is tried again.
        retry_delay: the pause before the first retry.
        max_retry_delay: if given, pauses double up to this one.
    """
    return {
        "dag_id": dag_id,
        "schedule": schedule,
        "start_date": START_DATE,
        "catchup": False,
        "max_active_runs": 1,
        "dagrun_timeout": timeout,
        "default_args": default_args(
            retries=retries, retry_delay=retry_delay, max_retry_delay=max_retry_delay
        ),
        "params": {**(dbt_params() if "dbt" in tags else {}), **(params or {})},
        "tags": [dag_id.partition("__")[0], *tags],
        "doc_md": doc,
        **pipeline_alerts(late_after=late_after),
    }


def run(*steps: Any, publishes: str | None = None, then: Sequence[Any] = ()) -> None:
    """Put the steps of the current DAG one after the other, between its first and last tasks.

    Args:
        steps: tasks or groups.
        publishes: the asset that tells other DAGs that the data is complete and tested.
        then: further tasks after the last step.
    """
    first = check_mode()
    [(operator, _)] = first.iter_references()
    domain = str(operator.dag_id).partition("__")[0]
    last = [*([publish(Asset(publishes))] if publishes else []), *then, summary(domain)]
    for step, following in pairwise([first, *steps, last]):
        step >> following


def default_args(
    *,
    retries: int = 2,
    retry_delay: timedelta = timedelta(minutes=15),
    max_retry_delay: timedelta | None = None,
) -> dict[str, Any]:
    """The arguments every task of a pipeline starts from.

    A headless run fails at once: nothing is there to wait a quarter of an hour for a retry.

    Whoever reads a DAG to run its tasks comes by here before the first one: from here on, its logs
    are without secrets.

    Args:
        retries: how often a failed task is tried again.
        retry_delay: the pause before the first retry.
        max_retry_delay: if given, pauses double up to this one.
    """
    hide_secrets_in_tasks()
    growing = {"retry_exponential_backoff": 2.0, "max_retry_delay": max_retry_delay}
    return {
        "owner": "analytics-engineering",
        "retries": 0 if is_headless() else retries,
        "retry_delay": retry_delay,
        "execution_timeout": timedelta(hours=1),
        "on_failure_callback": task_failed,
        **(growing if max_retry_delay else {}),
    }


def pipeline_alerts(*, late_after: timedelta) -> dict[str, Any]:
    """The arguments of a DAG by which its runs are reported to Slack, if Slack is connected.

    Failed tasks are reported by `default_args`; this adds runs that end in another way, the first
    success after a failure, and runs that are late. Airflow's own processes see to these, which a
    headless run has not.

    Args:
        late_after: how long a run may take from being queued, all retries included.
    """
    if is_headless():
        return {}
    late = DeadlineAlert(
        name="late",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        # In seconds. Airflow 3.3 takes a timedelta too, but stores it in a form that it cannot read
        # when somebody clears a task of the run.
        interval=cast("timedelta", late_after.total_seconds()),
        callback=AsyncCallback(run_is_late),
    )
    return {
        "on_failure_callback": run_failed,
        "on_success_callback": run_succeeded,
        "deadline": late,
    }


def dbt_params() -> dict[str, Param]:
    """The parameters of a DAG that runs dbt, checked by Airflow before a run starts."""

    def moment(title: str, description: str) -> Param:
        return Param(
            default=None,
            type=["null", "string"],
            pattern=PATTERN,
            title=title,
            description=f"{description} UTC, as {SHAPE}; empty unless a range is built again.",
        )

    return {
        FULL_REFRESH: Param(
            default=False,
            type="boolean",
            title="Full refresh",
            description="Build incremental models and seeds anew, from all of their source.",
        ),
        START: moment("Backfill from", "First moment of the range."),
        END: moment("Backfill until", "First moment after the range."),
    }


def exclude_sources_param(names: Sequence[str]) -> dict[str, Param]:
    """The parameter by which a run leaves sources of `ingest` alone."""
    return {
        "exclude_sources": Param(
            default=[],
            type="array",
            items={"type": "string", "enum": list(names)},
            examples=list(names),
            title="Exclude sources",
            description="Neither waited for nor loaded by this run; what they delivered stays.",
        )
    }


@task(retries=0)
def check_mode() -> dict[str, str]:
    """What the run rebuilds: `name`, `start` and `end`; fails when the parameters contradict."""
    try:
        mode = RunMode.from_params(get_current_context()["params"])
    except RunModeError as error:
        raise AirflowFailException(str(error)) from None
    return {"name": mode.name, "start": mode.start, "end": mode.end}


def publish(asset: Asset) -> EmptyOperator:
    """The last task of a domain: tells Airflow that the domain's data is complete and tested."""
    return EmptyOperator(
        task_id="publish",
        outlets=[asset],
        # Also when there was nothing to build: the data is complete and tested as it is.
        trigger_rule=TriggerRule.NONE_FAILED,
        doc_md=f"Publishes the asset `{asset.name}`; DAGs that are scheduled on it start.",
    )
