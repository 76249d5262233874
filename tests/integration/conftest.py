"""Sessions in a schema of their own, for tests of the local warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Warehouse

Sql = Callable[[str], list[Any]]
"""Runs one statement and gives its rows."""


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
