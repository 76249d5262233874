"""Prepares Airflow's home, and reuses what an earlier test of this process has prepared.

Making the metadata database and parsing the dbt project take ten seconds each. The first test does
both; the others get a copy, and `prepare` checks that the copy fits their settings.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from include.orchestration import local_airflow
from include.orchestration.environment import airflow_home

PARTS = ("airflow.db", "migrated", "manifest")
_template: list[tempfile.TemporaryDirectory[str]] = []


def prepare(variables: Mapping[str, str]) -> None:
    """Do what `local_airflow.prepare` does, for an empty home."""
    home = airflow_home(variables)
    if _template:
        _copy(Path(_template[0].name), home)
    local_airflow.prepare(variables)
    if not _template:
        _template.append(tempfile.TemporaryDirectory(prefix="firn-airflow-"))
        _copy(home, Path(_template[0].name))


def _copy(source: Path, target: Path) -> None:
    for name in PARTS:
        part = source / name
        if part.is_dir():
            shutil.copytree(part, target / name)
        else:
            shutil.copy2(part, target / name)
