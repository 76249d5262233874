"""The summary of a run as an Airflow task."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from airflow.sdk import get_current_context, task
from airflow.task.trigger_rule import TriggerRule

log = logging.getLogger(__name__)


def states_by_task(found: Mapping[str, object], task_ids: Collection[str]) -> dict[str, set[str]]:
    """The states of each task's instances.

    Args:
        found: the state by the instance's name, to which a mapped task adds its index.
        task_ids: all tasks of the DAG.
    """
    states: dict[str, set[str]] = defaultdict(set)
    for name, state in found.items():
        states[name if name in task_ids else name.rpartition("_")[0]].add(str(state))
    return states


@task(trigger_rule=TriggerRule.ALL_DONE)
def summary(domain: str) -> list[dict[str, Any]]:
    """Tell what the run did, layer by layer, and record it in `RAW.META.RUN_SUMMARY`.

    Of a domain that several DAGs share it tells what this DAG builds and loads.

    Runs whether the run went well or not, and does not change how it ends: what comes last in the
    DAG besides this task, such as `publish`, decides that.

    Args:
        domain: the domain.
    """
    from include.monitoring.run_summary import EXPORT, Run, summarize, text
    from include.project.builds import builds_folder, built_at, read_run_results
    from include.project.changes import TASK as CHANGES
    from include.project.changes import Scope
    from include.project.manifest import manifest_path, read_manifest
    from include.project.nodes import Project

    context = get_current_context()
    dag_run = context["dag_run"]
    instance = context["ti"]
    found = instance.get_task_states(dag_id=dag_run.dag_id, run_ids=[dag_run.run_id])
    states = states_by_task(found.get(dag_run.run_id, {}), context["dag"].task_ids)
    began = dag_run.start_date or dag_run.run_after
    run = Run(dag_run.dag_id, dag_run.run_id, domain, began, states)
    # Not an argument of the task: without a result of the export it could not run.
    exported = instance.xcom_pull(task_ids=EXPORT) if EXPORT in states else None
    folder = builds_folder(run.dag_id)
    built = built_at(folder)
    # The results that lie there may be those of a run before.
    nodes = read_run_results(folder) if built and built >= run.began_at else []
    nodes_of_tasks = (getattr(one, "model_unique_id", None) for one in context["dag"].tasks)
    here = {one for one in nodes_of_tasks if one}
    manifest = read_manifest(manifest_path())
    project = Project.read(manifest, domain, here)
    made = None
    if run.built and (scope := Scope.of(manifest, domain, here)):
        made = scope, instance.xcom_pull(task_ids=f"{domain}.{CHANGES}")
    layers = summarize(run, project, nodes, exported, made=made)
    log.info("What the run did:\n%s", text(run, layers))
    return [
        {"layer": one.layer, "status": one.status, "rows": one.row_count, "seconds": one.seconds}
        for one in layers
    ]
