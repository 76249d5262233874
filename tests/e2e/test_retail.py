"""The shop's pipeline through real Airflow, on a real local warehouse of its own.

Two runs: one that makes up its delivery, and one that picks up a next day with a damaged file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from include.domains.retail import sample as retail
from include.orchestration.single_run import DagRunOutcome
from tests.e2e.airflow import Prepared, prepared

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DAG = "retail__sales__daily"
SIZES = retail.Sizes(customers=300, transactions=1_000, products=40, seed=7)
LAYERS = ["run", "source", "staging", "intermediate", "mart", "export"]


class Pipeline(Prepared):
    def run(self, **conf: Any) -> DagRunOutcome:
        return self.run_dag(DAG, **conf)

    def summary(self, run: DagRunOutcome, *columns: str) -> list[tuple[Any, ...]]:
        return self.sql(
            f"select {', '.join(columns)} from RAW.META.RUN_SUMMARY"
            f" where run_id = '{run.run_id}' order by position"
        )

    def exported(self, folder: str) -> int:
        files = self.settings.home / "data" / "exports" / folder / "*.parquet"
        (count,) = duckdb.execute(f"select count(*) from '{files}'").fetchall()[0]
        return int(count)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with prepared(tmp_path_factory.mktemp("firn")) as here:
        yield Pipeline(here.settings, here.variables)


def test_a_run_makes_up_its_delivery_and_takes_it_all_the_way(pipeline: Pipeline) -> None:
    began = datetime.now(UTC).replace(tzinfo=None)
    done = pipeline.run(customers=300, transactions=1_000, products=40, seed=7)
    assert done.succeeded, "\n".join(done.last_lines(40))
    assert set(done.tasks.values()) == {"success"}

    transactions = "analytics_dev.test_intermediate.int_retail__transactions"
    [(rows, completed)] = pipeline.sql(
        f"select count(*), count_if(transaction_status = 'completed') from {transactions}"
    )
    assert rows >= 1_000
    assert completed > 700
    assert pipeline.exported("silver/int_retail__transactions") == rows
    assert pipeline.exported("bronze/products") == 40
    assert pipeline.exported("gold/mart_retail__payment_methods") == 7

    found = pipeline.summary(
        done, "layer", "status", "table_count", "row_count", "delivered", "tests_passed > 0",
        "began_at", "ended_at", "seconds",
    )  # fmt: skip
    assert [row[0] for row in found] == LAYERS
    whole, source, staging, intermediate, mart, export = found
    assert whole[1:4] == ("warning", 0, None)
    assert source[1:6] == ("success", 3, source[4], source[4], True)
    # Products that do not exist and categories that disagree are warned of.
    assert [row[1] for row in found[1:]] == ["success", "success", "warning", "success", "success"]
    assert [row[2] for row in found[1:]] == [3, 3, 5, 6, 17]
    assert export[3] == sum(row[3] for row in (source, staging, intermediate, mart))
    for layer, *_, first, last, seconds in found:
        assert began - timedelta(seconds=1) <= first <= last, layer
        assert abs(float(seconds) - (last - first).total_seconds()) < 0.01, layer

    log = done.log.read_text()
    assert "What the run did" in log
    assert f"│ source       │ success │ {source[6]:%H:%M:%S} │" in log
    assert re.search(r"export\.domain .* domain=retail .* tables=17", log)
    assert re.search(r"dbt\.model .* model=mart_retail\w+ .* status=success", log)
    assert re.search(r"load\.file .* loaded=\d+ .* source=products status=loaded", log)
    assert "assert_retail_categories_agree_with_products warn: Got" in log


def test_a_damaged_file_is_told_and_the_rest_of_the_day_goes_through(pipeline: Pipeline) -> None:
    landing = pipeline.settings.home / "landing"
    # The second day again has what the sample of today has not: changes of the day before.
    for number in (0, 1):
        retail.deliver(retail.START + timedelta(days=number), SIZES, landing=landing)
    damaged = landing / "retail" / "products" / "products_2025-01-01.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    (missing,) = pipeline.sql(
        "select count(*) from analytics_dev.test_staging.stg_retail__products"
    )

    done = pipeline.run()
    assert not done.succeeded
    assert done.failed_tasks == ["refused"]
    assert done.tasks["publish"] == "success"
    assert any("products_2025-01-01.parquet" in line for line in done.last_lines(10))

    found = pipeline.summary(done, "layer", "status", "problems")
    assert [row[1] for row in found] == [
        "failed", "failed", "success", "warning", "success", "success",
    ]  # fmt: skip
    assert "products_2025-01-01.parquet: the file is not Parquet, or is cut off" in found[1][2]
    assert pipeline.exported("bronze/products") == missing[0] + 40
    changed = pipeline.sql(
        "select count(*) from (select transaction_id from RAW.RETAIL.TRANSACTIONS"
        " group by 1 having count(distinct status) > 1) as c"
    )
    assert changed[0][0] > 50
    # Both runs are kept, so that they can be charted.
    assert pipeline.sql(
        "select layer, count(*) from RAW.META.RUN_SUMMARY group by 1 order by 1"
    ) == [(layer, 2) for layer in sorted(LAYERS)]
    assert len(list(Path(landing, "rejected/retail/products").iterdir())) == 2
