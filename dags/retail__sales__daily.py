"""A shop's customers, transactions and products, every day at six.

Picks up the day's Parquet files, or makes up a sample of them where that is switched on, and loads
them. Then builds and tests staging, intermediate and mart of the `retail` domain and exports all of
it as Parquet files. `summary` tells what the run did, also when it failed. When all of it is green,
the asset `retail` is published, and DAGs that are scheduled on it start.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Asset

from include.domains.retail.tasks import deliver, sample_params
from include.orchestration.dag_parts import (
    check_mode,
    default_args,
    pipeline_alerts,
    pipeline_params,
    publish,
)
from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.export_tasks import export
from include.orchestration.ingestion_tasks import ingest
from include.orchestration.summary_tasks import summary

with DAG(
    dag_id="retail__sales__daily",
    schedule="0 6 * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(),
    params=pipeline_params() | sample_params(),
    **pipeline_alerts(late_after=timedelta(hours=3)),
    tags=["retail", "ingestion", "dbt"],
    doc_md=__doc__,
):
    exported = export("retail")
    check_mode() >> deliver() >> ingest("retail") >> dbt_task_group("retail") >> exported
    exported >> [publish(Asset("retail")), summary("retail")]
