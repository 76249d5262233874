"""What every test starts from."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection

ALONE = "SNOWFLAKE_DISABLE_PLATFORM_DETECTION"
"""Keeps the connector from looking for the clouds' metadata servers each time it connects."""


def _is_setting(name: str) -> bool:
    # Settings of the tests themselves stay: the workers that pytest starts must see them too.
    is_ours = name.startswith(("FIRN_", "SNOWFLAKE_"))
    return is_ours and not name.startswith(("FIRN_TEST_", ALONE))


# Where packages of dbt's hub are, for the tests that need them: a folder with one folder each.
_PACKAGES = os.environ.get("FIRN_TEST_DBT_PACKAGES") or os.environ.get("FIRN_DBT_PACKAGES_DIR")
if _PACKAGES:
    os.environ["FIRN_TEST_DBT_PACKAGES"] = _PACKAGES

# A developer's own account must be out of reach of every test and of every program a test starts,
# from the first import on.
for _name in filter(_is_setting, list(os.environ)):
    del os.environ[_name]
os.environ["FIRN_ENV_FILE"] = os.devnull
os.environ[ALONE] = "true"

from include.delivery.account import create_databases  # noqa: E402
from include.local_warehouse.process import LocalWarehouse  # noqa: E402
from include.warehouse.connection import ConnectionSettings, connect  # noqa: E402
from tests import campaign, forked_servers, prepared_airflow  # noqa: E402


def pytest_report_header() -> str:
    """Name the seed, so that a run can be repeated."""
    length = "campaign" if campaign.LONG else "sample"
    return f"{length} of tests that search for faults, seed {campaign.SEED}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first, so that no worker begins it when the others are done."""
    order = ("e2e", "integration", "dags")
    items.sort(
        key=lambda item: next(
            (rank for rank, folder in enumerate(order) if folder in item.path.parts), len(order)
        )
    )


@pytest.fixture(scope="session", autouse=True)
def servers_are_forked() -> Iterator[None]:
    """Local warehouses that this process starts begin without imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalWarehouse, "_launch", forked_servers.launch)
        yield


@pytest.fixture(scope="session", autouse=True)
def airflow_is_prepared_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests start from one copy of what takes long to prepare."""
    own = tmp_path_factory.getbasetemp()
    of_the_run = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    prepared_airflow.templates[:] = [of_the_run / "prepared-airflow"]


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without one setting of the project; what a test adds is taken back."""
    for name in filter(_is_setting, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("FIRN_ENV_FILE", os.devnull)
    return monkeypatch


@pytest.fixture(scope="session")
def dbt_packages(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder of the downloaded dbt packages named; the test is skipped where they are not."""

    def folder(*names: str) -> Path:
        if not _PACKAGES:
            pytest.skip(f"needs {', '.join(names)}: set FIRN_TEST_DBT_PACKAGES to their folder")
        found = Path(_PACKAGES)
        missing = [name for name in names if not (found / name / "dbt_project.yml").exists()]
        if missing:
            pytest.skip(f"needs {', '.join(missing)} in FIRN_TEST_DBT_PACKAGES ({found})")
        # The others there would become a part of the project too.
        alone = tmp_path_factory.mktemp("packages")
        for name in names:
            (alone / name).symlink_to((found / name).resolve())
        return alone

    return folder


@dataclass(frozen=True)
class Warehouse:
    """A local warehouse that a test may write to."""

    home: Path
    port: int

    @property
    def process(self) -> LocalWarehouse:
        return LocalWarehouse(self.home / "warehouse", self.port, self.home / "run")

    def settings(self) -> ConnectionSettings:
        return ConnectionSettings(firn_home=self.home, firn_local_port=self.port, firn_user="test")

    @property
    def password(self) -> str:
        return self.settings().local_login.password()

    def environment(self) -> dict[str, str]:
        """The whole environment for a program that uses this warehouse."""
        return os.environ | self.settings().environment()

    def connect(self, **arguments: Any) -> AbstractContextManager[SnowflakeConnection]:
        """A real connection; the arguments are those of `include.warehouse.connection.connect`."""
        return connect(self.settings(), **arguments)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def start_warehouse(home: Path) -> Warehouse:
    """A fresh local warehouse with the project's databases; the caller stops it."""
    warehouse = Warehouse(home, free_port())
    warehouse.process.start()
    create_databases(warehouse.settings())
    return warehouse


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The warehouse that the tests of one process share; each uses schemas of its own."""
    running = start_warehouse(tmp_path_factory.mktemp("firn"))
    yield running
    running.process.stop()


@pytest.fixture
def own_warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse for one test, which may stop, kill or break it."""
    running = start_warehouse(tmp_path)
    yield running
    running.process.stop()
