"""A DAG that starts another one when what that one builds has become too old."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import TaskGroup, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.task.trigger_rule import TriggerRule

from include.airflow.environment import is_headless
from include.core.logs import event
from include.project.run_mode import END, FULL_REFRESH, START, RunMode, RunModeError

ACTIVE = ["queued", "running"]
GROUP = "follow_up"


def trigger_when_stale(
    dag_id: str, *, domain: str, mart: str, newest: str, older_than: timedelta = timedelta(hours=1)
) -> TaskGroup:
    """Start another DAG, without waiting for it, if a mart has become too old or is empty.

    It is not started when nothing was loaded or built since its last good build, however old the
    mart is, nor while a run of it is queued or running. A run that rebuilds everything or a
    range starts it in any case, with the same parameters; a second run waits for the first.

    Args:
        dag_id: the DAG that builds the mart from what this one has built, with the parameters of
            ``pipeline_params``.
        domain: the domain of both.
        mart: the model.
        newest: its column of UTC times that says how far it reaches.
        older_than: how old the newest row may be.
    """
    with TaskGroup(GROUP) as group:
        wanted = _check_freshness.override(
            # Also when there was nothing to build here.
            task_id="check_freshness",
            trigger_rule=TriggerRule.NONE_FAILED,
        )(domain, dag_id, mart, newest, older_than.total_seconds())
        TriggerDagRunOperator(
            task_id="trigger",
            trigger_dag_id=dag_id,
            conf=cast("dict[str, Any]", wanted),
            wait_for_completion=False,
            doc_md=f"Starts `{dag_id}` and does not wait for it.",
        )
    return group


@task
def _check_freshness(
    domain: str, dag_id: str, mart: str, newest: str, limit: float
) -> dict[str, Any]:
    """The parameters to start the other DAG with; skipped if it need not run."""
    context = get_current_context()
    try:
        mode = RunMode.from_params(context["params"])
    except RunModeError as error:
        raise AirflowFailException(str(error)) from None
    if is_headless():
        raise AirflowSkipException(f"There is no scheduler that could run {dag_id}: run it next.")
    if mode.name == "incremental":
        if is_up_to_date(domain, dag_id):
            raise AirflowSkipException(
                f"Nothing was loaded or built since the last good build of {dag_id}."
            )
        age = age_in_seconds(mart, newest)
        if age is not None and age <= limit:
            raise AirflowSkipException(f"{mart} is {age / 60:.0f} minutes old, which is fresh.")
        event("follow_up.stale", model=mart, age_seconds=age, starts=dag_id)
        if active := context["ti"].get_dr_count(dag_id=dag_id, states=ACTIVE):
            raise AirflowSkipException(f"{dag_id} has {active} run queued or running already.")
    return {
        FULL_REFRESH: mode.name == "full_refresh",
        START: mode.start or None,
        END: mode.end or None,
    }


def is_up_to_date(domain: str, dag_id: str) -> bool:
    """Whether nothing was loaded, or built by other DAGs, since a DAG's last good build.

    Args:
        domain: its domain.
        dag_id: a DAG that reads what others of the domain build.

    Raises:
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    from include.project.changes import last_build
    from include.warehouse.connection import connect, get_settings

    settings = get_settings()
    with connect(settings) as connection, connection.cursor() as cursor:
        now, last = last_build(cursor, settings, domain, dag_id, with_others=True)
    return last is not None and last.loads == now


def age_in_seconds(mart: str, newest: str) -> float | None:
    """How long ago the newest time in a mart is; None if it has no rows or is not there.

    Args:
        mart: the model.
        newest: its column of UTC times.

    Raises:
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    from snowflake.connector.errors import ProgrammingError

    from include.warehouse.catalogue import DOES_NOT_EXIST
    from include.warehouse.connection import connect, get_settings

    settings = get_settings()
    schema = f"{settings.schema_prefix}mart"
    with connect(settings) as connection, connection.cursor() as cursor:
        try:
            # Names are those of this project, not a user's.
            cursor.execute(
                f"select datediff(second, max({newest}), sysdate())"  # noqa: S608
                f" from {schema}.{mart}"
            )
        except ProgrammingError as error:
            if error.errno == DOES_NOT_EXIST:
                return None
            raise
        [(age,)] = cursor.fetchall()
        return None if age is None else float(age)
