"""What the account cost yesterday, every morning.

Reads what Snowflake metered, shares it out to DAGs, models, runs and users by the tags of their
queries, and looks whether the month stays within its budget. Slack is told when it comes near it; a
month that is over it fails the run. There is nothing of it on the local warehouse: there the tasks
are skipped, and say so.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration.cost_tasks import budget, costs
from include.orchestration.pipeline import check_mode, pipeline

with DAG(
    **pipeline(
        "platform__cost__daily",
        # Snowflake reports a query up to eight hours late.
        "30 8 * * *",
        __doc__,
        late_after=timedelta(hours=2),
        tags=["cost", "dbt"],
    )
):
    check_mode() >> costs() >> budget()
