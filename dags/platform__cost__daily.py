"""What the account cost, every morning, once yesterday is told of.

Reads what Snowflake metered, shares it out to DAGs, models, runs and users by the tags of their
queries, and looks whether the month stays within its budget. Slack is told when it comes near it; a
month that is over it fails the run. There is nothing of it on the local warehouse: there the tasks
are skipped, and say so.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from include.orchestration.cost_tasks import budget, costs
from include.orchestration.dag_parts import (
    check_mode,
    default_args,
    pipeline_alerts,
    pipeline_params,
)

with DAG(
    dag_id="platform__cost__daily",
    # Queries are told of up to eight hours late.
    schedule="30 8 * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(),
    params=pipeline_params(),
    **pipeline_alerts(late_after=timedelta(hours=2)),
    tags=["platform", "cost", "dbt"],
    doc_md=__doc__,
):
    check_mode() >> costs() >> budget()
