"""TPC-H, generated and loaded into a real local warehouse."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from include.commands.firn import app
from include.domains.tpch import sample as tpch
from include.project.domains import SampleDataError
from include.warehouse.connection import ConnectionSettings

pytestmark = pytest.mark.integration

SCALE = 0.001


@pytest.fixture
def settings(warehouse: Any) -> ConnectionSettings:
    found: ConnectionSettings = warehouse.settings()
    return found


def test_every_table_is_loaded_whole_once_and_replaced_by_another_scale(
    warehouse: Any, settings: ConnectionSettings
) -> None:
    said: list[str] = []
    schema = "TPCH_LOADED"
    first = tpch.load(SCALE, schema=schema, settings=settings, progress=said.append)
    assert [table.table for table in first] == list(tpch.TABLES)
    assert {table.table: table.rows for table in first} | {"LINEITEM": 0} == {
        "REGION": 5,
        "NATION": 25,
        "CUSTOMER": 150,
        "SUPPLIER": 10,
        "PART": 200,
        "PARTSUPP": 800,
        "ORDERS": 1500,
        "LINEITEM": 0,
    }
    assert all(table.loaded for table in first)
    assert said[-1] == "Loading LINEITEM"

    again = tpch.load(SCALE, schema=schema, settings=settings, progress=said.append)
    assert not any(table.loaded for table in again)
    assert [table.rows for table in again] == [table.rows for table in first]

    larger = tpch.load(SCALE * 2, schema=schema, settings=settings)
    assert all(table.loaded for table in larger)
    assert {table.table: table.rows for table in larger}["ORDERS"] == 3000

    with warehouse.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "select table_name from snowflake_sample_data.information_schema.tables"
            " where table_schema = %s order by 1",
            (schema,),
        )
        assert [row[0] for row in cursor.fetchall()] == sorted(tpch.TABLES)


def test_names_types_and_values_are_those_of_the_shared_sample(
    warehouse: Any, settings: ConnectionSettings
) -> None:
    tpch.load(SCALE, schema="TPCH_TYPES", settings=settings)
    with warehouse.connect() as connection, connection.cursor() as cursor:
        for table, columns in tpch.TABLES.items():
            cursor.execute(f"describe table snowflake_sample_data.tpch_types.{table}")
            described = {row[0]: (row[1].lower(), row[3]) for row in cursor.fetchall()}
            assert described == {
                name: (
                    kind.removesuffix(" not null").replace(", ", ","),
                    "N" if kind.endswith("not null") else "Y",
                )
                for name, kind in columns.items()
            }
        cursor.execute(
            "select o_orderkey, o_custkey, o_totalprice, o_orderdate"
            " from snowflake_sample_data.tpch_types.orders order by o_orderkey limit 1"
        )
        key, customer, total, date = cursor.fetchone()
        assert (key, str(date)) == (1, "1996-01-02")
        assert str(total) == "131251.81"
        assert customer == 37


def test_a_generator_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tpchgen-cli").write_text("#!/bin/sh\necho no room >&2\nexit 3\n")
    (tmp_path / "tpchgen-cli").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SampleDataError, match="no room"):
        tpch.generate(SCALE, home=tmp_path)
    assert list((tmp_path / "sample_data" / "tpch").iterdir()) == []


@pytest.mark.parametrize("scale", [0, -1, 1000])
def test_a_scale_out_of_range_is_refused(tmp_path: Path, scale: float) -> None:
    with pytest.raises(SampleDataError, match="is not a scale"):
        tpch.generate(scale, home=tmp_path)


def _command(*arguments: str, **variables: str) -> Result:
    return CliRunner(env=variables).invoke(app, ["sample", "tpch", *arguments])


def test_the_command_loads_and_counts(warehouse: Any) -> None:
    arguments = ("--scale", str(SCALE), "--schema", "TPCH_COMMAND")
    done = _command(*arguments, **warehouse.settings().environment())
    assert done.exit_code == 0, done.stderr
    assert "ORDERS           1,500 rows" in done.stdout
    assert "unchanged" in _command(*arguments, **warehouse.settings().environment()).stdout


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["--schema", "a; drop table x"], {}, "is not a schema name"),
        (["--scale", "0"], {}, "0 is not a scale"),
        (["--scale", "0.001"], {"FIRN_LOCAL_PORT": "1"}, "does not answer on 127.0.0.1:1"),
        (
            [],
            {
                "FIRN_TARGET": "prod",
                "SNOWFLAKE_ACCOUNT": "org-acc",
                "SNOWFLAKE_USER": "u",
                "SNOWFLAKE_PASSWORD": "p",
                "SNOWFLAKE_WAREHOUSE": "w",
            },
            "is a read-only share",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], sentence: str
) -> None:
    done = _command(*arguments, FIRN_HOME=str(tmp_path), **variables)
    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.split())
    assert isinstance(done.exception, SystemExit)
