"""How dbt is run: its program and its environment."""

from __future__ import annotations

import os

from include.project.monitoring_switch import monitoring_switch
from include.warehouse.connection import ConnectionSettings, get_settings


def dbt_environment(settings: ConnectionSettings | None = None) -> dict[str, str]:
    """The environment of a dbt process: this process's, with the connection and the packages.

    Args:
        settings: read from the environment if not given.

    Raises:
        ConfigurationError: the settings cannot be used.
    """
    return {
        **os.environ,
        **(settings or get_settings()).environment(),
        **monitoring_switch().environment(),
    }
