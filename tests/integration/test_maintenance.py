"""What is kept long enough goes, and what is still read stays, in a real local warehouse."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from include.commands.firn import app
from include.core.settings import ConfigurationError, Retention
from include.ingestion.chunks import Split, split_file
from include.ingestion.landing import STAMP, discover
from include.ingestion.raw import COMPARISONS, LOADS, REJECTED_ROWS, STAGE
from include.retention import staged
from include.retention.files import remove_files, retained_files
from include.retention.run import clear_stage, clear_tables
from include.warehouse import ledgers
from include.warehouse.connection import ConnectionSettings
from tests.integration.test_ingestion_database import Game
from tests.integration.test_ingestion_load import MERGE, Lane

if TYPE_CHECKING:
    from tests.conftest import Warehouse

RUN_SUMMARY = ledgers.RUN_SUMMARY.table

pytestmark = pytest.mark.integration


@pytest.fixture
def lane(warehouse: Warehouse, tmp_path: Path) -> Lane:
    return Lane(warehouse, tmp_path / "landing", f"d{random.randrange(10**12)}")  # noqa: S311


@pytest.fixture
def game(warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Game]:
    from sqlalchemy.engine import URL

    made = Game(warehouse, tmp_path, URL.create("sqlite", database=str(tmp_path / "game.db")))
    monkeypatch.setenv(made.setting, str(made.url))
    yield made
    made.engine.dispose()


def age(subject: Lane | Game, days: int) -> None:
    """Let everything that a domain has in the books lie so far back."""
    for table, columns in (
        (LOADS, ("started_at", "finished_at")),
        (REJECTED_ROWS, ("rejected_at",)),
        (COMPARISONS, ("compared_at",)),
    ):
        changes = ", ".join(f"{one} = dateadd(day, -{days}, {one})" for one in columns)
        subject.query(f"update {table} set {changes} where domain = '{subject.domain}'")


def book(subject: Lane | Game) -> list[tuple[str, str]]:
    return [
        (str(file), str(status))
        for file, status in subject.query(
            f"select source_file, status from {LOADS} where domain = '{subject.domain}'"
            " order by load_id"
        )
    ]


def clear(subject: Lane | Game, *, dry_run: bool = False) -> dict[str, int]:
    removed = clear_tables(dry_run=dry_run, settings=subject.warehouse.settings())
    return {one.what: one.count for one in removed}


# -- rows ------------------------------------------------------------------------------------------


def test_old_results_of_elementary_go(lane: Lane) -> None:
    settings = lane.warehouse.settings()
    schema = f"{settings.database}.{settings.schema_prefix}elementary"
    lane.query(f"create schema if not exists {schema}")
    lane.query(
        f"create or replace table {schema}.dbt_run_results as"
        " select column1::number as days, dateadd(day, -column1, sysdate()) as created_at"
        " from values (0), (89), (91), (400)"
    )
    table = f"{schema}.dbt_run_results"
    assert clear(lane, dry_run=True)[table] == 2
    assert clear(lane)[table] == 2
    assert lane.query(f"select days from {table} order by days") == [(0,), (89,)]


def test_old_loads_go_and_a_delivery_that_comes_again_is_still_known(lane: Lane) -> None:
    lane.deliver("one.csv", "1,1,a")
    lane.load(**MERGE)
    lane.deliver("one.csv", "1,2,corrected")
    lane.load(**MERGE)
    lane.deliver("bad.csv", "1", header="id;x")
    lane.load(**MERGE)
    lane.deliver("two.csv", "2,2,b")
    lane.load(**MERGE)
    everything = book(lane)
    assert [status for _, status in everything] == [
        "committed",
        "committed",
        "refused",
        "committed",
    ]

    age(lane, 399)
    clear(lane)
    assert book(lane) == everything
    age(lane, 2)
    # The books are those of all domains, of which only this one has become older.
    assert clear(lane, dry_run=True)[LOADS] == 2
    assert book(lane) == everything
    assert clear(lane)[LOADS] == 2
    assert book(lane) == [("one.csv", "committed"), ("two.csv", "committed")]
    assert clear(lane)[LOADS] == 0

    before = lane.table()
    lane.deliver("one.csv", "1,2,corrected")
    lane.deliver("two.csv", "2,2,b")
    assert [result.status for result in lane.load(**MERGE)] == ["unchanged", "unchanged"]
    # The content of a load that is forgotten is a correction of the one that is not.
    lane.deliver("one.csv", "1,1,a")
    assert [result.status for result in lane.load(**MERGE)] == ["loaded"]
    assert before == [("1", "2.00", "corrected"), ("2", "2.00", "b")]
    assert lane.table() == [("1", "1.00", "a"), ("2", "2.00", "b")]


def test_a_replacing_source_still_knows_what_it_holds(lane: Lane) -> None:
    for name, order in (("one.csv", "a"), ("two.csv", "b"), ("two.csv", "c")):
        lane.deliver(name, f"1,1,{order}")
        lane.load(load="replace")
    age(lane, 500)
    clear(lane)
    assert len(book(lane)) == 2
    lane.deliver("two.csv", "1,1,c")
    assert [result.status for result in lane.load(load="replace")] == ["unchanged"]
    assert lane.table() == [("1", "1.00", "c")]


def test_an_appending_source_does_not_take_a_file_twice(lane: Lane) -> None:
    for name in ("one.csv", "two.csv"):
        lane.deliver(name, "1,1,a")
        lane.load(load="append")
    age(lane, 5000)
    clear(lane)
    lane.deliver("one.csv", "1,1,a")
    assert [result.status for result in lane.load(load="append")] == ["unchanged"]
    assert len(lane.table()) == 2


def test_the_watermark_of_a_database_survives(game: Game) -> None:
    from include.ingestion.database import Span
    from tests.integration.test_ingestion_database import NOON

    game.declare(compare_minutes=0)
    for number in range(1, 5):
        game.insert(number, changed=NOON + timedelta(hours=number))
        game.load()
    # A range that is extracted again says nothing of how far the table has been read.
    game.load(Span(NOON - timedelta(days=1), NOON + timedelta(days=1)))
    watermark, rows = game.watermark(), game.raw()
    assert (len(book(game)), rows) == (5, [1, 2, 3, 4])

    age(game, 500)
    clear(game)
    assert len(book(game)) == 2
    comparisons = f"from {COMPARISONS} where domain = '{game.domain}'"
    assert game.query(f"select count(*) {comparisons}") == [(1,)]
    assert game.watermark() == watermark == NOON + timedelta(hours=4)
    game.insert(5, changed=NOON + timedelta(hours=5))
    (delivered, loaded, *_) = game.accounts()
    assert (delivered, loaded) == (3, 1), "what has changed, and the hour before the watermark"
    assert game.raw() == [1, 2, 3, 4, 5]


def test_rejected_rows_go_by_their_age_and_their_load_stays(lane: Lane) -> None:
    lane.deliver("one.csv", "1,1,a", "2,x,b", "3,-1,c")
    lane.load(**MERGE)
    age(lane, 181)
    lane.deliver("two.csv", "4,x,d")
    lane.load(**MERGE)
    assert clear(lane, dry_run=True)[REJECTED_ROWS] == 2
    assert clear(lane)[REJECTED_ROWS] == 2
    left = lane.query(f"select source_file from {REJECTED_ROWS} where domain = '{lane.domain}'")
    assert left == [("two.csv",)]
    assert len(book(lane)) == 2


def test_runs_go_by_the_time_they_were_recorded(warehouse: Warehouse, lane: Lane) -> None:
    lane.query("create schema if not exists RAW.META")
    lane.query(ledgers.RUN_SUMMARY.create)
    dag = lane.domain
    for days in (401, 399):
        lane.query(
            f"insert into {RUN_SUMMARY} (dag_id, run_id, domain, target, layer, position, status,"
            " table_count, tests_passed, tests_warned, tests_failed, tests_skipped, recorded_at)"
            f" select '{dag}', '{days}', 'sales', 'local', 'run', 1, 'success', 0, 0, 0, 0, 0,"
            f" dateadd(day, -{days}, sysdate())"
        )
    assert clear(lane)[RUN_SUMMARY] == 1
    assert lane.query(f"select count(*) from {RUN_SUMMARY} where dag_id = '{dag}'") == [(1,)]


# -- the stage -------------------------------------------------------------------------------------


def test_what_abandoned_attempts_left_goes_and_a_running_load_keeps_its_own(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt(name: str) -> str:
        lane.deliver(name, "1,1,a")
        source = lane.source(**MERGE)
        (delivery,) = discover(source, lane.landing)
        split = split_file(
            source, delivery, lane.landing / ".chunks", settings=lane.warehouse.settings()
        )
        assert isinstance(split, Split)
        delivery.path.unlink()
        file = lane.landing / "chunk.parquet"
        file.write_text("staged")
        lane.query(f"put 'file://{file}' @{STAGE}/{split.attempt_id}/rows/")
        lane.query(f"create table RAW.META.LOAD_{split.attempt_id.upper()}_1 (id int)")
        lane.query(f"create table RAW.META.LOAD_{split.attempt_id.upper()} (id int)")
        return str(split.attempt_id)

    def left(name: str) -> tuple[int, int]:
        tables = lane.query(
            "select count(*) from RAW.INFORMATION_SCHEMA.TABLES where table_schema = 'META'"
            f" and table_name like 'LOAD!_{name.upper()}%' escape '!'"
        )
        return int(tables[0][0]), len(lane.query(f"list @{STAGE}/{name}/"))

    gone, running = attempt("one.csv"), attempt("two.csv")
    # A pickup that was killed between two stages.
    picked_up = f"taken/{lane.domain}/orders/taken-0123456789ab"
    lane.query(f"put 'file://{lane.landing / 'chunk.parquet'}' @{STAGE}/{picked_up}/")
    settings = lane.warehouse.settings()
    assert [one.count for one in clear_stage(dry_run=False, settings=settings)] == [0, 0, 0]
    assert left(gone) == left(running) == (2, 1)

    # From here on everything is old but what is said to have started tomorrow.
    monkeypatch.setattr(staged, "DAYS", 0)
    lane.query(
        f"update {LOADS} set started_at = dateadd(day, 1, sysdate()) where attempt_id = '{running}'"
    )
    planned = clear_stage(dry_run=True, settings=settings)
    assert left(gone) == (2, 1)
    done = clear_stage(dry_run=False, settings=settings)
    assert [one.count for one in planned] == [one.count for one in done]
    assert all(one.count >= 1 for one in done[:2])
    assert left(gone) == (0, 0)
    assert lane.query(f"list @{STAGE}/{picked_up}/") == []
    assert left(running) == (2, 1)


# -- files -----------------------------------------------------------------------------------------


def _old(path: Path, days: float, *, folder: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if folder else path.write_text("kept")
    moment = time.time() - days * 86_400
    os.utime(path, (moment, moment), follow_symlinks=False)
    return path


def test_old_files_go_by_the_time_that_counts_for_them(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = ConnectionSettings(firn_home=tmp_path)
    landing, exports = tmp_path / "landing", tmp_path / "data" / "exports"

    def moved(days: int) -> str:
        return f"{datetime.now(UTC) - timedelta(days=days):{STAMP}}-abc-day.csv"

    versions = exports / ".versions" / "gold" / "orders"
    gone = [
        # Changed by who delivered it just now, archived long ago.
        _old(landing / "archive" / "sales" / "orders" / moved(181), 0),
        _old(landing / "rejected" / "sales" / "orders" / f"{moved(181)}.reason.txt", 0),
        _old(landing / ".chunks" / "a1", 3, folder=True),
        _old(landing / ".taken-0123456789ab", 3, folder=True),
        _old(versions / ".20250101_ab", 3, folder=True),
        _old(exports / "gold" / ".orders.20250101_ab", 3),
        _old(tmp_path / "dbt" / "builds" / "sales__orders__1h" / "dbt.log.3", 91),
        _old(tmp_path / "logs" / "airflow-scheduler.log", 91),
        _old(tmp_path / "airflow" / "logs" / "dag_id=x" / "run_id=y" / "attempt=1.log", 91),
    ]
    (landing / ".chunks" / "a1" / "1.rows.parquet").write_text("chunk")
    os.utime(landing / ".chunks" / "a1", (0, 0))
    stay = [
        _old(landing / "archive" / "sales" / "orders" / moved(179), 1000),
        _old(landing / "archive" / "sales" / "orders" / "of-somebody.csv", 1000),
        _old(landing / "sales" / "orders" / "waiting.csv", 1000),
        _old(landing / ".chunks" / "a2", 1, folder=True),
        _old(landing / ".taken-ba9876543210", 1, folder=True),
        _old(versions / ".20260101_cd", 1, folder=True),
        _old(versions / "20250101_ef", 1000, folder=True),
        _old(tmp_path / "dbt" / "builds" / "sales__orders__1h" / "dbt.log", 89),
        _old(tmp_path / "airflow" / "logs" / "dag_id=x" / "attempt=1.log", 1),
        _old(tmp_path / "warehouse" / "raw.db", 1000),
    ]
    link = exports / "gold" / "orders"
    link.symlink_to("../.versions/gold/orders/20250101_ef")
    rules = retained_files(Retention(), settings)

    planned = remove_files(rules, dry_run=True)
    assert all(path.exists() for path in gone)
    removed = remove_files(rules, dry_run=False)
    assert planned == removed
    assert sum(one.count for one in removed) == len(gone)
    assert [path for path in gone if path.exists()] == []
    assert [path for path in [*stay, link] if not path.exists()] == []
    assert not (tmp_path / "airflow" / "logs" / "dag_id=x" / "run_id=y").exists()
    assert {one.count for one in remove_files(rules, dry_run=False)} == {0}


# -- settings and command --------------------------------------------------------------------------


def test_a_setting_that_is_no_number_of_days_is_told(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("FIRN_KEEP_LOADS_DAYS", "6")
    clean_environment.setenv("FIRN_KEEP_LOGS_DAYS", "soon")
    with pytest.raises(ConfigurationError) as told:
        Retention()
    days = "set it to a whole number of days from 7 to 36500."
    assert told.value.problems == [
        f"FIRN_KEEP_LOADS_DAYS is '6' in the environment: {days}",
        f"FIRN_KEEP_LOGS_DAYS is 'soon' in the environment: {days}",
    ]


def test_the_command_counts_and_deletes(
    warehouse: Warehouse, lane: Lane, clean_environment: pytest.MonkeyPatch
) -> None:
    lane.deliver("one.csv", "1,x,a")
    lane.load(**MERGE)
    age(lane, 181)
    for name, value in warehouse.settings().environment().items():
        clean_environment.setenv(name, value)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["retention", *arguments])

    planned = run("--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "would go" in planned.output
    assert clear(lane, dry_run=True)[REJECTED_ROWS] == 1
    done = run()
    assert done.exit_code == 0, done.output
    assert clear(lane, dry_run=True)[REJECTED_ROWS] == 0
    clean_environment.setenv("FIRN_KEEP_FILES_DAYS", "0")
    wrong = run()
    assert wrong.exit_code == 2
