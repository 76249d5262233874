"""Sessions in a schema of their own, for tests of the local warehouse."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from dbt_common import behavior_flags
from sqlalchemy.engine import URL

from tests.conftest import Warehouse
from tests.integration.postgres import postgres

Sql = Callable[[str], list[Any]]
"""Runs one statement and gives its rows."""


def _module_that_called() -> str:
    """What dbt finds out for each of its flags, by reading the source of every frame.

    In a test's process the stack is deep and Airflow's modules are many: it took seconds a command.
    """
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals["__name__"] == behavior_flags.__name__:
        frame = frame.f_back
    return str(frame.f_globals["__name__"])


@pytest.fixture(scope="session", autouse=True)
def dbt_reads_no_stack() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            behavior_flags.BehaviorFlagRendered,
            "_default_source",
            staticmethod(_module_that_called),
        )
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """A PostgreSQL that tests share; each makes its schema ``app`` anew."""
    with postgres() as url:
        yield url


@pytest.fixture
def schema(warehouse: Warehouse) -> str:
    """A schema of the database RAW that no other test uses."""
    name = f"S{uuid4().hex[:8].upper()}"
    with warehouse.connect(database="RAW") as connection:
        connection.cursor().execute(f"create schema {name}")
    return name


@pytest.fixture
def session(warehouse: Warehouse, schema: str) -> Iterator[Callable[[], Sql]]:
    """Opens sessions in the schema and closes them in the end."""
    with ExitStack() as opened:

        def open_session() -> Sql:
            connection = opened.enter_context(warehouse.connect(database="RAW", schema=schema))

            def run(statement: str) -> list[Any]:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                    return list(cursor.fetchall())

            return run

        yield open_session


@pytest.fixture
def sql(session: Callable[[], Sql]) -> Sql:
    """One such session."""
    return session()
