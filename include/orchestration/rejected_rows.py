"""Telling of rows that models reject, which the loader had taken.

A model that lists them says so in its YAML with ``meta: {lists_rejected_rows: true}``, and has the
columns ``load_id`` and ``loaded_at`` of the raw row: the load that delivered it last, and when its
content last changed. Where a task group builds such a model, the task ``rejected`` counts the rows
that came new with the loads of this run: a row is told of once, however long it stays in the list
and however often it is delivered again as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context, task

from include.orchestration.alerts import rows_rejected

if TYPE_CHECKING:
    from airflow.sdk.definitions.xcom_arg import XComArg

    from include.warehouse.connection import ConnectionSettings

log = logging.getLogger(__name__)

META = "lists_rejected_rows"
TASK = "rejected"


def lists_rejected_rows(node: Mapping[str, Any]) -> bool:
    """Whether a node of the manifest is a model that lists rejected rows."""
    return bool(node["config"].get("meta", {}).get(META))


def tell_rejected(domain: str, relations: Sequence[str]) -> XComArg:
    """The task that tells of what this run's loads brought into lists of rejected rows.

    Args:
        domain: the domain that was loaded.
        relations: the models that list them.
    """
    return _tell.override(task_id=TASK)(domain, list(relations))


@task
def _tell(domain: str, relations: list[str]) -> None:
    """Tell how many rows of this run's loads the models reject; never fails the run."""
    from include.orchestration.ingestion_tasks import GROUP, LOADS

    context = get_current_context()
    try:
        loading = [one for one in context["dag"].task_ids if one.startswith(f"{GROUP}.")]
        pulled = context["ti"].xcom_pull(task_ids=loading, key=LOADS) or []
        loads = [one for one in pulled if isinstance(one, dict) and one["loads"]]
        delivered = {one["source"]: one["delivered"] for one in loads}
        for relation in relations:
            found = count_rejected(relation, [load for one in loads for load in one["loads"]])
            counts = {source: (found.get(source, 0), delivered[source]) for source in delivered}
            for source, (rejected, rows) in counts.items():
                log.info("%s.%s: %d of %d rows rejected", domain, source, rejected, rows)
            rows_rejected(context, domain, counts, listed_in=relation)
    except Exception as error:
        # Counting is an extra, as is the message.
        log.warning("Rejected rows were not counted: %s: %s", type(error).__name__, error)


def count_rejected(
    relation: str, loads: Sequence[str], *, settings: ConnectionSettings | None = None
) -> dict[str, int]:
    """How many rows that some loads have brought or changed a model rejects, by source.

    Args:
        relation: the model's table or view, as the manifest names it.
        loads: ids of loads.
        settings: read from the environment if not given.

    Raises:
        WarehouseUnreachableError: the warehouse takes no connection.
        snowflake.connector.errors.Error: it fails, for example because the model was never built.
    """
    from include.warehouse.connection import connect, get_settings

    if not loads:
        return {}
    with connect(settings or get_settings()) as connection, connection.cursor() as cursor:
        # The relation is named by the dbt project; every value is bound.
        cursor.execute(
            "select l.source, count(*)"  # noqa: S608
            f" from {relation} as r join RAW.META.LOADS as l on r.load_id = l.load_id"
            " where r.loaded_at >= l.started_at"
            f" and l.load_id in ({', '.join(['%s'] * len(loads))})"
            " group by l.source",
            tuple(loads),
        )
        return {str(source): int(count) for source, count in cursor.fetchall()}
