"""The environment that dbt runs in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from include.project.dbt import TELL_NOBODY
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
        **TELL_NOBODY,
    }


@contextmanager
def environment_without_monitoring(settings: ConnectionSettings) -> Iterator[None]:
    """This process's environment is dbt's, for as long as this lasts; Elementary is off.

    Variables of an account that the settings do not name are removed.
    """
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("SNOWFLAKE_")]:
        del os.environ[name]
    os.environ.update(settings.environment() | TELL_NOBODY | {"FIRN_ELEMENTARY": "off"})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
