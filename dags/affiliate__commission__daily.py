"""Affiliate commissions from everywhere, every day: web traffic and scrapers together.

Runs for a day when `affiliate__web_traffic__daily` and `affiliate__scrapers__daily` have both
finished for it. Builds and tests what reads both: events, dimensions, the fact and the combined
marts. When all of it is green, the asset `affiliate` is published.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable

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
    dag_id="affiliate__commission__daily",
    schedule=PartitionedAssetTimetable(
        assets=Asset("affiliate_web_traffic") & Asset("affiliate_scrapers")
    ),
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(retries=5),
    params=pipeline_params(),
    **pipeline_alerts(late_after=timedelta(hours=2)),
    tags=["affiliate", "dbt"],
    doc_md=__doc__,
):
    built = dbt_task_group("affiliate", select=["tag:affiliate__commission"], sources=[])
    check_mode() >> built >> [publish(Asset("affiliate")), summary("affiliate")]
