"""What every DAG has in common: its tasks' arguments, its parameters, its last task."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, Param

from include.orchestration.environment import is_headless


def default_args() -> dict[str, Any]:
    """The arguments every task of every pipeline starts from.

    A headless run fails at once: nothing is there to wait a quarter of an hour for a retry.
    """
    return {
        "owner": "analytics-engineering",
        "retries": 0 if is_headless() else 2,
        "retry_delay": timedelta(minutes=15),
        "execution_timeout": timedelta(hours=1),
    }


def dbt_params() -> dict[str, Param]:
    """The parameters of a DAG that runs dbt, checked by Airflow before a run starts."""
    return {
        "full_refresh": Param(
            default=False,
            type="boolean",
            title="Full refresh",
            description="Build incremental models and seeds anew, from all of their source.",
        )
    }


def publish(asset: Asset) -> EmptyOperator:
    """The last task of a domain: tells Airflow that the domain's data is complete and tested."""
    return EmptyOperator(
        task_id="publish",
        outlets=[asset],
        doc_md=f"Publishes the asset `{asset.name}`; DAGs that are scheduled on it start.",
    )
