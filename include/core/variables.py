"""Settings as they are written: a variable of the environment, else a line of the settings file.

Light, for what runs while Airflow reads DAG files. `include.warehouse.connection` has the typed
settings of the connection.
"""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

REPOSITORY = Path(__file__).resolve().parents[2]


def env_file() -> Path:
    """The file settings are read from besides the environment; it need not exist."""
    return Path(os.environ.get("FIRN_ENV_FILE") or REPOSITORY / ".env")


def variable(name: str) -> str | None:
    """One setting; None if it is not set or empty."""
    return os.environ.get(name) or dotenv_values(env_file()).get(name) or None
