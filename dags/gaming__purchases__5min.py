"""Purchases of the mobile game, every five minutes.

Extracts from the operational database what has changed, loads it, builds and tests the staging of
purchases and of rejected rows; when nothing was loaded, nothing is built. When the table of hourly
activity has become older than an hour and something was loaded since it was built, or when a
rebuild was asked for, `gaming__user_activity__hourly` is started.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.follow_up import trigger_when_stale
from include.orchestration.ingestion_tasks import ingest
from include.orchestration.pipeline import pipeline, run

with DAG(
    **pipeline(
        "gaming__purchases__5min",
        "*/5 * * * *",
        __doc__,
        late_after=timedelta(minutes=6),
        timeout=timedelta(minutes=8),
        retries=1,
        retry_delay=timedelta(minutes=1),
    )
):
    run(
        ingest("gaming", ["purchases"]),
        dbt_task_group(
            "gaming",
            select=["stg_gaming__purchase_places", "stg_gaming__purchases", "stg_gaming__rejected"],
            sources=["purchases"],
        ),
        then=[
            trigger_when_stale(
                "gaming__user_activity__hourly",
                domain="gaming",
                mart="mart_user_activity_hourly",
                newest="app_hour",
            )
        ],
    )
