"""A shop's customers, transactions and products, every day at six.

Picks up the day's Parquet files, or makes up a sample of them where that is switched on, and loads
them. Then builds and tests staging, intermediate and mart of the `retail` domain and exports all of
it as Parquet files. `summary` tells what the run did, also when it failed. When all of it is green,
the asset `retail` is published, and DAGs that are scheduled on it start.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.domains.retail.tasks import deliver, sample_params
from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.export_tasks import export
from include.orchestration.ingestion_tasks import ingest
from include.orchestration.pipeline import pipeline, run

with DAG(
    **pipeline(
        "retail__sales__daily",
        "0 6 * * *",
        __doc__,
        late_after=timedelta(hours=3),
        params=sample_params(),
    )
):
    run(
        deliver(),
        ingest("retail"),
        dbt_task_group("retail"),
        export("retail"),
        publishes="retail",
    )
