"""Affiliate commissions from everywhere, every day: web traffic and scrapers together.

Runs for a day when `affiliate__web_traffic__daily` and `affiliate__scrapers__daily` have both
finished for it. Builds and tests what reads both: events, dimensions, the fact and the combined
marts. When all of it is green, the asset `affiliate` is published.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, PartitionedAssetTimetable

from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.pipeline import pipeline, run

with DAG(
    **pipeline(
        "affiliate__commission__daily",
        PartitionedAssetTimetable(
            assets=Asset("affiliate_web_traffic") & Asset("affiliate_scrapers")
        ),
        __doc__,
        late_after=timedelta(hours=2),
        tags=["dbt"],
        retries=5,
    )
):
    run(
        dbt_task_group("affiliate", select=["tag:affiliate__commission"], sources=[]),
        publishes="affiliate",
    )
