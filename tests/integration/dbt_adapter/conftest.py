"""The peer suite's own fixtures, pointed at the local warehouse."""

# ruff: noqa: F401, F811 - pytest finds fixtures by name, and so do those who ask for them

from __future__ import annotations

import gc
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from dbt.tests.fixtures.project import (
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
from snowflake.connector.util_text import split_statements

from tests.conftest import Warehouse
from tests.integration.dbt_adapter.not_applicable import NOT_APPLICABLE

DATABASE = "DBT_TESTS"


@pytest.fixture(scope="session", autouse=True)
def fewer_collections() -> Iterator[None]:
    """Leave dbt's imports out of garbage collection, which took a third of each test."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()


@pytest.fixture(scope="session")
def peer_database(warehouse: Warehouse) -> Iterator[str]:
    """A database that the peer suite has for itself, and the roles that it grants to."""
    with warehouse.connect() as connection, pytest.MonkeyPatch.context() as patch:
        connection.cursor().execute(f"create database if not exists {DATABASE}")
        for number in (1, 2, 3):
            role = f"DBT_TESTS_ROLE_{number}"
            connection.cursor().execute(f"create role if not exists {role}")
            patch.setenv(f"DBT_TEST_USER_{number}", role)
        yield DATABASE


@pytest.fixture(scope="class")
def dbt_profile_target(warehouse: Warehouse, peer_database: str) -> dict[str, object]:
    """The connection of the suite's dbt profile."""
    return {
        "type": "snowflake",
        "account": "local",
        "user": "firn",
        "password": warehouse.password,
        "host": "127.0.0.1",
        "port": warehouse.port,
        "protocol": "http",
        "database": peer_database,
        "threads": 4,
    }


@pytest.fixture(scope="class")
def logs_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """dbt's logs, away from the repository."""
    folder = str(tmp_path_factory.mktemp("logs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_LOG_PATH", folder)
        yield folder


@pytest.fixture(scope="class")
def project(project_setup: Any, project_files: None) -> Any:
    """The suite's project; its SQL may hold several statements, which Snowflake runs one by one."""
    run_one = project_setup.run_sql

    def run_sql(sql: str, fetch: str | None = None) -> Any:
        result = None
        for statement, _ in split_statements(StringIO(sql)):
            if statement.strip("; \n"):
                result = run_one(statement, fetch)
        return result

    project_setup.run_sql = run_sql
    return project_setup


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect the tests to fail that cannot apply; strictly, so that a wrong entry is found."""
    for item in items:
        if suite := getattr(getattr(item, "cls", None), "suite", None):
            test = f"{suite}::{getattr(item, 'originalname', item.name)}"
            if reason := NOT_APPLICABLE.get(test) or NOT_APPLICABLE.get(suite):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
