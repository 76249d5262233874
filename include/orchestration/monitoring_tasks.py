"""Monitoring as Airflow tasks: what is odd, what is silent, who is told, and the page about it.

Elementary's tasks are skipped, with the reason, while it is off; the rest runs all the same.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from airflow.task.trigger_rule import TriggerRule

from include.orchestration.alerts import pipelines_silent, webhook_url

if TYPE_CHECKING:
    from include.monitoring.elementary import Elementary

log = logging.getLogger(__name__)


def _elementary() -> Elementary:
    """Elementary, or the task is skipped because it is off."""
    from include.monitoring.elementary import Elementary
    from include.project.monitoring_switch import MonitoringOffError

    try:
        return Elementary()
    except MonitoringOffError as error:
        raise AirflowSkipException(str(error)) from None


@task
def build() -> None:
    """Bring Elementary's tables up to date, and enter the dbt project into them."""
    _elementary().build()


@task
def watch() -> list[str]:
    """Measure ages, volumes, columns and schemas; what is odd does not fail the task.

    Gives the tables that are not watched, because they are not there yet.
    """
    from include.project.manifest import manifest_path, read_manifest

    return _elementary().watch(read_manifest(manifest_path()))


@task
def tell() -> None:
    """Send what was found to Slack, each finding once; fails where Slack does not take it.

    What was not taken is sent by the next run.
    """
    elementary = _elementary()
    if not (webhook := webhook_url()):
        raise AirflowSkipException("There is no Slack connection to tell: see docs/alerts.md.")
    elementary.send_alerts(webhook)


@task
def silence() -> list[str]:
    """Tell of pipelines whose next run is overdue, once until they run again; their names."""
    from include.monitoring.silence import silent_pipelines

    found = silent_pipelines()
    for one in found:
        log.warning("%s began its last run at %s UTC", one.dag_id, f"{one.since:%Y-%m-%d %H:%M}")
    pipelines_silent(get_current_context(), found)
    return [one.dag_id for one in found]


def complete() -> EmptyOperator:
    """The last task besides `report`, red if anything was: Airflow takes a run's state from those.

    Tasks that were skipped, because Elementary is off or Slack is not connected, are no failure.
    """
    return EmptyOperator(task_id="complete", trigger_rule=TriggerRule.NONE_FAILED)


@task(trigger_rule=TriggerRule.ALL_DONE)
def report() -> dict[str, Any]:
    """Write the pages that `make report` writes, without dbt's documentation."""
    from include.monitoring.elementary import report_writer
    from include.monitoring.site import build_report
    from include.warehouse.connection import get_settings

    settings = get_settings()
    made = build_report(
        settings.home / "report",
        settings,
        write_elementary=report_writer(),
        with_dbt_docs=False,
        say=log.info,
    )
    return {"index": str(made.index), "headline": made.headline}
