"""Clients that other people wrote connect to the local warehouse as docs/connecting.md shows."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy
from snowflake.connector import DictCursor, SnowflakeConnection, connect
from snowflake.connector.constants import FIELD_ID_TO_NAME, QueryStatus
from snowflake.connector.errors import DatabaseError, ProgrammingError
from snowflake.sqlalchemy import URL, VARIANT

from include.warehouse.connection import REPOSITORY
from tests.conftest import Warehouse

pytestmark = pytest.mark.integration

DATABASE = "ANALYTICS_DEV"
UTC = datetime.UTC
# Two million million rows to count: it ends when it is told to.
ENDLESS = (
    "select count(*) from table(generator(rowcount => 1000000)) as a"
    " cross join table(generator(rowcount => 2000000)) as b where random() > 2"
)


@pytest.fixture(scope="module")
def schema(warehouse: Warehouse) -> Iterator[str]:
    name = f"CLIENTS_{uuid4().hex[:8].upper()}"
    with warehouse.connect(database=DATABASE) as connection:
        connection.cursor().execute(f"create schema {name}")
        yield name
        connection.cursor().execute(f"drop schema {DATABASE}.{name}")


def _connection(warehouse: Warehouse, schema: str, **arguments: Any) -> SnowflakeConnection:
    return connect(
        account="local",
        user="firn",
        password=warehouse.password,
        host="127.0.0.1",
        port=warehouse.port,
        protocol="http",
        database=DATABASE,
        schema=schema,
        session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
        **arguments,
    )


@pytest.fixture
def connection(warehouse: Warehouse, schema: str) -> Iterator[SnowflakeConnection]:
    with _connection(warehouse, schema) as opened:
        yield opened


@pytest.fixture
def qmark(warehouse: Warehouse, schema: str) -> Iterator[SnowflakeConnection]:
    """A connection whose values travel apart from the statement."""
    with _connection(warehouse, schema, paramstyle="qmark") as opened:
        yield opened


def rows(connection: SnowflakeConnection, sql: str, *values: Any) -> list[Any]:
    cursor = connection.cursor()
    cursor.execute(sql, *values)
    return cursor.fetchall()


class TestPythonConnector:
    COLUMNS: tuple[tuple[str, str, str, Any], ...] = (
        ("N", "number(38, 0)", "9223372036854775807", 9223372036854775807),
        ("D", "number(12, 2)", "-1234567890.12", Decimal("-1234567890.12")),
        ("F", "float", "0.1", 0.1),
        ("V", "varchar(20)", "'déjà vu ❄'", "déjà vu ❄"),
        ("DT", "date", "'2024-02-29'", datetime.date(2024, 2, 29)),
        (
            "NTZ",
            "timestamp_ntz",
            "'1969-07-20 20:17:40.123456'",
            datetime.datetime(1969, 7, 20, 20, 17, 40, 123456),  # noqa: DTZ001
        ),
        (
            "TZ",
            "timestamp_tz",
            "'2024-02-29 12:00:00 +02:00'",
            datetime.datetime(2024, 2, 29, 10, tzinfo=UTC),
        ),
        ("T", "time", "'12:34:56.789'", datetime.time(12, 34, 56, 789000)),
        ("B", "boolean", "true", True),
        ("BI", "binary", "to_binary('00ff', 'hex')", b"\x00\xff"),
        ("VA", "variant", "parse_json('{\"a\": [1, null]}')", {"a": [1, None]}),
    )

    def test_every_type_and_its_null(self, connection: SnowflakeConnection) -> None:
        columns = ", ".join(f"{name} {kind}" for name, kind, _, _ in self.COLUMNS)
        values = ", ".join(f"{sql}::{kind}" for _, kind, sql, _ in self.COLUMNS)
        nulls = ", ".join("null" for _ in self.COLUMNS)
        rows(connection, f"create or replace table kinds (id int, {columns})")
        rows(connection, f"insert into kinds select 1, {values}")
        rows(connection, f"insert into kinds select 2, {nulls}")

        full, empty = rows(connection, "select * exclude id from kinds order by id")

        assert empty == (None,) * len(self.COLUMNS)
        for value, (name, _, _, expected) in zip(full, self.COLUMNS, strict=True):
            assert (json.loads(value) if name == "VA" else value) == expected, name

    def test_describe_gives_types_without_running(self, connection: SnowflakeConnection) -> None:
        rows(connection, "create or replace table described (n number(38, 0), d number(12, 2))")
        cursor = connection.cursor()

        columns = cursor.describe("select n, d, n / 0 as f from described")

        assert [column.name for column in columns] == ["N", "D", "F"]
        assert [FIELD_ID_TO_NAME[column.type_code] for column in columns[:2]] == ["FIXED", "FIXED"]
        assert [(column.precision, column.scale) for column in columns[:2]] == [(38, 0), (12, 2)]

    @pytest.mark.parametrize(
        "value",
        [
            1,
            -(2**62),
            1.5,
            Decimal("1.50"),
            'it\'s \\ a "text" %s ?',
            True,
            None,
            datetime.date(2024, 2, 29),
            datetime.time(1, 2, 3),
            datetime.datetime(2024, 2, 29, 1, 2, 3, 456000),  # noqa: DTZ001
            b"\x00\xff",
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_bound_value_comes_back(self, qmark: SnowflakeConnection, value: Any) -> None:
        assert rows(qmark, "select ?", (value,)) == [(value,)]

    def test_bound_moment_with_a_zone(self, qmark: SnowflakeConnection) -> None:
        zone = datetime.timezone(datetime.timedelta(hours=2))
        moment = datetime.datetime(2024, 2, 29, 12, tzinfo=zone)
        assert rows(qmark, "select ?", (("TIMESTAMP_TZ", moment),)) == [(moment,)]

    def test_values_inside_the_statement(self, connection: SnowflakeConnection) -> None:
        text = "it's \\ 100%"
        assert rows(connection, "select %s, %s, %s", (1, text, None)) == [(1, text, None)]
        assert rows(connection, "select %(a)s", {"a": text}) == [(text,)]

    def test_many_rows_in_both_styles(
        self, connection: SnowflakeConnection, qmark: SnowflakeConnection
    ) -> None:
        rows(
            connection, "create or replace table many (id int, amount number(10, 2), name varchar)"
        )
        values = [(n, Decimal(n) / 4, None if n % 2 else f"n{n}") for n in range(100)]

        inside = connection.cursor().executemany("insert into many values (%s, %s, %s)", values)
        apart = qmark.cursor().executemany("insert into many values (?, ?, ?)", values)

        assert inside is not None
        assert apart is not None
        assert inside.rowcount == apart.rowcount == 100
        assert rows(connection, "select * from many order by id") == sorted([*values, *values])

    def test_many_rows_are_all_in_or_none(self, qmark: SnowflakeConnection) -> None:
        rows(qmark, "create or replace table whole (id int)")
        with pytest.raises(ProgrammingError):
            qmark.cursor().executemany("insert into whole values (?)", [(1,), ("no number",)])
        assert rows(qmark, "select count(*) from whole") == [(0,)]

    def test_rowcount_dictionaries_and_batches(self, connection: SnowflakeConnection) -> None:
        dictionaries = connection.cursor(DictCursor)
        dictionaries.execute('select 1 as a, 2 as "b"')
        assert dictionaries.fetchall() == [{"A": 1, "b": 2}]
        cursor = connection.cursor()
        cursor.execute("select seq4() from table(generator(rowcount => 100000))")
        assert cursor.rowcount == 100000
        assert len(cursor.fetchmany(10)) == 10
        assert len(cursor.fetchall()) == 99990

    def test_several_statements(self, connection: SnowflakeConnection) -> None:
        results = connection.execute_string("select 1; select ';';")
        assert [cursor.fetchall() for cursor in results] == [[(1,)], [(";",)]]

    def test_asynchronous_statement(self, connection: SnowflakeConnection) -> None:
        started = connection.cursor()
        started.execute_async("select 41 + 1")
        query = str(started.sfqid)
        fetched = connection.cursor()
        fetched.get_results_from_sfqid(query)
        assert fetched.fetchall() == [(42,)]
        assert connection.get_query_status(query) == QueryStatus.SUCCESS

    def test_result_of_an_earlier_statement(self, connection: SnowflakeConnection) -> None:
        cursor = connection.cursor()
        cursor.execute("select 7 as a")
        sql = f"select a + 1 from table(result_scan('{cursor.sfqid}'))"
        assert rows(connection, sql) == [(8,)]

    def test_statement_that_takes_too_long_is_cancelled(
        self, connection: SnowflakeConnection
    ) -> None:
        began = time.monotonic()
        with pytest.raises(ProgrammingError) as caught:
            connection.cursor().execute(ENDLESS, timeout=1)
        assert caught.value.errno == 604
        assert time.monotonic() - began < 30
        assert rows(connection, "select 1") == [(1,)]

    def test_rollback_and_commit(self, connection: SnowflakeConnection) -> None:
        rows(connection, "create or replace table kept (id int)")
        connection.autocommit(False)
        rows(connection, "insert into kept values (1)")
        connection.rollback()
        rows(connection, "insert into kept values (2)")
        connection.commit()
        assert rows(connection, "select id from kept") == [(2,)]

    @pytest.mark.parametrize(
        ("sql", "number", "state"),
        [
            ("selec 1", 1003, "42000"),
            ("select * from nowhere", 2003, "42S02"),
            ("select nothing from (select 1 as a) as t", 904, "42000"),
            ("select no_function(1)", 2140, "42601"),
            ("select 1 / 0", 100051, "22012"),
            ("create table present (a int)", 2002, "42710"),
            ("insert into present (a) values (null)", 100072, "22000"),
            ("insert into present (b) values ('four')", 100078, "22000"),
            ("use database nowhere", 2003, "02000"),
        ],
    )
    def test_error_numbers(
        self, connection: SnowflakeConnection, sql: str, number: int, state: str
    ) -> None:
        rows(connection, "create or replace table present (a int not null default 1, b varchar(3))")
        with pytest.raises(DatabaseError) as caught:
            rows(connection, sql)
        assert (caught.value.errno, caught.value.sqlstate) == (number, state)


class TestSqlalchemy:
    @pytest.fixture
    def engine(self, warehouse: Warehouse, schema: str) -> Iterator[sqlalchemy.Engine]:
        address = URL(
            account="local",
            user="firn",
            password=warehouse.password,
            host="127.0.0.1",
            port=warehouse.port,
            database=DATABASE,
            schema=schema,
        )
        engine = sqlalchemy.create_engine(address, connect_args={"protocol": "http"})
        yield engine
        engine.dispose()

    def test_tables_made_by_metadata(self, engine: sqlalchemy.Engine) -> None:
        table = sqlalchemy.Table(
            "orders",
            sqlalchemy.MetaData(),
            sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True, autoincrement=False),
            sqlalchemy.Column("amount", sqlalchemy.Numeric(12, 2), nullable=False),
            sqlalchemy.Column("placed", sqlalchemy.Date),
            sqlalchemy.Column("name", sqlalchemy.String(20)),
        )
        placed = datetime.date(2024, 2, 29)
        table.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(
                table.insert(),
                [
                    {"id": 1, "amount": Decimal("1.10"), "placed": placed, "name": "it's"},
                    {"id": 2, "amount": Decimal("2.20"), "placed": None, "name": None},
                ],
            )
        with engine.connect() as connection:
            found = connection.execute(sqlalchemy.select(table).order_by(table.c.id)).all()
            total = connection.scalar(sqlalchemy.select(sqlalchemy.func.sum(table.c.amount)))

        assert [tuple(row) for row in found] == [
            (1, Decimal("1.10"), placed, "it's"),
            (2, Decimal("2.20"), None, None),
        ]
        assert total == Decimal("3.30")

    def test_reflection(self, engine: sqlalchemy.Engine) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "create or replace table reflected ("
                "id number(38, 0) not null, amount number(12, 2), name varchar(20), doc variant)"
            )
            connection.exec_driver_sql("create or replace view seen as select id from reflected")
        inspector = sqlalchemy.inspect(engine)

        columns: dict[str, Any] = {
            column["name"]: column for column in inspector.get_columns("reflected")
        }

        assert "reflected" in inspector.get_table_names()
        assert inspector.get_view_names() == ["seen"]
        assert list(columns) == ["id", "amount", "name", "doc"]
        assert not columns["id"]["nullable"]
        assert (columns["amount"]["type"].precision, columns["amount"]["type"].scale) == (12, 2)
        assert columns["name"]["type"].length == 20
        assert isinstance(columns["doc"]["type"], VARIANT)

    def test_rollback(self, engine: sqlalchemy.Engine) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("create or replace table undone (id int)")
        with engine.connect() as connection:
            connection.exec_driver_sql("insert into undone values (1)")
            connection.rollback()
            assert connection.exec_driver_sql("select count(*) from undone").scalar() == 0


class TestDbt:
    def test_debug(self, warehouse: Warehouse, tmp_path: Path) -> None:
        dbt = Path(sys.executable).with_name("dbt")
        done = subprocess.run(
            [dbt, "--no-use-colors", "debug", "--log-path", tmp_path],
            cwd=REPOSITORY / "dbt",
            env=warehouse.environment() | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Connection test: [OK connection ok]" in done.stdout


class TestSnowCommand:
    """The `snow` command lives in an environment of its own, which `make test` builds."""

    SNOW = REPOSITORY / ".venv-snow" / "bin" / "snow"

    def run(self, home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        assert self.SNOW.exists(), "Build it with `make .venv-snow/.installed`."
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("SNOWFLAKE_")
        }
        return subprocess.run(
            [self.SNOW, *arguments],
            env=environment | {"SNOWFLAKE_HOME": str(home), "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def test_temporary_connection(self, warehouse: Warehouse, tmp_path: Path) -> None:
        done = self.run(
            tmp_path, "sql", "--query", "select 1 as one; select current_user() as who",
            "--format", "json", "--temporary-connection", "--account", "local", "--user", "firn",
            "--password", warehouse.password, "--host", "127.0.0.1", "--port", str(warehouse.port),
            "--protocol", "http",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [[{"ONE": 1}], [{"WHO": "FIRN"}]]

    def test_configured_connection_and_a_file(
        self, warehouse: Warehouse, schema: str, tmp_path: Path
    ) -> None:
        config = tmp_path / "config.toml"
        config.write_text(
            "[connections.local]\n"
            'account = "local"\nuser = "firn"\nauthenticator = "snowflake_jwt"\n'
            f'private_key_file = "{warehouse.settings().local_login.key_file}"\n'
            f'host = "127.0.0.1"\nport = {warehouse.port}\nprotocol = "http"\n'
            f'database = "{DATABASE}"\nschema = "{schema}"\n'
        )
        config.chmod(0o600)
        script = tmp_path / "script.sql"
        script.write_text(
            "create or replace table from_snow (id int);\n"
            "insert into from_snow values (1), (2);\n"
            "select sum(id) as total from from_snow;\n"
        )

        done = self.run(
            tmp_path, "sql", "--filename", script, "--format", "json", "--connection", "local"
        )

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)[-1] == [{"TOTAL": 3}]

    def test_error_is_shown(self, warehouse: Warehouse, tmp_path: Path) -> None:
        done = self.run(
            tmp_path, "sql", "--query", "select * from raw.public.nowhere",
            "--temporary-connection", "--account", "local", "--user", "firn",
            "--password", warehouse.password, "--host", "127.0.0.1", "--port", str(warehouse.port),
            "--protocol", "http",
        )  # fmt: skip
        assert done.returncode != 0
        assert "does not exist or not authorized" in " ".join(done.stderr.split())
