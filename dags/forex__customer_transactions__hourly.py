"""Customer transactions from dirty CSV deliveries, every hour.

Checks and cuts what has landed, merges the chunks into the raw table in parallel, then builds and
tests staging, intermediate and mart of the `forex` domain. Without a new delivery the models are
still built, and merge nothing. When all of it is green, the asset `forex` is published, and DAGs
that are scheduled on it start.
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
from include.orchestration.ingestion_tasks import ingest_in_chunks
from include.orchestration.summary_tasks import summary

with DAG(
    dag_id="forex__customer_transactions__hourly",
    schedule="0 * * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(
        retries=3, retry_delay=timedelta(minutes=1), max_retry_delay=timedelta(minutes=15)
    ),
    params=pipeline_params(),
    **pipeline_alerts(late_after=timedelta(minutes=45)),
    tags=["forex", "ingestion", "dbt"],
    doc_md=__doc__,
):
    (
        check_mode()
        >> ingest_in_chunks("forex", "customer_transactions")
        >> dbt_task_group("forex")
        >> [publish(Asset("forex")), summary("forex")]
    )
