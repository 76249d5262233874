"""Pipelines that should have run and have not: stopped, paused, or without a scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from include.monitoring.history import read_history
from include.monitoring.pipelines import Pipeline, find_pipelines
from include.warehouse.connection import ConnectionSettings, get_settings


@dataclass(frozen=True)
class Silence:
    """A pipeline of which nothing was heard for too long.

    Attributes:
        dag_id: its DAG.
        run_id: the last run that was recorded.
        since: when that began, in UTC.
        every: how often it should run.
    """

    dag_id: str
    run_id: str
    since: datetime
    every: timedelta


def silent_pipelines(
    settings: ConnectionSettings | None = None,
    *,
    pipelines: Sequence[Pipeline] | None = None,
    now: datetime | None = None,
) -> list[Silence]:
    """The pipelines whose next run is overdue, by the summaries that runs record.

    One that has never run is not yet in use, and not silent.

    Args:
        settings: read from the environment if not given.
        pipelines: those of the DAG folder if not given.
        now: the present if not given; with a time zone.

    Raises:
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    now = now or datetime.now(UTC)
    runs = read_history(settings or get_settings()).runs
    found = []
    for pipeline in find_pipelines() if pipelines is None else pipelines:
        past = runs.get(pipeline.dag_id)
        if past and pipeline.every and pipeline.due_within:
            last = past[-1]
            if now - last.began_at > pipeline.due_within:
                found.append(Silence(pipeline.dag_id, last.run_id, last.began_at, pipeline.every))
    return found
