"""Statements that take longer than a client's patience, and clients that do not come back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import uvicorn
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import DatabaseError

from include.delivery.account import create_databases
from include.local_warehouse.server import Server
from include.local_warehouse.statements import Orders
from include.local_warehouse.store import Store
from include.warehouse.connection import REPOSITORY
from tests.conftest import Warehouse, free_port

pytestmark = pytest.mark.integration

FOREVER = (
    "insert into t select count(*) from table(generator(rowcount => 20000000)) as a"
    " cross join table(generator(rowcount => 20000000)) as b"
)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse that says "in progress" and gives statements up after a moment."""
    warehouse = Warehouse(tmp_path_factory.mktemp("firn"), free_port())
    orders = Orders(answer_seconds=0.2, abandoned_seconds=1)
    login = warehouse.settings().local_login
    login.make()
    app = Server(Store(warehouse.home / "warehouse"), login, orders=orders).app
    server = uvicorn.Server(uvicorn.Config(app, port=warehouse.port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not warehouse.process.health():
        assert thread.is_alive()
        time.sleep(0.05)
    create_databases(warehouse.settings())
    yield warehouse
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def schema(impatient: Warehouse) -> str:
    name = f"S{uuid4().hex[:8].upper()}"
    with impatient.connect(database="RAW") as connection:
        connection.cursor().execute(f"create schema {name}")
        connection.cursor().execute("create table t (n int)")
    return name


def rows(connection: SnowflakeConnection, statement: str) -> list[Any]:
    return connection.cursor().execute(statement).fetchall()  # type: ignore[union-attr]


@pytest.fixture
def session(impatient: Warehouse, schema: str) -> Iterator[SnowflakeConnection]:
    with impatient.connect(database="RAW", schema=schema) as connection:
        yield connection


@pytest.fixture
def blocked(impatient: Warehouse, schema: str) -> Iterator[SnowflakeConnection]:
    """Holds the lock of the table until it commits."""
    with impatient.connect(database="RAW", schema=schema) as connection:
        rows(connection, "begin")
        rows(connection, "insert into t values (0)")
        yield connection


def test_a_long_statement_is_asked_for_again_until_it_ends(blocked, session):
    with ThreadPoolExecutor(1) as pool:
        inserted = pool.submit(rows, session, "insert into t values (1)")
        time.sleep(1)
        assert not inserted.done()
        rows(blocked, "commit")
        assert inserted.result(30) == [(1,)]
    assert rows(session, "select n from t order by n") == [(0,), (1,)]


def test_a_long_statement_that_fails_says_why(blocked, session):
    with ThreadPoolExecutor(1) as pool:
        failing = pool.submit(rows, session, "insert into t select 1 / (n - n) from t")
        time.sleep(1)
        rows(blocked, "commit")
        with pytest.raises(DatabaseError, match="Division by zero"):
            failing.result(30)


def test_a_statement_that_is_asked_for_again_runs_once(warehouse):
    """Here the server is patient, and the client asks again after a second."""
    name = f"S{uuid4().hex[:8].upper()}"
    with (
        warehouse.connect(database="RAW") as holder,
        warehouse.connect(database="RAW") as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.__dict__["_socket_timeout"] = 1
        rows(holder, f"create schema {name}")
        table = f"RAW.{name}.t"
        rows(holder, f"create table {table} (n int)")
        rows(holder, "begin")
        rows(holder, f"insert into {table} values (0)")
        inserted = pool.submit(rows, client, f"insert into {table} values (1)")
        time.sleep(4)
        rows(holder, "commit")
        assert inserted.result(30) == [(1,)]
        assert rows(holder, f"select n from {table} order by n") == [(0,), (1,)]


def killed_while_it_runs(warehouse: Warehouse, schema: str, statement: str) -> None:
    """A client whose statement has reached the server when it is killed."""
    program = (
        "from include.warehouse.connection import connect\n"
        f"with connect(database='RAW', schema='{schema}') as connection:\n"
        f"    connection.cursor().execute('{statement}')\n"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=warehouse.environment()
    )
    while not health(warehouse)["statements"]:
        assert client.poll() is None
        time.sleep(0.05)
    client.kill()
    client.wait(30)


def health(warehouse: Warehouse) -> dict[str, Any]:
    found = warehouse.process.health()
    assert found is not None
    return found


def test_the_statement_of_a_client_that_was_killed_is_cancelled(impatient, schema, session):
    killed_while_it_runs(impatient, schema, FOREVER)
    # The lock is free as soon as the statement has ended.
    assert rows(session, "insert into t values (2)") == [(1,)]
    assert rows(session, "select n from t") == [(2,)]


def test_a_waiting_statement_of_a_client_that_was_killed_never_runs(
    impatient, schema, blocked, session
):
    killed_while_it_runs(impatient, schema, "insert into t values (3)")
    while health(impatient)["statements"]:
        time.sleep(0.05)
    rows(blocked, "commit")
    assert rows(session, "select n from t") == [(0,)]
