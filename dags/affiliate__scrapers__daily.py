"""Affiliate earnings that scrapers read off the operators' pages, every day.

Waits for the files of the scrapers and of Voluum without holding a worker, loads what has landed,
then builds and tests the scrapers' part of the `affiliate` domain. When all of it is green, the
asset `affiliate_scrapers` is published for the day.

A source named in `exclude_sources` is neither waited for nor loaded, so that a correction of one
source can be run by itself.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronPartitionTimetable

from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.ingestion_tasks import ingest
from include.orchestration.pipeline import exclude_sources_param, pipeline, run

SOURCES = ["scrapers", "voluum"]

with DAG(
    **pipeline(
        "affiliate__scrapers__daily",
        CronPartitionTimetable("0 6 * * *", timezone="UTC", key_format="%Y-%m-%d"),
        __doc__,
        late_after=timedelta(hours=4),
        retries=5,
        params=exclude_sources_param(SOURCES),
    )
):
    run(
        ingest("affiliate", SOURCES),
        dbt_task_group("affiliate", select=["tag:affiliate__scrapers"], sources=["scrapers"]),
        publishes="affiliate_scrapers",
    )
