"""Whether there is anything to build, as an Airflow task."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped
from airflow.task.trigger_rule import TriggerRule

from include.core.logs import event
from include.project.changes import TASK, Build, Scope, last_build, tables
from include.project.run_mode import RunMode, RunModeError


def look_for_changes(scope: Scope, follow: Collection[str]) -> Any:
    """The task that skips others when there is nothing to build.

    Args:
        scope: what the DAG builds.
        follow: ids of the tasks that are skipped then.
    """
    return _look.override(task_id=TASK, trigger_rule=TriggerRule.NONE_FAILED)(
        scope.domain, list(scope.nodes), list(scope.relations), scope.reads_others, sorted(follow)
    )


@task
def _look(
    domain: str, nodes: list[str], relations: list[str], reads_others: bool, follow: list[str]
) -> dict[str, str]:
    """What the build is made of; skips it when the last good build was made of the same.

    A run that rebuilds everything or a range is never skipped.
    """
    from include.warehouse.connection import connect, get_settings

    context = get_current_context()
    try:
        mode = RunMode.from_params(context["params"])
    except RunModeError as error:
        raise AirflowFailException(str(error)) from None
    scope = Scope(domain, tuple(nodes), tuple(relations), reads_others)
    code, dag_id = scope.code(), context["dag"].dag_id
    settings = get_settings()
    with connect(settings) as connection, connection.cursor() as cursor:
        loads, last = last_build(cursor, settings, domain, dag_id, with_others=reads_others)
        now = Build(code, loads, tables(cursor, settings, scope) if last else "")
    if mode.name == "incremental" and code and last == now:
        event("dbt.unchanged", domain=domain, nodes=len(nodes))
        raise DownstreamTasksSkipped(tasks=follow)  # type: ignore[no-untyped-call]
    # What a range leaves out is not built, so that the next run has to.
    return {"code": "" if mode.name == "backfill" else code, "loads": loads}
