"""Activity of the mobile game's players, every hour.

Extracts spins from the operational database, loads them, builds and tests their staging and the
table of hourly activity, which joins them with the purchases that are staged by then. When all of
it is green, the asset `gaming` is published. `gaming__purchases__5min` starts it in between when
the table has become too old.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.ingestion_tasks import ingest
from include.orchestration.pipeline import pipeline, run

with DAG(
    **pipeline(
        "gaming__user_activity__hourly",
        "0 * * * *",
        __doc__,
        late_after=timedelta(minutes=45),
        timeout=timedelta(minutes=60),
        retries=1,
        retry_delay=timedelta(minutes=1),
    )
):
    run(
        ingest("gaming", ["spins_hourly"]),
        dbt_task_group(
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
        ),
        publishes="gaming",
    )
