"""What the account costs, as Airflow tasks: the cost models, and what they say of the budget."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.orchestration.alerts import budget_near
from include.orchestration.dbt_tasks import dbt_task_group
from include.project.manifest import manifest_path, read_manifest
from include.project.paths import target

DOMAIN = "platform"

log = logging.getLogger(__name__)


def costs() -> Any:
    """The models of the folder `platform`; where they are off, a task that says so."""
    # Of models that are off dbt leaves the tests there, as disabled ones.
    domains = {
        Path(node["original_file_path"]).parts[2]
        for node in read_manifest(manifest_path())["nodes"].values()
        if node["resource_type"] == "model" and node["package_name"] == "firn"
    }
    return dbt_task_group(DOMAIN) if DOMAIN in domains else costs_are_off()


@task
def costs_are_off() -> None:
    """Skipped: nobody tells what there would be to count."""
    raise AirflowSkipException(
        f"The cost models are off on target {target()}: they read what a Snowflake account tells "
        "of its usage, on target prod alone."
    )


@task
def budget() -> str:
    """Tell when the month comes near its budget; fails when it is over it.

    Gives what is spent and what it will be, in a sentence.
    """
    from include.monitoring.budget import NEAR, OVER, current_month

    month = current_month()
    if month is None:
        raise AirflowSkipException("There are no costs yet.")
    said = month.sentence()
    log.info("%s (%s)", said, month.status)
    if month.status == OVER:
        # Trying again spends more.
        raise AirflowFailException(f"The budget is spent. {said}")
    if month.status == NEAR:
        budget_near(get_current_context(), said)
    return said
