"""Web traffic of affiliates and what it earned, every day: all sources but the scrapers.

Waits for each source's files without holding a worker, loads what has landed, then builds and
tests the web traffic's part of the `affiliate` domain. When all of it is green, the asset
`affiliate_web_traffic` is published for the day.

A source named in `exclude_sources` is neither waited for nor loaded, so that a correction of one
source can be run by itself.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronPartitionTimetable

from include.ingestion.sources import load_domain
from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.ingestion_tasks import ingest
from include.orchestration.pipeline import exclude_sources_param, pipeline, run

SOURCES = [one.name for one in load_domain("affiliate").sources if one.name != "scrapers"]

with DAG(
    **pipeline(
        "affiliate__web_traffic__daily",
        CronPartitionTimetable("0 6 * * *", timezone="UTC", key_format="%Y-%m-%d"),
        __doc__,
        late_after=timedelta(hours=8),
        retries=5,
        params=exclude_sources_param(SOURCES),
    )
):
    run(
        ingest("affiliate", SOURCES),
        dbt_task_group("affiliate", select=["tag:affiliate__web_traffic"], sources=SOURCES),
        publishes="affiliate_web_traffic",
    )
