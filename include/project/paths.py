"""Where dbt and what is generated live on this machine.

Airflow imports this each time it parses a DAG file, so it imports little.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from include.core.variables import REPOSITORY as REPOSITORY


def firn_home(variables: Mapping[str, str] = os.environ) -> Path:
    """Folder for everything generated: ``$FIRN_HOME``, else ``.firn`` in the repository."""
    return REPOSITORY / Path(variables.get("FIRN_HOME") or ".firn").expanduser()


def airflow_home(variables: Mapping[str, str] = os.environ) -> Path:
    """Airflow's folder: metadata database, configuration, task logs, the dbt manifest."""
    return firn_home(variables) / "airflow"


def dbt_project(variables: Mapping[str, str] = os.environ) -> Path:
    """The dbt project's folder; dbt's own ``DBT_PROJECT_DIR`` overrides the repository's."""
    return Path(variables.get("DBT_PROJECT_DIR") or REPOSITORY / "dbt").resolve()


def target(variables: Mapping[str, str] = os.environ) -> str:
    """The dbt target: ``$FIRN_TARGET``, ``local`` when unset."""
    return variables.get("FIRN_TARGET") or "local"


def dbt_executable() -> str:
    """The dbt of this Python environment, whatever PATH says."""
    beside_python = Path(sys.executable).with_name("dbt")
    return str(beside_python) if beside_python.exists() else "dbt"
