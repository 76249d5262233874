"""Web traffic of affiliates and what it earned, every day: all sources but the scrapers.

Waits for each source's files without holding a worker, loads what has landed, then builds and
tests the web traffic's part of the `affiliate` domain. When all of it is green, the asset
`affiliate_web_traffic` is published for the day.

A source named in `exclude_sources` is neither waited for nor loaded, so that a correction of one
source can be run by itself.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Asset, CronPartitionTimetable

from include.ingestion.sources import load_domain
from include.orchestration.dag_parts import (
    check_mode,
    default_args,
    exclude_sources_param,
    pipeline_alerts,
    pipeline_params,
    publish,
)
from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.ingestion_tasks import ingest
from include.orchestration.summary_tasks import summary

SOURCES = [one.name for one in load_domain("affiliate").sources if one.name != "scrapers"]

with DAG(
    dag_id="affiliate__web_traffic__daily",
    schedule=CronPartitionTimetable("0 6 * * *", timezone="UTC", key_format="%Y-%m-%d"),
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(retries=5),
    params=pipeline_params() | exclude_sources_param(SOURCES),
    **pipeline_alerts(late_after=timedelta(hours=8)),
    tags=["affiliate", "dbt", "ingestion"],
    doc_md=__doc__,
):
    (
        check_mode()
        >> ingest("affiliate", SOURCES)
        >> dbt_task_group("affiliate", select=["tag:affiliate__web_traffic"], sources=SOURCES)
        >> [publish(Asset("affiliate_web_traffic")), summary("affiliate")]
    )
