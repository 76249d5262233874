"""Parses the DAG folder as Airflow does, in a process of its own, and prints what it found.

Besides the DAGs, everything is recorded that parsing must not do: start a program or open a
connection.
"""

from __future__ import annotations

import json
import sys
from typing import Any

FORBIDDEN = {"subprocess.Popen", "os.system", "os.posix_spawn", "socket.connect"}


def main() -> None:
    from airflow.dag_processing.dagbag import DagBag

    seen: list[str] = []
    watching = [True]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching[0] and event in FORBIDDEN:
            seen.append(f"{event} {arguments!r}"[:200])

    before = set(sys.modules)
    sys.addaudithook(watch)
    bag = DagBag(bundle_name="dags-folder")
    watching[0] = False
    found = {
        "import_errors": bag.import_errors,
        "forbidden": seen,
        "modules": sorted(set(sys.modules) - before),
        "dags": {dag_id: _describe(dag) for dag_id, dag in bag.dags.items()},
    }
    print("\n" + json.dumps(found))  # noqa: T201


def _describe(dag: Any) -> dict[str, Any]:
    return {
        "file": dag.fileloc,
        "schedule": str(dag.schedule),
        "start_date": str(dag.start_date),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "run_timeout_minutes": dag.dagrun_timeout and dag.dagrun_timeout.total_seconds() / 60,
        "alerts": [
            callback.__name__
            for callback in (dag.on_failure_callback, dag.on_success_callback)
            if callback
        ]
        + [alert.callback.path.rpartition(".")[2] for alert in dag.deadline or ()],
        "late_minutes": [alert.interval / 60 for alert in dag.deadline or ()],
        "tags": sorted(dag.tags),
        "doc_md": dag.doc_md,
        "params": {name: param.schema for name, param in dag.params.items()},
        "tasks": {task.task_id: _describe_task(task) for task in dag.tasks},
    }


def _listed(callbacks: Any) -> list[Any]:
    """A mapped task has its callback as it was given, the others have a list."""
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


def _describe_task(task: Any) -> dict[str, Any]:
    return {
        "owner": task.owner,
        "retries": task.retries,
        "retry_minutes": task.retry_delay.total_seconds() / 60,
        "longest_retry_minutes": task.max_retry_delay and task.max_retry_delay.total_seconds() / 60,
        "mapped": task.is_mapped,
        "alerts": [callback.__name__ for callback in _listed(task.on_failure_callback)],
        "timeout": task.execution_timeout and task.execution_timeout.total_seconds(),
        "upstream": sorted(task.upstream_task_ids),
        "trigger_rule": task.trigger_rule.value,
        "outlets": [asset.name for asset in task.outlets],
        "node": getattr(task, "model_unique_id", None),
        "dbt_leaves_out": (getattr(task, "env", None) or {}).get("DBT_EXCLUDE_RESOURCE_TYPES"),
        "has_tests": getattr(task, "has_tests", None),
        "doc_md": task.doc_md,
        "vars": getattr(task, "vars", None),
        "full_refresh": getattr(task, "full_refresh", None),
    }


if __name__ == "__main__":
    main()
