"""The peer suite's own fixtures, pointed at the local warehouse."""

from __future__ import annotations

import pytest
from dbt.tests.fixtures.project import (  # noqa: F401  (fixtures, found by name)
    adapter,
    analyses,
    clean_up_logging,
    dbt_profile_data,
    dbt_project_yml,
    dependencies,
    dependencies_yml,
    environment,
    functions,
    initialization,
    macros,
    models,
    packages,
    packages_yml,
    prefix,
    profile_user,
    profiles_config_update,
    profiles_root,
    profiles_yml,
    project,
    project_config_update,
    project_files,
    project_root,
    project_setup,
    properties,
    seeds,
    selectors,
    selectors_yml,
    shared_data_dir,
    snapshots,
    test_config,
    test_data_dir,
    tests,
    unique_schema,
)

from tests.conftest import Warehouse
from tests.integration.dbt_adapter.not_applicable import NOT_APPLICABLE

DATABASE = "DBT_TESTS"


@pytest.fixture(scope="session")
def peer_database(warehouse: Warehouse) -> str:
    """A database that the peer suite has for itself."""
    with warehouse.connect() as connection:
        connection.cursor().execute(f"create database if not exists {DATABASE}")
    return DATABASE


@pytest.fixture(scope="class")
def dbt_profile_target(warehouse: Warehouse, peer_database: str) -> dict[str, object]:
    """The connection of the suite's dbt profile."""
    return {
        "type": "snowflake",
        "account": "local",
        "user": "firn",
        "password": "firn",
        "host": "127.0.0.1",
        "port": warehouse.port,
        "protocol": "http",
        "database": peer_database,
        "threads": 4,
    }


@pytest.fixture(scope="class")
def logs_dir(tmp_path_factory: pytest.TempPathFactory):
    """dbt's logs, away from the repository."""
    folder = str(tmp_path_factory.mktemp("logs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_LOG_PATH", folder)
        yield folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect the tests to fail that cannot apply; strictly, so that a wrong entry is found."""
    for item in items:
        if suite := getattr(getattr(item, "cls", None), "suite", None):
            test = f"{suite}::{getattr(item, 'originalname', item.name)}"
            if reason := NOT_APPLICABLE.get(test) or NOT_APPLICABLE.get(suite):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
