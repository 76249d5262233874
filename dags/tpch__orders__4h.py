"""Wholesale orders from Snowflake's TPC-H sample, every four hours.

Checks how fresh the sources are, then builds and tests staging, intermediate and mart of the
`tpch` domain. When all of it is green, the asset `tpch` is published, and DAGs that are scheduled
on it start.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.pipeline import pipeline, run

with DAG(
    **pipeline(
        "tpch__orders__4h",
        "0 */4 * * *",
        __doc__,
        late_after=timedelta(hours=1),
        tags=["dbt"],
    )
):
    run(dbt_task_group("tpch"), publishes="tpch")
