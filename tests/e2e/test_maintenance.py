"""Maintenance through real Airflow: what it counts, what it deletes, and what still adds up."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from include.domains.forex import sample as forex
from include.ingestion.loader import load_source
from include.ingestion.sources import load_domain
from include.orchestration.single_run import DagRunOutcome
from include.project.paths import dbt_executable, dbt_project
from tests.e2e.airflow import Prepared, prepared

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DAG = "platform__maintenance__daily"


class Platform(Prepared):
    def run(self, **conf: Any) -> DagRunOutcome:
        return self.run_dag(DAG, **conf)

    def counts(self) -> tuple[int, int]:
        """Loads, rejected rows."""
        [(loads, rejected)] = self.sql(
            "select (select count(*) from RAW.META.LOADS),"
            " (select count(*) from RAW.META.REJECTED_ROWS)"
        )
        return int(loads), int(rejected)

    def accounts(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(dbt_executable(), "test", "--project-dir", str(dbt_project())),
                *("--profiles-dir", str(dbt_project()), "--target-path", self.target),
                *("--log-path", self.target, "--select"),
                "source:forex.customer_transactions,test_name:accounts_add_up",
            ],
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def target(self) -> str:
        return str(self.settings.home / "dbt" / "by-hand")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with prepared(tmp_path_factory.mktemp("firn")) as here:
        yield Platform(here.settings, here.variables)


def test_a_night_of_maintenance(platform: Platform) -> None:
    landing = platform.settings.home / "landing"

    def load() -> list[str]:
        (source,) = load_domain("forex").sources
        loaded = load_source(source, settings=platform.settings, landing=landing)
        return [file.status for file in loaded.files]

    def deliver() -> None:
        forex.deliver(1, 2_000, settings=platform.settings)

    deliver()
    assert set(load()) == {"loaded"}
    # A load of long ago: one of its rows was rejected, and an earlier try was refused.
    platform.sql(
        "update RAW.META.LOADS set delivered = delivered + 1, rejected = rejected + 1,"
        " started_at = dateadd(day, -500, started_at),"
        " finished_at = dateadd(day, -500, finished_at)"
    )
    platform.sql(
        "insert into RAW.META.REJECTED_ROWS (load_id, domain, source, source_file, row_number,"
        " reason, rejected_at) select load_id, domain, source, source_file, 1, 'wrong',"
        " finished_at from RAW.META.LOADS"
    )
    platform.sql(
        "insert into RAW.META.LOADS (load_id, content_id, attempt_id, domain, source, source_file,"
        " file_bytes, load_mode, status, started_at, finished_at)"
        " select '2000', 'x', 'x', domain, source, 'refused.csv', 1, load_mode, 'refused',"
        " started_at, finished_at from RAW.META.LOADS"
    )
    (loads, rejected) = before = platform.counts()
    assert rejected >= 1

    counted = platform.run(dry_run=True)
    assert counted.succeeded, counted.last_lines(40)
    assert set(counted.tasks) == {"clear_tables", "clear_stage", "clear_files"}
    assert platform.counts() == before
    said = counted.log.read_text()
    assert re.search(
        rf"retention\.planned .* count={rejected} .* what=RAW\.META\.REJECTED_ROWS", said
    )

    done = platform.run()
    assert done.succeeded, done.last_lines(40)
    assert platform.counts() == (loads - rejected, 0)
    assert re.search(r"retention\.table .* rows=\d+ .* task_id=clear_tables", done.log.read_text())

    # What was loaded is still known, and the books still add up.
    deliver()
    assert set(load()) == {"unchanged"}
    tested = platform.accounts()
    assert tested.returncode == 0, tested.stdout
    assert "PASS=1" in tested.stdout


def test_what_is_lost_before_its_time_is_still_found(platform: Platform) -> None:
    platform.sql("update RAW.META.LOADS set finished_at = dateadd(day, 330, finished_at)")
    tested = platform.accounts()
    assert tested.returncode == 1, tested.stdout
    assert "FAIL 1" in tested.stdout
