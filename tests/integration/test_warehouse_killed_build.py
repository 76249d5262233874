"""A `dbt build` whose warehouse is killed in the middle, and the one after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from include.sample_data import tpch

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PROJECT = Path(__file__).parents[2] / "dbt"


def start_build(warehouse, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["dbt", "build", "--select", "path:*/**/tpch", "--full-refresh"],
        cwd=PROJECT,
        env=warehouse.environment()
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def line_count(warehouse, table: str) -> int:
    with warehouse.connect() as connection:
        row = connection.cursor().execute(f"select count(*) from {table}").fetchone()
    return int(row[0])


def test_build_after_a_killed_build_succeeds(own_warehouse, tmp_path):
    tpch.load(0.01, settings=own_warehouse.settings())
    killed = start_build(own_warehouse, tmp_path)
    assert killed.stdout is not None
    seen = []
    for line in killed.stdout:
        seen.append(line)
        if "OK created" in line and "fct_orders" in line:
            break
    else:
        pytest.fail("the build ended before orders were loaded:\n" + "".join(seen))
    os.kill(own_warehouse.process.health()["pid"], signal.SIGKILL)
    while own_warehouse.process.health(timeout=0.2):
        time.sleep(0.05)
    own_warehouse.process.start()
    killed.communicate(timeout=300)
    assert killed.returncode != 0, "the build must notice that its warehouse is gone"

    repeated = start_build(own_warehouse, tmp_path)
    output, _ = repeated.communicate(timeout=300)
    assert repeated.returncode == 0, output
    lines = line_count(own_warehouse, "SNOWFLAKE_SAMPLE_DATA.TPCH_SF1.LINEITEM")
    assert line_count(own_warehouse, "ANALYTICS_DEV.TEST_MART.MART_ORDERS") == lines > 0
