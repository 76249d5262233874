"""Where dbt and what is generated live on this machine.

Airflow imports this each time it parses a DAG file, so it imports little. Without an argument, the
functions answer for this process; `variables` is the environment of another one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from include.core.settings import REPOSITORY as REPOSITORY
from include.core.settings import Goal, Home, Project, Target


def firn_home(variables: Mapping[str, str] = os.environ) -> Path:
    """Folder for everything generated: ``FIRN_HOME``, else ``.firn`` in the repository."""
    return Home.read(variables).firn_home


def airflow_home(variables: Mapping[str, str] = os.environ) -> Path:
    """Airflow's folder: metadata database, configuration, task logs, the dbt manifest."""
    return firn_home(variables) / "airflow"


def dbt_project(variables: Mapping[str, str] = os.environ) -> Path:
    """The dbt project's folder; dbt's own ``DBT_PROJECT_DIR`` overrides the repository's."""
    return (Project.read(variables).dbt_project_dir or REPOSITORY / "dbt").resolve()


def target(variables: Mapping[str, str] = os.environ) -> Target:
    """The dbt target: ``FIRN_TARGET``, ``local`` when unset."""
    return Goal.read(variables).firn_target


def dbt_executable() -> str:
    """The dbt of this Python environment, whatever PATH says."""
    beside_python = Path(sys.executable).with_name("dbt")
    return str(beside_python) if beside_python.exists() else "dbt"
