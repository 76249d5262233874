"""Maintenance as Airflow tasks."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, get_current_context, task

from include.core.logs import event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from include.retention.tables import Removed

DRY_RUN = "dry_run"


def maintenance_params() -> dict[str, Param]:
    """The parameter of a run that only counts."""
    return {
        DRY_RUN: Param(
            default=False,
            type="boolean",
            title="Dry run",
            description="Count what would go, and delete nothing; the task logs say how much.",
        )
    }


@task
def clear_tables() -> list[dict[str, Any]]:
    """Delete old rows of loads, runs, rejected rows and Elementary's results; how many went."""
    from include.retention.run import clear_tables

    return _told(clear_tables(dry_run=_is_dry_run()))


@task
def clear_stage() -> list[dict[str, Any]]:
    """Remove staged files and load tables of abandoned attempts; how many went."""
    from include.retention.run import clear_stage

    return _told(clear_stage(dry_run=_is_dry_run()))


@task
def clear_files() -> list[dict[str, Any]]:
    """Delete archived deliveries, leftovers and logs that are old; how many went."""
    from include.retention.run import clear_files

    return _told(clear_files(dry_run=_is_dry_run()))


def _is_dry_run() -> bool:
    return bool(get_current_context()["params"][DRY_RUN])


def _told(removed: Sequence[Removed]) -> list[dict[str, Any]]:
    if _is_dry_run():
        for one in removed:
            event("retention.planned", what=one.what, count=one.count, days=one.days)
    return [asdict(one) for one in removed]
