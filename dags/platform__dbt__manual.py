"""A dbt command by hand, on the nodes that you select.

Nothing starts it but you. The form asks for the command, for dbt selectors such as
`stg_forex__customers+` or `tag:affiliate__commission`, and for a full refresh or a range. Pipelines
that build the same models at that time are not kept from it; pause them where that matters.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration.dbt_command import DbtCommandOperator, command_params
from include.orchestration.pipeline import pipeline

with DAG(
    **pipeline(
        "platform__dbt__manual",
        None,
        __doc__,
        late_after=timedelta(hours=4),
        tags=["dbt"],
        params=command_params(),
        retries=0,
    )
):
    DbtCommandOperator(task_id="dbt")
