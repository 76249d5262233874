"""A table of an operational database on its way into a raw table: real PostgreSQL, and SQLite."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import yaml
from snowflake.connector.errors import ProgrammingError
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from include.commands.firn import app
from include.domains.gaming import sample as gaming
from include.ingestion import database as extraction
from include.ingestion.comparison import UNFINISHED, Comparison
from include.ingestion.database import Span
from include.ingestion.errors import IngestionError
from include.ingestion.landing import Delivery
from include.ingestion.loader import load_source
from include.ingestion.raw import COMPARISONS, LOADS, Raw
from include.ingestion.results import STEPS, FileResult, SourceResult
from include.ingestion.sources import Column, DatabaseFormat, Source

if TYPE_CHECKING:
    from tests.conftest import Warehouse

pytestmark = pytest.mark.integration

EVENTS = """
name: events
load: add
key: [id]
chunk_rows: 2
format: {type: database, table: app.events, watermark: changed, event_time: happened}
columns:
  - {name: happened}
  - {name: id, type: integer}
  - {name: amount, type: "number(10, 2)"}
  - {name: weight, type: float}
  - {name: changed, type: timestamp}
"""
NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001
TABLE = """
create table {schema}events (
    happened {moment}, id integer, amount numeric(10, 2), weight double precision, changed {moment}
)
"""


class Killed(Exception):  # noqa: N818
    pass


class Game:
    """An operational database with one table, and the raw table it is extracted into."""

    def __init__(self, warehouse: Warehouse, home: Path, url: URL) -> None:

        self.warehouse, self.home, self.url = warehouse, home, url
        self.domain = f"g{random.randrange(10**12)}"  # noqa: S311
        self.source = Source(**yaml.safe_load(EVENTS)).model_copy(update={"domain": self.domain})
        self.setting = extraction.url_setting(self.domain)
        self.sqlite = url.get_backend_name() == "sqlite"
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.table = "events" if self.sqlite else "app.events"
        if not self.sqlite:
            self.do("drop schema if exists app cascade")
            self.do("create schema app")
        self.do(
            TABLE.format(
                schema="" if self.sqlite else "app.", moment="text" if self.sqlite else "timestamp"
            )
        )

    def do(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def insert(
        self, number: int, *, happened: Any = NOON, changed: Any = NOON, **more: Any
    ) -> None:
        values = {"amount": 1.5, "weight": 0.1, **more, "id": number}
        moments = {"happened": happened, "changed": changed}
        if self.sqlite:
            moments = {name: value and str(value) for name, value in moments.items()}
        self.do(
            f"insert into {self.table} (happened, id, amount, weight, changed)"
            " values (:happened, :id, :amount, :weight, :changed)",
            **values,
            **moments,
        )

    def run(self, **more: Any) -> SourceResult:
        return load_source(
            self.source,
            settings=self.warehouse.settings(),
            landing=self.home / "landing",
            **more,
        )

    def load(
        self, span: Span | None = None, checkpoint: Callable[[str], None] = lambda _: None
    ) -> FileResult | None:
        result = self.run(span=span, checkpoint=checkpoint)
        return result.files[0] if result.files else None

    def compared(self, **more: Any) -> Comparison:
        """What the comparison of a load has found."""
        found = self.run(**more).comparison
        assert found is not None
        assert found.problem is None
        return found

    def declare(self, **database: Any) -> None:
        """Change how the table is read."""
        form = self.source.format.model_copy(update=database)
        self.source = self.source.model_copy(update={"format": form})

    def accounts(self, span: Span | None = None) -> tuple[int, int, int, int]:
        loaded = self.load(span)
        assert loaded is not None
        assert loaded.accounts is not None, loaded
        counted = loaded.accounts
        return counted.delivered, counted.loaded, counted.rejected, counted.superseded

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.warehouse.connect(database="RAW") as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    def raw(self, columns: str = "id") -> list[Any]:
        rows = self.query(f"select {columns} from RAW.{self.domain}.EVENTS")
        return sorted(row[0] if len(row) == 1 else row for row in rows)

    def watermark(self) -> Any:
        [(latest,)] = self.query(
            f"select max(watermark) from {LOADS} where domain = '{self.domain}'"
        )
        return latest


@pytest.fixture(params=["postgresql", "sqlite"])
def game(
    request: pytest.FixtureRequest,
    warehouse: Warehouse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Game:
    if request.param == "sqlite":
        url = URL.create("sqlite", database=str(tmp_path / "game.db"))
    else:
        url = request.getfixturevalue("server")
    made = Game(warehouse, tmp_path, url)
    monkeypatch.setenv(made.setting, url.render_as_string(hide_password=False))
    return made


@pytest.fixture
def on_postgres(
    server: URL, warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Game:
    made = Game(warehouse, tmp_path, server)
    monkeypatch.setenv(made.setting, server.render_as_string(hide_password=False))
    return made


def test_changes_are_followed_and_nothing_comes_twice_or_too_few_times(game: Game) -> None:
    assert game.load() is None
    assert game.raw() == []

    game.insert(1, happened=NOON + timedelta(microseconds=250_000))
    game.insert(2, amount=None, weight=1 / 3)
    game.insert(3)
    game.insert(3)  # twice in the source is twice here
    game.insert(4, changed=None, happened=None)
    assert game.accounts() == (5, 5, 0, 0)
    assert game.raw() == [1, 2, 3, 3, 4]
    assert game.watermark() == NOON
    assert game.query(
        f"select happened, amount::varchar, weight, changed from RAW.{game.domain}.EVENTS"
        " where id = 2"
    ) == [("2026-03-01 12:00:00" + ".000000" * (not game.sqlite), None, 1 / 3, NOON)]

    # Nothing new: the overlap is read again, and what has no time of change. That is no load.
    assert game.load() is None
    assert game.load() is None
    assert game.query(f"select count(*) from {LOADS} where domain = '{game.domain}'") == [(1,)]

    # Late by the event's time, late by its commit, and corrected in place.
    game.insert(5, happened=NOON - timedelta(days=300), changed=NOON + timedelta(minutes=5))
    game.insert(6, changed=NOON - timedelta(minutes=59))
    game.do(
        f"update {game.table} set amount = 9, changed = :now where id = 1",
        now=str(NOON + timedelta(minutes=6)) if game.sqlite else NOON + timedelta(minutes=6),
    )
    assert game.accounts() == (7, 3, 0, 4)
    assert game.raw("id, amount::varchar")[:2] == [(1, "1.50"), (1, "9.00")]
    assert game.watermark() == NOON + timedelta(minutes=6)

    # One more of a row that is there, now three times.
    game.insert(3)
    assert game.accounts()[1] == 1
    assert game.raw().count(3) == 3
    assert game.load() is None
    # As many rows as before, but others: one in place of another, and one value of another row.
    game.do(f"delete from {game.table} where id = 6")
    game.insert(7, changed=NOON - timedelta(minutes=20))
    assert game.accounts()[1] == 1
    game.do(f"update {game.table} set amount = 8 where id = 7")
    assert game.accounts()[1] == 1
    assert list((game.home / "landing").rglob("*.parquet")) == []


def test_a_range_is_replaced_and_nothing_outside_of_it(game: Game) -> None:
    for hour in range(6):
        game.insert(hour, happened=NOON + timedelta(hours=hour))
    game.insert(2, happened=NOON + timedelta(hours=2))
    game.load()
    outside = f"select * from RAW.{game.domain}.EVENTS where id not in (1, 2, 7)"
    before = sorted(game.query(outside))

    # Changes that no time of change tells of; those at 0 and 3 are outside of the range.
    game.do(f"delete from {game.table} where id in (0, 1, 3)")
    game.do(f"update {game.table} set amount = 7 where id = 2")
    game.insert(7, happened=NOON + timedelta(hours=1), changed=NOON - timedelta(days=9))
    span = Span(NOON + timedelta(hours=1), NOON + timedelta(hours=3))
    assert game.accounts(span) == (3, 3, 0, 0)
    assert game.raw("id, amount::varchar") == [
        *((0, "1.50"), (2, "7.00"), (2, "7.00"), (3, "1.50")),
        *((4, "1.50"), (5, "1.50"), (7, "1.50")),
    ]
    assert sorted(game.query(outside)) == before
    # A range says nothing of how far the rest has been read.
    assert game.watermark() == NOON

    assert game.accounts(Span()) == (5, 0, 0, 5)
    assert game.raw() == [2, 2, 4, 5, 7]

    game.do(f"delete from {game.table}")
    assert game.accounts(span) == (0, 0, 0, 0)
    assert game.raw() == [4, 5]


def test_an_empty_raw_table_is_filled_from_the_beginning(game: Game) -> None:
    game.insert(1, changed=NOON - timedelta(days=30))
    game.insert(2)
    game.load()
    game.query(f"delete from RAW.{game.domain}.EVENTS")
    assert game.accounts() == (2, 2, 0, 0)


def test_a_change_dated_into_the_future_hides_nothing(on_postgres: Game) -> None:
    game = on_postgres
    game.insert(1, changed=datetime(2999, 1, 1))  # noqa: DTZ001
    game.load()
    assert game.watermark() < datetime(2998, 1, 1)  # noqa: DTZ001


def test_values_that_are_not_of_their_type_are_rejected_row_by_row(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = Game(warehouse, tmp_path, URL.create("sqlite", database=str(tmp_path / "game.db")))
    monkeypatch.setenv(game.setting, str(game.url))
    game.insert(1, happened="once upon a time")
    game.insert(2, amount="much")
    game.insert(3, changed="now")
    assert game.accounts() == (3, 1, 2, 0)
    assert game.raw("happened") == ["once upon a time"]
    assert game.load() is None, "what is no time of change comes once"
    assert game.query(
        "select distinct column_name from RAW.META.REJECTED_ROWS"
        f" where domain = '{game.domain}' order by 1"
    ) == [("amount",), ("changed",)]


def test_it_ends_at_any_step_and_the_next_run_has_every_row_once(on_postgres: Game) -> None:
    class EndedError(Exception):
        pass

    game = on_postgres
    present: list[int] = []
    reached: Counter[str] = Counter()
    for number, wanted in enumerate(STEPS):
        game.insert(number, changed=NOON + timedelta(minutes=number))
        present.append(number)

        def end_there(step: str, wanted: str = wanted) -> None:
            reached[step] += 1
            if step == wanted:
                raise EndedError

        with pytest.raises(EndedError):
            game.load(checkpoint=end_there)
        game.load()
        assert game.raw() == present, wanted
    assert set(reached) == set(STEPS)
    open_loads = game.query(
        f"select count(*) from {LOADS} where domain = '{game.domain}' and status = 'committed'"
        " and delivered <> loaded + rejected + superseded"
    )
    assert open_loads == [(0,)]


def test_rows_are_streamed_and_not_held(on_postgres: Game) -> None:
    game = on_postgres
    game.do(
        f"insert into {game.table} select :noon, n, 1, 0.5, :noon from generate_series(1, 5000) n",
        noon=NOON,
    )
    seen: list[int] = []
    as_text = extraction._as_text

    def watched(rows: Any, schema: Any) -> Any:
        seen.append(len(rows))
        return as_text(rows, schema)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "_as_text", watched)
        wide = game.source.model_copy(update={"chunk_rows": 1000})
        delivery = extraction.extract(wide, game.home / "landing").delivery
    assert isinstance(delivery, Delivery)
    assert seen == [1000] * 5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda url: url.set(password="wrong-secret"), "password authentication failed"),
        (lambda url: url.set(query={"host": "/nowhere"}), "cannot be read"),
        (lambda url: url.set(drivername="postgresql+nothing"), "driver is not installed"),
        (lambda _: "postgresql+psycopg//game:wrong-secret@db", "is not a database URL"),
        (lambda _: "sqlite:////nowhere/game.db", "no operational database at /nowhere/game.db"),
    ],
)
def test_a_database_that_cannot_be_read_is_one_sentence_without_a_secret(
    on_postgres: Game,
    wrong: Callable[[URL], URL | str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    game = on_postgres
    url = wrong(game.url)
    text = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    monkeypatch.setenv(game.setting, text)
    with pytest.raises(IngestionError) as refused:
        game.load()
    message = str(refused.value)
    assert said in message
    assert game.setting in message
    assert "secret" not in message
    assert refused.value.__cause__ is None
    assert game.raw() == []


# -- values ----------------------------------------------------------------------------------------


def test_odd_values_are_loaded_exactly_or_rejected_and_the_overlap_adds_nothing(
    on_postgres: Game,
) -> None:
    game = on_postgres
    game.do(
        "create table app.odd (id integer, u uuid, j jsonb, n numeric, i interval,"
        ' "createdAt" date, changed timestamptz)'
    )
    game.source = Source(
        name="odd",
        domain=game.domain,
        load="add",
        format=DatabaseFormat(type="database", table="app.odd", watermark="changed"),
        columns=[
            Column(name="id", type="integer"),
            *(Column(name=name) for name in "ujni"),
            Column(name="created_at", type="date", aliases=("createdAt",)),
            Column(name="changed", type="timestamp"),
        ],
    )

    def insert(values: str) -> None:
        game.do(f"insert into app.odd values {values}".replace(":", r"\:"))

    insert(
        "(1, '41424344-4546-4748-494a-4b4c4d4e4f50', '{\"a\": 1}', 1.10, '1 day 02:03:04',"
        " '2026-03-01', '2026-03-01 12:00:00Z'),"
        "(2, null, null, null, null, null, '2026-03-01 11:59:59.5Z'),"
        "(3, null, null, null, null, 'infinity', '2026-03-01 12:00:00Z'),"
        "(4, null, null, null, null, '0044-03-15 BC', '2026-03-01 12:00:00Z'),"
        "(5, null, null, null, null, null, '-infinity'),"
        "(6, null, null, null, null, null, '12026-03-01 12:00:00Z'),"
        "(8, null, null, null, null, null, 'infinity')"
    )
    assert game.accounts() == (7, 2, 5, 0)
    insert(
        "(7, '3f2b8c1e-9d4a-4e6b-8c7d-0123456789ab', '[1, true, \"x\"]', 0.12345, null, null,"
        " '2026-03-01 12:01:00Z')"
    )
    delivered, loaded, _, superseded = game.accounts()
    assert (loaded, superseded) == (1, 2), "rows of the overlap that have not changed"
    assert delivered - loaded - superseded == 2, "those without a time come once"
    table = f"RAW.{game.domain}.ODD"
    assert game.query(f"select id, u, n, i, created_at::varchar, j from {table} order by id") == [
        (
            *(1, "41424344-4546-4748-494a-4b4c4d4e4f50", "1.10", "1 day 02:03:04", "2026-03-01"),
            '{"a": 1}',
        ),
        (2, None, None, None, None, None),
        (7, "3f2b8c1e-9d4a-4e6b-8c7d-0123456789ab", "0.12345", None, None, '[1, true, "x"]'),
    ]
    assert game.query(f"select parse_json(j)[1]::boolean from {table} where id = 7") == [(True,)]
    assert game.query(
        "select distinct column_name, reason from RAW.META.REJECTED_ROWS"
        f" where domain = '{game.domain}' order by reason"
    ) == [
        ("changed", "'-infinity' is not a date with a time"),
        ("created_at", "'0044-03-15 BC' is not a date"),
        ("changed", "'12026-03-01 12:00:00+00' is not a date with a time"),
        ("created_at", "'infinity' is not a date"),
        ("changed", "'infinity' is not a date with a time"),
    ]


# -- source and raw compared -----------------------------------------------------------------------


def test_rows_that_came_too_late_are_found_and_what_the_source_lost_stays(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    game.declare(compare_minutes=0, compare_all_hours=0)
    early = NOON - timedelta(days=30)
    for number in (1, 2, 2, 3):
        game.insert(number)
    game.insert(9, happened=None, changed=NOON + timedelta(seconds=1 / 8))
    first = game.compared()
    assert (first.days, first.extracted, first.differences) == (2, (), {})

    # Changed and moved: the raw table keeps the versions before.
    later = NOON + timedelta(minutes=1)
    game.do(
        f"update {game.table} set happened = :early, changed = :later where id = 3",
        early=str(early) if game.sqlite else early,
        later=str(later) if game.sqlite else later,
    )
    asked: list[str] = []
    open_engine, rows = extraction.open_engine, Raw.rows

    def watched(url: URL, domain: str) -> sa.Engine:
        engine = open_engine(url, domain)
        sa.event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
        return engine

    def spied(raw: Raw, sql: str, values: Any = None) -> Any:
        asked.append(sql)
        return rows(raw, sql, values)

    monkeypatch.setattr(extraction, "open_engine", watched)
    monkeypatch.setattr(Raw, "rows", spied)
    agreed = game.compared()
    assert (agreed.days, agreed.extracted, agreed.differences) == (3, (), {})
    assert len([one for one in asked if "GROUP BY" in one and "events" in one]) == 1
    assert len([one for one in asked if "group by day" in one]) == 1
    assert game.raw() == [1, 2, 2, 3, 3, 9]

    # Too late for the watermark: one that can be loaded, one that cannot, one of no day.
    game.insert(4, happened=early, changed=early)
    game.insert(5, happened=early, changed=early, weight="NaN" if not game.sqlite else "much")
    game.insert(6, happened=None, changed=early)
    game.do(f"delete from {game.table} where id = 1")
    late = game.compared()
    assert late.extracted == ("", f"{early:%Y-%m-%d}", f"{NOON:%Y-%m-%d}")
    assert (late.found, late.only_in_source, late.only_in_raw) == (2, 1, 1)
    assert late.new == (f"{early:%Y-%m-%d}", f"{NOON:%Y-%m-%d}")
    assert game.raw() == [1, 2, 2, 3, 3, 4, 6, 9]

    # What differs as it did is not extracted again, also when rows come on both sides.
    game.insert(7, happened=early, changed=NOON + timedelta(minutes=2))
    game.insert(8, happened=NOON, changed=NOON + timedelta(minutes=2))
    for _ in range(2):
        same = game.compared()
        assert (same.extracted, same.found, same.new) == ((), 0, ())
        assert (same.only_in_source, same.only_in_raw) == (1, 1)
    assert game.raw() == [1, 2, 2, 3, 3, 4, 6, 7, 8, 9]
    assert game.query(
        "select days_extracted, rows_found, only_in_source, only_in_raw, problem, first_day"
        f" from {COMPARISONS} where domain = '{game.domain}' order by compared_at"
    ) == [
        (0, 0, 0, 0, None, None),
        (0, 0, 0, 0, None, None),
        (3, 2, 1, 1, None, None),
        *[(0, 0, 1, 1, None, None)] * 2,
    ]
    assert game.query(
        f"select count(*) from RAW.META.REJECTED_ROWS where domain = '{game.domain}'"
    ) == [(1,)]

    # By command everything that differs is looked at again.
    game.do(f"update {game.table} set weight = 1 where id = 5")
    repaired = game.compared(compare_all=True)
    assert (repaired.found, repaired.only_in_source, repaired.only_in_raw) == (1, 0, 1)


def test_the_newest_days_are_compared_often_and_everything_now_and_then(on_postgres: Game) -> None:
    game = on_postgres
    game.declare(compare_minutes=0, compare_days=2)
    early = NOON - timedelta(days=9)
    game.insert(1)
    game.insert(2)
    assert game.compared().scope.first is None
    game.do("update app.events set happened = :early, changed = :now where id = 1", early=early,
            now=NOON + timedelta(minutes=1))  # fmt: skip
    game.insert(3, happened=early, changed=early)
    game.insert(4, happened=NOON - timedelta(days=1), changed=early)
    newest = game.compared()
    assert newest.scope.first == (NOON - timedelta(days=2)).date()
    assert newest.extracted == (f"{NOON - timedelta(days=1):%Y-%m-%d}",)
    assert (newest.found, newest.differences) == (1, {})
    assert game.raw() == [1, 1, 2, 4]

    game.declare(compare_all_hours=0)
    assert game.compared().extracted == (f"{early:%Y-%m-%d}",)
    assert game.raw() == [1, 1, 2, 3, 4]
    game.declare(compare_minutes=60, compare_all_hours=24)
    assert game.run().comparison is None
    game.declare(compare_minutes=None)
    assert game.run().comparison is None


def test_a_comparison_that_fails_holds_nothing_up_and_is_told(on_postgres: Game) -> None:
    game = on_postgres
    game.do("alter table app.events alter changed type text")
    game.insert(1, changed="2026-03-01 12:00:00")
    game.insert(2, changed="yesterday or so")
    result = game.run()
    assert game.raw() == [1]
    assert result.comparison is not None
    assert "yesterday or so" in str(result.comparison.problem)
    assert result.comparison.is_news
    # Not again with the next load, but when it is due; and what cannot be read comes once.
    again = game.run()
    assert again.comparison is None
    assert again.files == ()


@pytest.mark.parametrize(
    ("ends", "problem"),
    [
        (IngestionError("the disk is full"), "the disk is full"),
        (ProgrammingError("no such table"), "the warehouse failed (no such table)."),
        (Killed(), UNFINISHED),
    ],
)
def test_a_comparison_that_ends_early_is_not_tried_again_at_once(
    warehouse: Warehouse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ends: Exception,
    problem: str,
) -> None:
    game = Game(warehouse, tmp_path, URL.create("sqlite", database=str(tmp_path / "game.db")))
    monkeypatch.setenv(game.setting, str(game.url))
    game.insert(1)
    game.compared()
    game.declare(compare_minutes=0)
    game.insert(2, changed=NOON - timedelta(days=1))
    game.insert(3)
    claims: list[str] = []

    def end(step: str) -> None:
        claims.extend([step] if step == "claimed" else [])
        if len(claims) == 2:
            raise ends

    if isinstance(ends, Killed):
        with pytest.raises(Killed):
            game.run(checkpoint=end)
    else:
        result = game.run(checkpoint=end)
        assert result.accounts.loaded == 1, "what the load itself has loaded counts"
        assert result.comparison is not None
        assert result.comparison.problem == problem
    assert game.raw() == [1, 3]
    assert game.query(
        f"select problem from {COMPARISONS} where domain = '{game.domain}' order by compared_at"
    ) == [(None,), (problem,)]
    game.declare(compare_minutes=60)
    assert game.run().comparison is None
    game.declare(compare_minutes=0)
    assert game.compared().found == 1


def test_extracts_of_killed_loads_are_gone_and_one_load_waits_for_another(
    on_postgres: Game,
) -> None:
    game = on_postgres
    folder = game.home / "landing" / game.domain / "events"
    folder.mkdir(parents=True)
    for name in ("events-1.parquet", ".events-2.parquet"):
        (folder / name).write_bytes(b"PAR1")
    game.insert(1)
    with ThreadPoolExecutor(1) as pool:
        with extraction.only_loader(game.source, game.home / "landing"):
            assert [file.name for file in folder.iterdir()] == [extraction.LOCK]
            waiting = pool.submit(game.run)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
        assert waiting.result().accounts.loaded == 1
    assert game.raw() == [1]


def test_a_missing_table_is_named(on_postgres: Game) -> None:
    on_postgres.do("drop table app.events")
    with pytest.raises(IngestionError, match=r"events.*does not exist.*table app\.events"):
        on_postgres.load()


def test_the_game_s_sample_is_loaded_by_command_from_postgresql(
    server: URL, own_warehouse: Warehouse
) -> None:
    variables = own_warehouse.environment() | {
        "FIRN_GAMING_DATABASE_URL": server.set(database="postgres").render_as_string(False)
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        made = gaming.fill(20, 2, seed=7)
        assert gaming.fill(20, 2, seed=7).purchases == 0
        runner = CliRunner()
        loaded = runner.invoke(app, ["load", "gaming"])
        assert loaded.exit_code == 0, loaded.output
        later = gaming.play_on(60)
        assert (later.purchases, later.corrected) > (0, 0)
        assert runner.invoke(app, ["load", "gaming"]).exit_code == 0
        with own_warehouse.connect(database="RAW") as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from RAW.GAMING.PURCHASES")
            assert cursor.fetchall() == [(made.purchases + later.purchases + later.corrected,)]
            cursor.execute("select count(*) from RAW.GAMING.SPINS_HOURLY")
            assert cursor.fetchall() == [(made.spins + later.spins,)]

        def reconcile(status: int, *said: str) -> None:
            done = runner.invoke(app, ["reconcile", "gaming"])
            assert done.exit_code == status, done.output
            for one in said:
                assert one in " ".join(done.output.split())

        # Doubled, corrected and broken rows of the sample agree as they are.
        reconcile(0, "gaming.purchases: 3 days compared, 0 extracted again.")
        with sa.create_engine(server, poolclass=sa.NullPool).begin() as playing:
            playing.exec_driver_sql(
                "insert into app_source.purchases_data"
                " select '2022-04-02', 'LATE', revenue, 'late', created_at, '2022-04-01'"
                " from app_source.purchases_data limit 2"
            )
        late = "gaming.purchases: 2 rows that had come too late, loaded now."
        reconcile(0, "1 extracted again.", late)
        with sa.create_engine(server, poolclass=sa.NullPool).begin() as playing:
            playing.exec_driver_sql(
                "delete from app_source.purchases_data where transaction_id = 'late'"
            )
        reconcile(1, "gaming.purchases: 2 rows in raw that the source no longer has; they stay.")
        files = runner.invoke(app, ["reconcile", "forex"])
        assert (files.exit_code, "no source in a database" in files.output) == (2, True)

        for wrong, said in (
            (["--all", "--from", "2022-04-01"], "--all is without bounds"),
            (["--from", "2022-04-02", "--to", "2022-04-01"], "is not before"),
        ):
            refused = runner.invoke(app, ["load", "gaming", *wrong])
            assert refused.exit_code == 2, refused.output
            assert said in refused.output
        by_file = runner.invoke(app, ["load", "forex", "--all"])
        assert by_file.exit_code == 2
        assert "delivered as files" in by_file.output


def test_postgresql_needs_no_user_of_the_machine(server: URL) -> None:
    if os.geteuid() == 0:
        socket = Path(str(server.query["host"]))
        assert socket.stat().st_uid != 0
