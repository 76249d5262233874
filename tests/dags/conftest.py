"""The DAGs as Airflow reads them, with and without a scheduler."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from include.airflow.environment import airflow_environment
from include.project.manifest import ensure_manifest, read_manifest
from include.warehouse.connection import ConnectionSettings

Parsed = dict[str, Any]


@pytest.fixture(scope="session")
def airflow_settings(tmp_path_factory: pytest.TempPathFactory) -> ConnectionSettings:
    return ConnectionSettings(firn_home=tmp_path_factory.mktemp("firn"), firn_user="test")


@pytest.fixture(scope="session")
def manifest(airflow_settings: ConnectionSettings) -> Mapping[str, Any]:
    return read_manifest(ensure_manifest(airflow_environment(settings=airflow_settings)))


def _parsed(settings: ConnectionSettings, *, headless: bool) -> Parsed:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("parsed_dags.py"))],
        env=airflow_environment(headless=headless, settings=settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parsed: Parsed = json.loads(done.stdout.splitlines()[-1])
    return parsed


@pytest.fixture(scope="session")
def parse(
    airflow_settings: ConnectionSettings, manifest: Mapping[str, Any]
) -> Callable[[bool], Parsed]:
    return lambda headless: _parsed(airflow_settings, headless=headless)


@pytest.fixture(scope="session")
def parse_for() -> Callable[[ConnectionSettings], Parsed]:
    """The DAGs under other settings, with a manifest of their own."""

    def parse(settings: ConnectionSettings) -> Parsed:
        ensure_manifest(airflow_environment(settings=settings))
        return _parsed(settings, headless=False)

    return parse


@pytest.fixture(scope="session")
def scheduled(parse: Callable[[bool], Parsed]) -> Parsed:
    return parse(False)


@pytest.fixture(scope="session")
def headless(parse: Callable[[bool], Parsed]) -> Parsed:
    return parse(True)
