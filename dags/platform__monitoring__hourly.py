"""What is odd, late or silent in any pipeline, every hour.

Elementary measures volumes, columns, schemas and the age of sources, and tells Slack what it found,
each at most once a day. A pipeline whose next run is overdue is told of too. In the end the pages
about all pipelines are written anew. Without Elementary's packages its tasks are skipped, and say
so.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from include.orchestration.dag_parts import default_args, pipeline_alerts
from include.orchestration.monitoring_tasks import (
    build,
    complete,
    report,
    silence,
    tell,
    watch,
)

with DAG(
    dag_id="platform__monitoring__hourly",
    schedule="20 * * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=55),
    default_args=default_args(retries=1, retry_delay=timedelta(minutes=2)),
    **pipeline_alerts(late_after=timedelta(minutes=45)),
    tags=["platform", "monitoring"],
    doc_md=__doc__,
):
    watched = [build() >> watch() >> tell(), silence()]
    watched >> complete()
    watched >> report()
