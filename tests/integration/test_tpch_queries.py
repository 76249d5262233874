"""The 22 TPC-H queries answer over the connector what DuckDB answers from the files.

The queries are in the part of Snowflake's SQL that DuckDB reads as it is, so DuckDB runs the very
same text and no translation stands on its side. Parameters are the validation values of the
TPC-H specification.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from snowflake.connector import SnowflakeConnection

from benchmarks.queries import queries
from include.domains.tpch import sample as tpch
from tests.conftest import Warehouse

pytestmark = pytest.mark.integration

# The smallest round scale at which none of the queries is empty.
SCALE = 0.05
QUERIES = queries(SCALE)
SCHEMA = "TPCH_QUERIES"
# Averages and ratios: a number on Snowflake, a double here, so the last digits are nobody's word.
ROUNDED = {"AVG_QTY", "AVG_PRICE", "AVG_DISC", "MKT_SHARE", "PROMO_REVENUE", "AVG_YEARLY"}


@pytest.fixture(scope="module")
def connection(warehouse: Warehouse) -> Iterator[SnowflakeConnection]:
    """A session in a schema that PUT and COPY filled."""
    tpch.load(SCALE, schema=SCHEMA, settings=warehouse.settings())
    with warehouse.connect(database=tpch.DATABASE, schema=SCHEMA) as session:
        yield session


@pytest.fixture(scope="module")
def direct(
    warehouse: Warehouse, connection: SnowflakeConnection
) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB alone, on the files that were loaded."""
    folder = tpch.generate(SCALE, home=warehouse.home)
    with duckdb.connect() as database:
        for table in tpch.TABLES:
            file = folder / f"{table.lower()}.parquet"
            database.read_parquet(str(file)).create_view(table)
        yield database


def test_there_are_22_queries() -> None:
    assert list(QUERIES) == [f"q{number:02}" for number in range(1, 23)]


@pytest.mark.parametrize("query", QUERIES)
def test_same_answer_as_duckdb(
    query: str, connection: SnowflakeConnection, direct: duckdb.DuckDBPyConnection
) -> None:
    sql = QUERIES[query]

    expected = direct.execute(sql)
    columns = [column[0].upper() for column in expected.description or []]
    expected_rows = expected.fetchall()
    cursor = connection.cursor()
    cursor.execute(sql)
    rows = cursor.fetchall()

    assert expected_rows, "An empty answer would be compared with nothing."
    assert any(value is not None for row in expected_rows for value in row)
    assert [column.name for column in cursor.description] == columns
    assert len(rows) == len(expected_rows)
    for row, expected_row in zip(rows, expected_rows, strict=True):
        for column, value, wanted in zip(columns, row, expected_row, strict=True):
            assert _agree(column, value, wanted), (column, row, expected_row)


def _agree(column: str, value: Any, wanted: Any) -> bool:
    if column in ROUNDED:
        return math.isclose(value, wanted, rel_tol=1e-9)
    # A double here would be a sum that lost its cents.
    return not isinstance(value, float) and bool(value == wanted)
