"""Purchases of the mobile game, every five minutes.

Extracts from the operational database what has changed, loads it, builds and tests the staging of
purchases and of rejected rows; when nothing was loaded, nothing is built. When the table of hourly
activity has become older than an hour and something was loaded since it was built, or when a
rebuild was asked for, `gaming__user_activity__hourly` is started.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from include.orchestration.dag_parts import (
    check_mode,
    default_args,
    pipeline_alerts,
    pipeline_params,
)
from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.follow_up import trigger_when_stale
from include.orchestration.ingestion_tasks import ingest
from include.orchestration.summary_tasks import summary

with DAG(
    dag_id="gaming__purchases__5min",
    schedule="*/5 * * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=8),
    default_args=default_args(retries=1, retry_delay=timedelta(minutes=1)),
    params=pipeline_params(),
    **pipeline_alerts(late_after=timedelta(minutes=6)),
    tags=["gaming", "ingestion", "dbt"],
    doc_md=__doc__,
):
    (
        check_mode()
        >> ingest("gaming", ["purchases"])
        >> dbt_task_group(
            "gaming",
            select=["stg_gaming__purchase_places", "stg_gaming__purchases", "stg_gaming__rejected"],
            sources=["purchases"],
        )
        >> [
            trigger_when_stale(
                "gaming__user_activity__hourly",
                domain="gaming",
                mart="mart_user_activity_hourly",
                newest="app_hour",
            ),
            summary("gaming"),
        ]
    )
