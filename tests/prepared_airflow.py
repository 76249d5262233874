"""Prepares Airflow's home, and reuses what an earlier test of this run has prepared.

Making the metadata database and parsing the dbt project take ten seconds each. The first test does
both; the others, of every process of the run, get a copy, and `prepare` checks that it fits their
settings.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Mapping
from pathlib import Path

from include.airflow import local as local_airflow
from include.project.paths import airflow_home

PARTS = ("airflow.db", "migrated", "manifest")

templates: list[Path] = []
"""The one folder that copies are taken from, which all processes of the run share."""


def prepare(variables: Mapping[str, str]) -> None:
    """Do what `local_airflow.prepare` does, for an empty home."""
    home, (template,) = airflow_home(variables), templates
    with template.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if template.exists():
            _copy(template, home)
        local_airflow.prepare(variables)
        if not template.exists():
            _copy(home, template)


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        part = source / name
        if part.is_dir():
            shutil.copytree(part, target / name)
        else:
            shutil.copy2(part, target / name)
