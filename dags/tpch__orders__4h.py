"""Wholesale orders from Snowflake's TPC-H sample, every four hours.

Checks how fresh the sources are, then builds and tests staging, intermediate and mart of the
`tpch` domain. When all of it is green, the asset `tpch` is published, and DAGs that are scheduled
on it start.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Asset

from include.orchestration.dag_parts import (
    check_mode,
    default_args,
    pipeline_alerts,
    pipeline_params,
    publish,
)
from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.summary_tasks import summary

with DAG(
    dag_id="tpch__orders__4h",
    schedule="0 */4 * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(),
    params=pipeline_params(),
    **pipeline_alerts(late_after=timedelta(hours=1)),
    tags=["tpch", "dbt"],
    doc_md=__doc__,
):
    check_mode() >> dbt_task_group("tpch") >> [publish(Asset("tpch")), summary("tpch")]
