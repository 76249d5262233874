"""Every night: what has been kept long enough goes.

Deletes old rows of the books of loads and runs, of rejected rows and of Elementary's results, what
abandoned loads have left on the stage, archived and rejected files, unfinished exports, and old
logs. How long each is kept is a setting. A dry run only counts.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration.maintenance_tasks import (
    clear_files,
    clear_stage,
    clear_tables,
    maintenance_params,
)
from include.orchestration.pipeline import pipeline

with DAG(
    **pipeline(
        "platform__maintenance__daily",
        "30 3 * * *",
        __doc__,
        late_after=timedelta(hours=2),
        tags=["maintenance"],
        params=maintenance_params(),
    )
):
    # Apart from each other: what one cannot do does not keep the others from their work.
    clear_tables()
    clear_stage()
    clear_files()
