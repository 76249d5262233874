"""Every night: what has been kept long enough goes.

Deletes old rows of the books of loads and runs, of rejected rows and of Elementary's results, what
abandoned loads have left on the stage, archived and rejected files, unfinished exports, and old
logs. How long each is kept is a setting. A dry run only counts.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from include.orchestration.dag_parts import default_args, pipeline_alerts
from include.orchestration.maintenance_tasks import (
    clear_files,
    clear_stage,
    clear_tables,
    maintenance_params,
)

with DAG(
    dag_id="platform__maintenance__daily",
    schedule="30 3 * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(),
    params=maintenance_params(),
    **pipeline_alerts(late_after=timedelta(hours=2)),
    tags=["platform", "maintenance"],
    doc_md=__doc__,
):
    # Apart from each other: what one cannot do does not keep the others from their work.
    clear_tables()
    clear_stage()
    clear_files()
