"""The forex pipeline through real Airflow, on a real local warehouse of its own.

Each test continues from the one before it: two deliveries, then a full refresh.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from include.commands.firn import app
from include.domains.forex import sample as forex
from include.ingestion.sources import load_domain
from include.orchestration.single_run import DagRunOutcome
from include.project.builds import NodeResult, builds_folder, read_run_results
from tests.e2e.airflow import Prepared, prepared

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DAG = "forex__customer_transactions__hourly"
# One row more than a chunk holds, so that each file is loaded by two tasks.
ROWS = load_domain("forex").source("customer_transactions").chunk_rows + 1


class Pipeline(Prepared):
    def run(self, **conf: Any) -> tuple[DagRunOutcome, dict[str, NodeResult]]:
        """The outcome, and each node's result by name."""
        outcome = self.run_dag(DAG, **conf)
        results = read_run_results(builds_folder(DAG, self.variables)) if outcome.built else []
        return outcome, {node.name: node for node in results}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with prepared(tmp_path_factory.mktemp("firn")) as here:
        yield Pipeline(here.settings, here.variables)


def test_chunks_of_a_delivery_become_marts(pipeline: Pipeline) -> None:
    delivered = forex.deliver(1, ROWS, settings=pipeline.settings)
    outcome, nodes = pipeline.run()
    assert outcome.succeeded, "\n".join(outcome.last_lines(40))
    assert outcome.tasks["publish"] == "success"
    assert outcome.tasks["forex.mart.mart_forex__sales_monthly"] == "success"
    log = outcome.log.read_text()
    assert log.count("starting task_id=ingest.load ") == 2, "one task for each chunk"

    [(rows, delivered_rows, superseded)] = pipeline.sql(
        "select (select count(*) from RAW.FOREX.CUSTOMER_TRANSACTIONS), delivered, superseded"
        " from RAW.META.LOADS where status = 'committed'"
    )
    assert (rows, delivered_rows) == (ROWS, delivered.rows)
    assert superseded == delivered.rows - ROWS
    divided = pipeline.sql(
        """
        select
            (select count(*) from analytics_dev.test_intermediate.int_forex__transactions)
            + (
                select count(*)
                from analytics_dev.test_intermediate.int_forex__rejected_transactions
            )
            + (
                select count(*)
                from analytics_dev.test_intermediate.int_forex__parsed_transactions
                where reject_reason is null and quantity is null
            )
        """
    )
    assert divided == [(ROWS,)]
    assert {node.status for node in nodes.values()} == {"success", "pass", "warn"}


def test_a_refused_file_holds_nothing_back_and_what_is_known_is_not_merged_again(
    pipeline: Pipeline,
) -> None:
    forex.deliver(1, ROWS, settings=pipeline.settings)
    broken = forex.deliver_broken(settings=pipeline.settings)
    outcome, nodes = pipeline.run()
    # The run is red for the refused files alone. The good file is known, so nothing is built.
    assert outcome.failed_tasks == ["ingest.refused"] or outcome.failed_tasks == ["refused"]
    assert outcome.unchanged
    assert nodes == {}
    assert outcome.tasks["publish"] == "success"
    landing = pipeline.settings.home / "landing"
    refused = landing / "rejected" / "forex" / "customer_transactions"
    assert len(list(refused.glob("*.reason.txt"))) == len(broken) == 4
    assert not list((landing / "forex" / "customer_transactions").glob("*.csv"))
    said = "\n".join(outcome.last_lines(10))
    assert "column customer_city is missing" in said


def test_a_full_refresh_builds_anew(pipeline: Pipeline) -> None:
    forex.deliver(1, ROWS, settings=pipeline.settings)
    outcome, nodes = pipeline.run(is_full_refresh=True)
    assert outcome.succeeded, "\n".join(outcome.last_lines(40))
    # Built anew, a table reports itself and not the rows of a merge.
    assert nodes["int_forex__transactions"].rows != 0


def test_a_range_is_built_again_by_a_command(pipeline: Pipeline) -> None:
    runner = CliRunner(env=pipeline.variables)
    done = runner.invoke(app, ["backfill", "forex", "2024-01-01", "2024-02-01"])
    assert done.exit_code == 0, done.output
    assert f"{DAG}: 2024-01-01 00:00:00 to 2024-02-01 00:00:00" in done.output
    assert "forex.dbt_producer_watcher" in done.output
    nodes = {one.name: one for one in read_run_results(builds_folder(DAG, pipeline.variables))}
    # Of the others of these rows, nothing is compared or written.
    months = "select count(*) from analytics_dev.test_intermediate.int_forex__transactions"
    [(rows,)] = pipeline.sql(
        f"{months} where transaction_date >= '2024-01-01' and transaction_date < '2024-02-01'"
    )
    assert (nodes["int_forex__transactions"].rows or 0) <= rows


def test_a_parameter_of_another_type_is_refused_before_anything_runs(pipeline: Pipeline) -> None:
    refused, _ = pipeline.run(is_full_refresh="perhaps")
    assert not refused.succeeded
    assert refused.tasks == {}
    assert "is_full_refresh" in refused.log.read_text()
