"""What is odd, late or silent in any pipeline, every hour.

Elementary measures volumes, columns, schemas and the age of sources, and tells Slack what it found,
each at most once a day. It also reports a pipeline whose next run is overdue. In the end the pages
about all pipelines are written anew. Without Elementary's packages its tasks are skipped, and say
so.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration.monitoring_tasks import build, complete, report, silence, tell, watch
from include.orchestration.pipeline import pipeline

with DAG(
    **pipeline(
        "platform__monitoring__hourly",
        "20 * * * *",
        __doc__,
        late_after=timedelta(minutes=45),
        tags=["monitoring"],
        timeout=timedelta(minutes=55),
        retries=1,
        retry_delay=timedelta(minutes=2),
    )
):
    watched = [build() >> watch() >> tell(), silence()]
    watched >> complete()
    watched >> report()
