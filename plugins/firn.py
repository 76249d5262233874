"""Lets Airflow's scheduler and DAG processor import heavy libraries before they fork."""

import importlib
import sys

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

FORKING = {"scheduler", "dag-processor"}
"""The commands whose processes fork for each task, or for each DAG file."""


@hookimpl
def on_starting(component: object) -> None:  # noqa: ARG001 - Airflow passes it by name
    """Called by each of Airflow's programs, before it starts its work."""
    # The component does not know its own kind yet.
    if FORKING.intersection(sys.argv[1:2]):
        # Nothing else of this project: a task is to find its code as it is by then.
        importlib.import_module("include.orchestration.preloaded")


class FirnPlugin(AirflowPlugin):
    """Registers this module as a listener."""

    name = "firn"
    listeners: list[object] = [sys.modules[__name__]]  # noqa: RUF012 - as Airflow declares it
