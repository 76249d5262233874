"""Activity of the mobile game's players, every hour.

Extracts spins from the operational database, loads them, builds and tests their staging and the
table of hourly activity, which joins them with the purchases that are staged by then. When all of
it is green, the asset `gaming` is published. `gaming__purchases__5min` starts it in between when
the table has become too old.
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
from include.orchestration.ingestion_tasks import ingest
from include.orchestration.summary_tasks import summary

with DAG(
    dag_id="gaming__user_activity__hourly",
    schedule="0 * * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=60),
    default_args=default_args(retries=1, retry_delay=timedelta(minutes=1)),
    params=pipeline_params(),
    **pipeline_alerts(late_after=timedelta(minutes=45)),
    tags=["gaming", "ingestion", "dbt"],
    doc_md=__doc__,
):
    (
        check_mode()
        >> ingest("gaming", ["spins_hourly"])
        >> dbt_task_group(
            "gaming",
            select=[
                "stg_gaming__spin_places",
                "stg_gaming__spins_hourly",
                "stg_gaming__rejected",
                # The mart is compared with it.
                "stg_gaming__purchases",
                "int_gaming__activity_hourly",
                "mart_user_activity_hourly",
            ],
            sources=["spins_hourly"],
        )
        >> [publish(Asset("gaming")), summary("gaming")]
    )
