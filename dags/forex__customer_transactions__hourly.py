"""Customer transactions from dirty CSV deliveries, every hour.

Checks and cuts what has landed, merges the chunks into the raw table in parallel, then builds and
tests staging, intermediate and mart of the `forex` domain. Without a new delivery the models are
still built, and merge nothing. When all of it is green, the asset `forex` is published, and DAGs
that are scheduled on it start.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.ingestion_tasks import ingest_in_chunks
from include.orchestration.pipeline import pipeline, run

with DAG(
    **pipeline(
        "forex__customer_transactions__hourly",
        "0 * * * *",
        __doc__,
        late_after=timedelta(minutes=45),
        retries=3,
        retry_delay=timedelta(minutes=1),
        max_retry_delay=timedelta(minutes=15),
    )
):
    run(
        ingest_in_chunks("forex", "customer_transactions"),
        dbt_task_group("forex"),
        publishes="forex",
    )
