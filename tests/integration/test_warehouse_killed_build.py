"""A `dbt build` whose warehouse is killed in the middle, and the one after it."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tenacity import Retrying, stop_after_delay, wait_fixed

from include.domains.tpch import sample as tpch
from tests.conftest import Warehouse
from tests.integration.dbt_runs import dbt_runs

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ORDERS = "TEST_STAGING.STG_TPCH__FCT_ORDERS"


def count(warehouse: Warehouse, table: str) -> int:
    with warehouse.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"select count(*) from {table}")
        [(rows,)] = cursor.fetchall()
    return int(rows)


def test_build_after_a_killed_build_succeeds(own_warehouse: Warehouse, tmp_path: Path) -> None:
    tpch.load(0.01, settings=own_warehouse.settings())
    lines = count(own_warehouse, "SNOWFLAKE_SAMPLE_DATA.TPCH_SF1.LINEITEM")
    with (
        dbt_runs(own_warehouse, tmp_path / "dbt", "tpch", "test") as runs,
        ThreadPoolExecutor() as pool,
    ):
        killed = pool.submit(runs.build, "--full-refresh")
        for attempt in Retrying(stop=stop_after_delay(300), wait=wait_fixed(0.05), reraise=True):
            with attempt:
                assert not killed.done(), killed.result().output
                assert runs.rows(
                    "select 1 from ANALYTICS_DEV.INFORMATION_SCHEMA.TABLES"
                    f" where table_schema || '.' || table_name = '{ORDERS}'"
                )
        health = own_warehouse.process.health()
        assert health
        os.kill(health["pid"], signal.SIGKILL)
        while own_warehouse.process.health(timeout=0.2):
            time.sleep(0.05)
        own_warehouse.process.start()
        assert not killed.result(300).success, "the build must notice that its warehouse is gone"

    # As a command that knows nothing of the one before.
    with dbt_runs(own_warehouse, tmp_path / "again", "tpch", "test") as runs:
        repeated = runs.build("--full-refresh")
    assert repeated.success, repeated.output
    assert count(own_warehouse, "ANALYTICS_DEV.TEST_MART.MART_ORDERS") == lines > 0
