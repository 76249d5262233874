"""Lineage events of runs, to an OpenLineage receiver, if one is named.

Airflow's OpenLineage provider makes the events and Cosmos adds what a dbt build read and wrote.
Here is how they are sent: a receiver that is down or slow costs a run a few seconds, once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from openlineage.client.transport.http import HttpConfig, HttpTransport

from include.core.deadline import within
from include.core.logs import event
from include.project.paths import airflow_home

if TYPE_CHECKING:
    from openlineage.client.client import Event

SECONDS = 2.0
"""How long an event may take."""

PAUSE_SECONDS = 60.0
"""How long nothing is sent after an event that took longer or was refused."""


class PausingHttpTransport(HttpTransport):
    """Sends events over HTTP, and none for a while after one that could not be sent.

    The pause holds for all processes of this Airflow on this machine: each task is a process, and
    each would wait anew.
    """

    kind = "http"
    config_class = HttpConfig

    def emit(self, event: Event) -> Any:
        """Send an event, or give it up; never raises."""
        note = airflow_home() / "lineage-paused"
        try:
            if time.time() - note.stat().st_mtime < PAUSE_SECONDS:
                return None
        except FileNotFoundError:
            pass
        try:
            return within(
                SECONDS, lambda: super(PausingHttpTransport, self).emit(event), name="lineage"
            )
        except Exception as error:
            note.touch()
            _not_sent(error)
            return None


def _not_sent(error: Exception) -> None:
    # The kind alone: what an error says of a request may hold its key.
    event(
        "lineage.not_sent",
        level="warning",
        reason=type(error).__name__,
        paused_seconds=int(PAUSE_SECONDS),
    )
