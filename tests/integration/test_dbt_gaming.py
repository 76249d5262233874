"""The gaming models on a stream of events as rough as they come.

Events are written into an operational database of their own, extracted and loaded by the real
loader, and staged by incremental runs. After each run every table must hold exactly the rows that
the raw tables give when everything is built from nothing. Each test begins with an empty game.

The series of events of the property test come from the seed of the campaign.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from include.domains.gaming import demo as gaming_demo
from include.domains.gaming.sample import PURCHASES, SAMPLE, SPINS
from include.ingestion.database import Span
from include.ingestion.loader import load_source, prepare_sources
from include.ingestion.sources import load_domain
from include.orchestration.rejected_rows import count_rejected
from tests import campaign
from tests.conftest import Warehouse, start_warehouse
from tests.integration.dbt_runs import DbtRuns, Outcome, dbt_runs

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EVENTS = 60
FIRST_DAY = datetime(2022, 4, 1)  # noqa: DTZ001
MINUTES = 4 * 1440
USERS = ["AA22LKF", "TT57LKF", "WW42LKF", "ZZ99LKF"]
NAME = "gaming_test"
PURCHASES_PLACES = "stg_gaming__purchase_places"
SPINS_PLACES = "stg_gaming__spin_places"
ACTIVITY = "int_gaming__activity_hourly"
STAGING = "stg_gaming__purchases"
SPINS_STAGING = "stg_gaming__spins_hourly"
MART = "mart_user_activity_hourly"
PLACES = (PURCHASES_PLACES, SPINS_PLACES)
TABLES = (*PLACES, ACTIVITY)
VIEWS = (STAGING, SPINS_STAGING, MART)

# What was loaded since the last run and nothing else: neither a margin nor the newest events. And
# sources that are late at once.
VARIABLES = {
    "gaming_freshness_tolerance_days": 0,
    "gaming_load_lookback_minutes": 0,
    "gaming_purchases_lookback_minutes": 0,
    "gaming_spins_lookback_hours": 0,
}


# How often each comes among events that are drawn without thought.
KINDS = {"buy": 14, "twice": 2, "move": 4, "spoil": 3, "spin": 9, "parts": 3, "respin": 2}
AMOUNTS = ["1.99", "4.99", "19.99", "99.99"]
FAULTS = ["", "-1", "0", "free", "1=2"]
COUNTRIES = ["US", "CA"]
AGES = [0, 0, 0, 50, None]


@dataclass(frozen=True)
class Event:
    """Something that happens to the game, or to what is known of it.

    Attributes:
        kind: of `KINDS`.
        minute: when it happened, counted from the first day. Events come in no order of time.
        user: who plays.
        transaction: of a purchase. Few of them, so that most events correct another.
        paid: the revenue of a purchase, or of `spoil` what stands there in its place.
        country: where was spun.
        spins: how often.
        age: how many minutes ago the row was changed; None if the database does not say.
    """

    kind: str
    minute: int
    user: str
    transaction: str
    paid: str
    country: str
    spins: float
    age: int | None


def drawn(draw: random.Random) -> Event:
    """An event like those of `EVENT`, without hypothesis."""
    [kind] = draw.choices([*KINDS], [*KINDS.values()])
    return Event(
        kind,
        draw.randrange(MINUTES),
        draw.choice(USERS),
        f"t{draw.randrange(30)}",
        draw.choice(FAULTS if kind == "spoil" else AMOUNTS),
        draw.choice(COUNTRIES),
        round(draw.uniform(0, 9), draw.choice([0, 1, 6])),
        draw.choice(AGES),
    )


EVENT = st.sampled_from([*KINDS]).flatmap(
    lambda kind: st.builds(
        Event,
        kind=st.just(kind),
        # Hours on both sides of midnight, often the same, and sometimes any.
        minute=st.integers(22 * 60, 26 * 60) | st.integers(0, MINUTES - 1),
        user=st.sampled_from(USERS[:3]),
        transaction=st.sampled_from(["t1", "t2", "t3", "t4"]),
        paid=st.sampled_from(FAULTS if kind == "spoil" else AMOUNTS),
        country=st.sampled_from(COUNTRIES),
        spins=st.sampled_from([0.0, 0.4, 1.0, 2.000001, 7.0]),
        age=st.sampled_from(AGES),
    )
)


@dataclass(frozen=True)
class Batch:
    """Events between two incremental runs.

    Attributes:
        before: those that are loaded, but of one source alone.
        early: that source.
        between: what else runs before the rest: nothing, the staging alone, the staging built
            anew, or a backfill of the second day, with or without the activity.
        after: those that are loaded together with what is left of the others.
    """

    before: list[Event]
    early: str
    between: str
    after: list[Event]


BATCH = st.builds(
    Batch,
    before=st.lists(EVENT, max_size=12),
    early=st.sampled_from(["purchases", "spins_hourly"]),
    between=st.sampled_from(["nothing", "staged", "staged anew", "backfilled", "half backfilled"]),
    after=st.lists(EVENT, min_size=1, max_size=12),
)


@dataclass
class Game:
    """The operational database, its raw tables, and the models built on them.

    Attributes:
        from_nothing: by view, a query for what it shows when everything is built anew.
    """

    warehouse: Warehouse
    runs: DbtRuns
    engine: sa.Engine
    from_nothing: dict[str, str]
    random: random.Random = field(default_factory=lambda: random.Random(campaign.SEED))  # noqa: S311
    now: datetime = datetime(2026, 1, 1)  # noqa: DTZ001

    def write(self, statement: Any, *rows: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            connection.execute(statement, list(rows) or None)

    def buy(self, transaction: str, moment: datetime, user: str, paid: str, **more: Any) -> None:
        row = {"created_at": FIRST_DAY, "updated_at": self.now, **more}
        known = {"timestamp": moment, "user_id": user, "revenue": f"PriceInUSD={paid}"}
        self.write(PURCHASES.insert(), {"transaction_id": transaction, **known, **row})

    def spin(self, hour: datetime, user: str, country: str, spins: float, **more: Any) -> None:
        row = {"created_at": FIRST_DAY, "updated_at": self.now, "timestamp": hour, **more}
        self.write(
            SPINS.insert(), {"user_id": user, "country": country, "total_spins": spins, **row}
        )

    def move(self, transaction: str, **to: Any) -> None:
        """Correct a purchase in place, with nothing left of what it was."""
        changed = PURCHASES.update().where(PURCHASES.c.transaction_id == transaction)
        self.write(changed.values(updated_at=self.now, **to))

    def happen(self, event: Event) -> None:
        """Write an event into the operational database."""
        moment = FIRST_DAY + timedelta(minutes=event.minute)
        hour, user, country = moment.replace(minute=0), event.user, event.country
        changed = None if event.age is None else self.now - timedelta(minutes=event.age)
        match event.kind:
            case "buy" | "spoil":
                self.buy(event.transaction, moment, user, event.paid, updated_at=changed)
            case "twice":
                for _ in range(2):
                    self.buy(event.transaction, moment, user, event.paid, updated_at=changed)
            case "move":
                self.move(event.transaction, timestamp=moment, user_id=user)
            case "spin":
                self.spin(hour, user, country, event.spins, updated_at=changed)
            case "parts":
                for share in (0.3, 0.7):
                    spins = round(event.spins * share, 6)
                    self.spin(hour, user, country, spins, updated_at=changed)
                half = hour + timedelta(minutes=30)
                self.spin(half, user, country, event.spins, updated_at=changed)
            case "respin":
                known = SPINS.update().where(SPINS.c.timestamp == hour, SPINS.c.user_id == user)
                self.write(known.values(updated_at=self.now, total_spins=event.spins))
        self.now += timedelta(seconds=20)

    def play(self, events: int) -> None:
        """Let some events happen that nobody chose."""
        for _ in range(events):
            self.happen(drawn(self.random))

    def vanish(self, table: sa.Table, **of: Any) -> None:
        """Delete rows of the operational database, which no time of change tells of."""
        self.write(table.delete().where(*(table.c[name] == value for name, value in of.items())))

    def forget(self) -> None:
        """Empty the database and every table: as if nothing had ever happened."""
        with self.engine.begin() as connection:
            for table in (PURCHASES, SPINS):
                connection.execute(table.delete())
        for raw in ("PURCHASES", "SPINS_HOURLY"):
            self.runs.rows(f"truncate table RAW.GAMING.{raw}")
        for model in TABLES:
            self.runs.rows(f"truncate table {self.runs.table(model)}")
        self.now += timedelta(days=1)

    def load(self, *sources: str, span: Span | None = None) -> list[str]:
        """Extract and load; the ids of the loads."""
        domain, loads = load_domain("gaming"), []
        for name in sources or ("purchases", "spins_hourly"):
            result = load_source(
                domain.source(name),
                settings=self.warehouse.settings(),
                landing=self.warehouse.home / "landing",
                span=span,
            )
            assert not result.refused
            loads += [file.load_id for file in result.files if file.load_id]
        return loads

    def stage(self, *models: str, **variables: object) -> Outcome:
        """An incremental run of some models, or of all. Views show what is there without one."""
        outcome = self.runs.dbt("run", "--select", *(models or TABLES), **variables)
        assert outcome.success, outcome.output
        return outcome

    def advance(self, *models: str, **variables: object) -> None:
        """Extract, load, and run some models, or all."""
        self.load()
        self.stage(*models, **variables)
        self.now += timedelta(minutes=1)

    def backfill(self, start: datetime, end: datetime, *models: str) -> None:
        """Extract a range anew and rebuild it, in some models or in all."""
        self.load(span=Span(start, end))
        self.stage(*models, backfill_start=f"{start}", backfill_end=f"{end}")

    def rows(self, model: str, where: str = "true", columns: str = "*") -> list[Any]:
        found = self.runs.rows(f"select {columns} from {self.runs.table(model)} where {where}")
        return sorted(map(repr, found))

    def differences(self) -> dict[str, int]:
        """Per view: rows that increments gave and a build from nothing does not, or the reverse."""
        found = {
            view: self.runs.apart(f"select * from {self.runs.table(view)}", sql)
            for view, sql in self.from_nothing.items()
        }
        return {view: count for view, count in found.items() if count}


@pytest.fixture(scope="module")
def warehouse_of_games(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Game]:
    """The tables of a game, and of each view what it shows if everything is built from nothing."""
    folder = tmp_path_factory.mktemp("gaming")
    warehouse = start_warehouse(folder)
    file = folder / "operational" / "gaming.db"
    file.parent.mkdir()
    engine = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool).execution_options(
        schema_translate_map={"app_source": None}
    )
    with engine.begin() as connection:
        PURCHASES.metadata.create_all(connection, tables=[PURCHASES, SPINS, SAMPLE])
    try:
        prepare_sources(load_domain("gaming").sources, settings=warehouse.settings())
        with dbt_runs(warehouse, folder, "gaming", NAME, **VARIABLES) as runs:
            built = runs.dbt("run", "--full-refresh", "--select", *TABLES, *VIEWS)
            assert built.success, built.output
            yield Game(warehouse, runs, engine, _from_nothing(runs))
    finally:
        warehouse.process.stop()


def _from_nothing(runs: DbtRuns) -> dict[str, str]:
    """The query of each view over those of a full refresh, down to the raw tables."""
    [file] = runs.folder.glob("*/manifest.json")
    nodes = json.loads(file.read_text())["nodes"]
    queries: dict[str, str] = {}
    for model in (*TABLES, *VIEWS):
        sql = nodes[f"model.firn.{model}"]["compiled_code"]
        for upstream, query in queries.items():
            inlined = f"({query})"
            sql = re.sub(rf"(?i)\banalytics_dev\.\w+\.{upstream}\b", lambda _: inlined, sql)  # noqa: B023
        assert "analytics_dev" not in sql.lower()
        queries[model] = sql
    return {view: queries[view] for view in VIEWS}


@pytest.fixture
def game(warehouse_of_games: Game) -> Game:
    """An empty one."""
    warehouse_of_games.forget()
    return warehouse_of_games


def test_what_was_played_is_built_tested_and_written_once(game: Game) -> None:
    game.play(EVENTS)
    for number, fault in enumerate(FAULTS):
        game.buy(f"bad{number}", FIRST_DAY, USERS[0], fault)
    game.buy("only buys", FIRST_DAY, "LONELY", "1.99")
    loads = game.load()
    built = game.runs.build()
    assert built.success, built.output
    status = {name.split(".")[2]: str(one["status"]) for name, one in built.results.items()}
    assert status["assert_gaming_purchases_are_accounted_for"] == "pass"
    assert status["assert_gaming_spins_are_accounted_for"] == "pass"
    assert status["assert_gaming_as_many_users_buy_as_spin"] == "warn"
    assert game.differences() == {}
    assert min(len(game.rows(view)) for view in VIEWS) > 5

    again = game.stage()
    assert [again.rows_affected(model) for model in TABLES] == [0, 0, 0]
    assert all(game.runs.answers(gaming_demo.PIPELINE).values())

    # Each purchase is counted once, and in one row.
    table = game.runs.table(MART)
    assert game.runs.rows(
        f"select sum(total_revenue_hourly), sum(total_purchases_amount_hourly) from {table}"
    ) == game.runs.rows(f"select sum(revenue), count(*) from {game.runs.table(STAGING)}")
    twice = (
        f"select app_hour, user_id from {table} where total_purchases_amount_hourly > 0"
        " group by 1, 2 having count(*) > 1"
    )
    assert game.runs.rows(twice) == []
    assert game.runs.value(f"select count(*) from {table} where country = 'UNKNOWN'") > 0
    columns = game.runs.rows(
        "select column_name from analytics_dev.information_schema.columns where table_name ="
        " 'MART_USER_ACTIVITY_HOURLY' order by ordinal_position"
    )
    assert [name.lower() for (name,) in columns] == [
        *("app_hour", "user_id", "country", "total_spins_hourly", "total_revenue_hourly"),
        *("total_purchases_amount_hourly", "avg_revenue_per_purchase_hourly"),
        "total_revenue_per_user_daily",
    ]

    # What the alert says: old ones stay in the list, and each load is asked about its own.
    settings, listed = game.warehouse.settings(), game.runs.table("stg_gaming__rejected")
    faults = game.runs.value(f"select count(*) from {listed}")
    assert count_rejected(listed, loads, settings=settings) == {"purchases": faults}
    assert faults >= len(FAULTS)
    reasons = {reason for (reason,) in game.runs.rows(f"select distinct reason from {listed}")}
    assert reasons >= {"revenue has no number after =", "revenue is negative", "revenue is zero"}
    game.now += timedelta(minutes=1)
    game.buy("good", FIRST_DAY, USERS[0], "1.99")
    assert count_rejected(listed, game.load(), settings=settings) == {}
    assert count_rejected(listed, [], settings=settings) == {}

    # Lost rows and sources that stand still are found.
    game.stage()
    places = [game.runs.table(model) for model in PLACES]
    game.runs.rows(f"delete from {places[0]} where transaction_id = 'only buys'")
    game.runs.rows(f"delete from {places[1]} where user_id = '{USERS[0]}'")
    found = game.runs.dbt("test", "--select", "path:tests/singular/gaming")
    failed = {name.split(".")[2] for name, one in found.results.items() if one["status"] == "fail"}
    assert failed == {
        "assert_gaming_purchases_are_accounted_for",
        "assert_gaming_spins_are_accounted_for",
    }
    game.runs.rows('update RAW.GAMING.PURCHASES set "_LOADED_AT" = dateadd(minute, -20, sysdate())')
    game.runs.rows('update RAW.GAMING.SPINS_HOURLY set "_LOADED_AT" = dateadd(hour, -4, sysdate())')
    old = game.runs.dbt("source", "freshness", "--select", "source:gaming")
    assert "WARN freshness of gaming.purchases" in old.output
    assert "ERROR STALE freshness of gaming.spins_hourly" in old.output


DAY, NEXT_DAY = datetime(2022, 4, 2), datetime(2022, 4, 3)  # noqa: DTZ001
IN_DAY = "between '2022-04-02'::timestamp_ntz and '2022-04-02 23:59:59.999999'::timestamp_ntz"
OUTSIDE = {
    STAGING: f"purchased_at not {IN_DAY}",
    SPINS_STAGING: f"app_hour not {IN_DAY}",
    MART: f"app_hour not {IN_DAY}",
}


def test_a_backfill_rebuilds_its_range_and_touches_nothing_outside(game: Game) -> None:
    inside, beside = DAY + timedelta(hours=5.25), NEXT_DAY + timedelta(hours=5.25)
    hour, user = inside.replace(minute=0), USERS[1]
    game.play(EVENTS // 2)
    for name in ("stays", "leaves", "goes"):
        game.buy(name, inside, user, "1.99")
    game.buy("comes", beside, user, "1.99")
    game.spin(hour, user, "US", 4.2)
    game.spin(hour, "SPINS ONLY", "US", 4.2)
    game.advance()

    # Not yet staged; not yet in the mart; and what no time of change tells of.
    game.buy("is staged", beside, user, "99.99")
    game.advance(PURCHASES_PLACES)
    game.buy("waits", beside, user, "99.99")
    game.move("leaves", timestamp=beside)
    game.move("comes", timestamp=inside)
    game.load()
    game.vanish(PURCHASES, transaction_id="goes")
    game.vanish(SPINS, user_id="SPINS ONLY")
    stays = PURCHASES.update().where(PURCHASES.c.transaction_id == "stays")
    game.write(stays.values(revenue="PriceInUSD=19.99"))
    spun = SPINS.update().where(SPINS.c.timestamp == hour, SPINS.c.user_id == user)
    game.write(spun.values(total_spins=44.5))
    before = {view: game.rows(view, where) for view, where in OUTSIDE.items()}
    game.backfill(DAY, NEXT_DAY)
    assert {view: game.rows(view, where) for view, where in OUTSIDE.items()} == before
    revenue: dict[str, str] = dict(
        game.runs.rows(f"select transaction_id, revenue::varchar from {game.runs.table(STAGING)}")
    )
    assert revenue["stays"] == "19.99"
    assert {"goes", "waits"} & {*revenue} == set()
    assert game.rows(MART, "user_id = 'SPINS ONLY'") == []
    spins = game.rows(MART, f"app_hour = '{hour}' and user_id = '{user}'", "total_spins_hourly")
    assert "45" in str(spins)

    # The next run without a range brings what waited outside of it.
    game.advance()
    assert "waits" in str(game.rows(STAGING))
    assert game.differences() == {}

    # Of a day in part only the daily total follows.
    game.buy("part", DAY + timedelta(hours=10, minutes=40), user, "99.99")
    game.spin(DAY + timedelta(hours=13), user, "US", 300.0)
    game.load()
    outside = f"app_hour <> '{DAY + timedelta(hours=10)}'"
    columns = "app_hour, user_id, country, total_spins_hourly, total_revenue_hourly"
    before = {MART: game.rows(MART, outside, columns)}
    game.backfill(DAY + timedelta(hours=10.5), DAY + timedelta(hours=10.75))
    assert {MART: game.rows(MART, outside, columns)} == before
    of_day = game.runs.rows(
        "select distinct total_revenue_per_user_daily >= 99.99, total_revenue_per_user_daily"
        f" from {game.runs.table(MART)} where user_id = '{user}' and app_hour::date = '{DAY:%F}'"
    )
    assert [enough for enough, _ in of_day] == [True]
    game.stage()
    assert game.differences() == {}


def test_the_next_run_mends_what_was_left_half_done(game: Game) -> None:
    def seen(user: str) -> int:
        return len(game.rows(MART, f"user_id = '{user}'"))

    game.play(EVENTS // 2)
    game.buy("moves", DAY, "LONELY", "4.99")
    game.buy("goes", DAY, "GOES", "1.99")
    game.spin(DAY, "SPINS ONLY", "US", 4.2)
    game.advance()
    assert [seen(user) for user in ("LONELY", "OTHER", "GOES", "SPINS ONLY")] == [1, 0, 1, 1]

    # The mart cannot be built for a while: a purchase moves to another day, then to another user,
    # and in between a backfill takes rows out.
    game.move("moves", timestamp=NEXT_DAY)
    game.advance(PURCHASES_PLACES)
    game.vanish(PURCHASES, transaction_id="goes")
    game.backfill(DAY, NEXT_DAY, *PLACES)
    game.move("moves", timestamp=NEXT_DAY + timedelta(days=1), user_id="OTHER")
    game.advance()
    assert [seen(user) for user in ("LONELY", "OTHER", "GOES", "SPINS ONLY")] == [0, 1, 0, 1]
    assert game.differences() == {}

    # Staging alone is built anew, and without its old rows tells of nothing that has gone. The
    # purchase moves back.
    game.vanish(SPINS, user_id="SPINS ONLY")
    game.move("moves", timestamp=DAY, user_id="LONELY")
    game.load()
    game.load(span=Span(DAY, NEXT_DAY))
    refreshed = game.runs.dbt("run", "--full-refresh", "--select", *PLACES)
    assert refreshed.success, refreshed.output
    game.stage(ACTIVITY)
    assert [seen(user) for user in ("LONELY", "OTHER", "GOES", "SPINS ONLY")] == [1, 0, 0, 0]
    assert game.differences() == {}

    # A long load ends after one that began later and is staged already.
    for table, late in (("PURCHASES", "transaction_id"), ("SPINS_HOURLY", "user_id")):
        game.runs.rows(
            f"insert into RAW.GAMING.{table} select * replace ('LATE' as {late},"
            f' dateadd(minute, -30, "_LOADED_AT") as "_LOADED_AT") from RAW.GAMING.{table}'
            f' qualify row_number() over (order by "_LOADED_AT" desc) = 1'
        )
    game.stage(gaming_load_lookback_minutes=60)
    assert len(game.rows(STAGING, "transaction_id = 'LATE'")) == 1
    assert seen("LATE") == 1
    assert game.differences() == {}


@pytest.mark.campaign
@seed(campaign.SEED)
@settings(
    max_examples=campaign.size(1, 40),
    database=None,
    deadline=None,
    # Shrinking a failure would take minutes; its series is short enough to be read.
    phases=[Phase.generate],
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(series=st.lists(BATCH, min_size=2, max_size=3))
def test_after_any_series_increments_are_what_a_full_rebuild_gives(
    game: Game, series: list[Batch]
) -> None:
    game.forget()
    for batch in series:
        for event in batch.before:
            game.happen(event)
        game.load(batch.early)
        match batch.between:
            case "staged":
                game.stage(*PLACES)
            case "staged anew":
                assert game.runs.dbt("run", "--full-refresh", "--select", *PLACES).success
            case "backfilled":
                game.backfill(DAY, NEXT_DAY)
            case "half backfilled":
                game.backfill(DAY, NEXT_DAY, *PLACES)
        for event in batch.after:
            game.happen(event)
        game.load()
        game.stage()
        assert game.differences() == {}


def test_the_test_reads_the_models_of_the_folder() -> None:
    folder = Path(__file__).parents[2] / "dbt" / "models"
    found = {file.stem for file in folder.glob("*/gaming/*.sql")}
    assert found == {*TABLES, *VIEWS, "stg_gaming__rejected"}
