"""The gaming models on a stream of events as rough as they come.

Events are written into an operational database of their own, extracted and loaded by the real
loader, and staged by incremental runs. After each run every table must hold exactly the rows that
its query gives when it is built from nothing. The tests go on from one another, in this order.

The series of events of the property test come from the seed of the campaign.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from include.demo import gaming as gaming_demo
from include.ingestion.database import Span
from include.ingestion.loader import load_source
from include.ingestion.sources import load_domain
from include.orchestration.rejected_rows import count_rejected
from include.sample_data.gaming import PURCHASES, SAMPLE, SPINS
from tests import campaign
from tests.conftest import Warehouse, start_warehouse
from tests.integration.dbt_runs import DbtRuns, Outcome, dbt_runs

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EVENTS = 60
FIRST_DAY = datetime(2022, 4, 1)  # noqa: DTZ001
MINUTES = 4 * 1440
USERS = ["AA22LKF", "TT57LKF", "WW42LKF", "ZZ99LKF"]
NAME = "gaming_test"
STAGING = "stg_gaming__purchases"
SPINS_STAGING = "stg_gaming__spins_hourly"
MART = "mart_user_activity_hourly"
TABLES = (STAGING, SPINS_STAGING, MART)

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
        after: those that are loaded together with what is left of the others.
        staged_early: whether the staging runs by itself in between.
    """

    before: list[Event]
    early: str
    after: list[Event]
    staged_early: bool


BATCH = st.builds(
    Batch,
    before=st.lists(EVENT, max_size=12),
    early=st.sampled_from(["purchases", "spins_hourly"]),
    after=st.lists(EVENT, min_size=1, max_size=12),
    staged_early=st.booleans(),
)


@dataclass
class Game:
    """The operational database, its raw tables, and the models built on them."""

    warehouse: Warehouse
    runs: DbtRuns
    engine: sa.Engine
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

    def forget(self) -> None:
        """Empty the database and every table: as if nothing had ever happened."""
        with self.engine.begin() as connection:
            for table in (PURCHASES, SPINS):
                connection.execute(table.delete())
        for raw in ("PURCHASES", "SPINS_HOURLY"):
            self.runs.rows(f"truncate table RAW.GAMING.{raw}")
        for model in TABLES:
            self.runs.rows(f"truncate table {self.runs.table(model)}")

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
        """An incremental run of some models, or of all."""
        outcome = self.runs.dbt("run", "--select", *(models or TABLES), **variables)
        assert outcome.success, outcome.output
        return outcome

    def rows(self, model: str, where: str = "true", columns: str = "*") -> list[Any]:
        found = self.runs.rows(f"select {columns} from {self.runs.table(model)} where {where}")
        return sorted(map(repr, found))


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Game]:
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
        with dbt_runs(warehouse, folder, "gaming", NAME, **VARIABLES) as runs:
            yield Game(warehouse, runs, engine)
    finally:
        warehouse.process.stop()


@pytest.fixture(scope="module")
def from_nothing(game: Game, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The query of each table as a full refresh runs it; needs the raw tables."""
    folder = tmp_path_factory.mktemp("compiled")
    game.play(EVENTS)
    game.load()
    done = game.runs.dbt("compile", "--full-refresh", "--select", *TABLES)
    assert done.success, done.output
    [manifest] = [*game.runs.folder.glob("*/manifest.json"), *folder.glob("*/manifest.json")]
    nodes = json.loads(manifest.read_text())["nodes"]
    compiled = {model: nodes[f"model.firn.{model}"]["compiled_code"] for model in TABLES}
    assert not any("existing" in sql for sql in compiled.values())
    return compiled


def assert_as_from_nothing(game: Game, from_nothing: dict[str, str], *models: str) -> None:
    for model in models or TABLES:
        built, wanted = f"select * from {game.runs.table(model)}", from_nothing[model]
        assert game.runs.apart(built, wanted) == 0, model
        [(have, want)] = game.runs.rows(
            f"select (select count(*) from {game.runs.table(model)}), "
            f"(select count(*) from ({wanted}))"
        )
        assert have == want, model


def test_a_run_without_changes_writes_nothing(game: Game, from_nothing: dict[str, str]) -> None:
    game.stage()
    assert_as_from_nothing(game, from_nothing)
    assert min(len(game.rows(model)) for model in TABLES) > 5
    again = game.stage()
    assert [again.rows_affected(model) for model in TABLES] == [0, 0, 0]


def test_the_questions_of_the_demo_have_answers(game: Game) -> None:
    assert all(game.runs.answers(gaming_demo.PIPELINE).values())


def test_purchases_are_counted_once_and_in_one_row(game: Game) -> None:
    table = game.runs.table(MART)
    assert game.runs.rows(
        f"select sum(total_revenue_hourly), sum(total_purchases_amount_hourly) from {table}"
    ) == game.runs.rows(f"select sum(revenue), count(*) from {game.runs.table(STAGING)}")
    assert (
        game.runs.value(
            "select count(*) from (select app_hour, user_id from "
            f"{table} where total_purchases_amount_hourly > 0 group by 1, 2 having count(*) > 1)"
        )
        == 0
    )
    assert game.runs.value(f"select count(*) from {table} where country = 'UNKNOWN'") > 0
    [columns] = [
        game.runs.rows(
            "select column_name from analytics_dev.information_schema.columns where table_name ="
            " 'MART_USER_ACTIVITY_HOURLY' order by ordinal_position"
        )
    ]
    assert [name.lower() for (name,) in columns] == [
        *("app_hour", "user_id", "country", "total_spins_hourly", "total_revenue_hourly"),
        *("total_purchases_amount_hourly", "avg_revenue_per_purchase_hourly"),
        "total_revenue_per_user_daily",
    ]


def test_a_moved_purchase_leaves_no_row_behind(game: Game, from_nothing: dict[str, str]) -> None:
    lonely = datetime(2022, 5, 1, 10, 30)  # noqa: DTZ001
    game.buy("moves", lonely, "LONELY", "4.99")
    game.load()
    game.stage()
    assert len(game.rows(MART, "user_id = 'LONELY'")) == 1
    # Moved twice between two runs of the mart, to another day and to another user.
    game.move("moves", timestamp=lonely + timedelta(days=1))
    game.load()
    game.stage(STAGING)
    game.now += timedelta(minutes=1)
    game.move("moves", timestamp=lonely + timedelta(days=2), user_id="OTHER")
    game.load()
    game.stage()
    assert game.rows(MART, "user_id = 'LONELY'") == []
    assert len(game.rows(MART, "user_id = 'OTHER'")) == 1
    assert_as_from_nothing(game, from_nothing)


DAY = "'2022-04-02'::timestamp_ntz and '2022-04-02 23:59:59.999999'::timestamp_ntz"
OUTSIDE = {
    STAGING: f"purchased_at not between {DAY}",
    SPINS_STAGING: f"app_hour not between {DAY}",
    MART: f"app_hour not between {DAY}",
}


def test_a_backfill_rebuilds_its_range_and_touches_nothing_outside(
    game: Game, from_nothing: dict[str, str]
) -> None:
    inside, beside = datetime(2022, 4, 2, 5, 15), datetime(2022, 4, 3, 5, 15)  # noqa: DTZ001
    for name, moment in (
        ("stays", inside),
        ("leaves", inside),
        ("goes", inside),
        ("comes", beside),
    ):
        game.buy(name, moment, USERS[1], "1.99")
    game.spin(inside.replace(minute=0), USERS[1], "US", 4.2)
    game.load()
    game.stage()

    # Loaded and not yet staged; and what no time of change tells of.
    game.now += timedelta(minutes=1)
    game.buy("waits", beside, USERS[1], "99.99")
    game.move("leaves", timestamp=beside)
    game.move("comes", timestamp=inside)
    game.load()
    with game.engine.begin() as connection:
        connection.execute(PURCHASES.delete().where(PURCHASES.c.transaction_id == "goes"))
        connection.execute(
            PURCHASES.update()
            .where(PURCHASES.c.transaction_id == "stays")
            .values(revenue="PriceInUSD=19.99")
        )
        connection.execute(
            SPINS.update().where(SPINS.c.total_spins == 4.2).values(total_spins=44.5)
        )
    before = {model: game.rows(model, where) for model, where in OUTSIDE.items()}
    game.load(span=Span(datetime(2022, 4, 2), datetime(2022, 4, 3)))  # noqa: DTZ001
    bounds = {"backfill_start": "2022-04-02 00:00:00", "backfill_end": "2022-04-03 00:00:00"}
    game.stage(**bounds)
    assert {model: game.rows(model, where) for model, where in OUTSIDE.items()} == before

    revenue: dict[str, str] = dict(
        game.runs.rows(f"select transaction_id, revenue::varchar from {game.runs.table(STAGING)}")
    )
    assert revenue["stays"] == "19.99"
    assert "goes" not in revenue
    assert "waits" not in revenue
    assert (
        game.runs.value(
            f"select max(total_spins_hourly) from {game.runs.table(MART)} where app_hour = "
            f"'2022-04-02 05:00:00' and user_id = '{USERS[1]}' and country = 'US'"
        )
        >= 45
    )

    # The next run without a range brings what waited outside of it.
    game.load()
    game.stage()
    assert "waits" in str(game.rows(STAGING))
    assert_as_from_nothing(game, from_nothing)


def test_of_a_day_in_part_only_the_daily_total_follows(game: Game) -> None:
    hour = datetime(2022, 4, 2, 10)  # noqa: DTZ001
    game.buy("part", hour + timedelta(minutes=40), USERS[2], "99.99")
    game.spin(hour + timedelta(hours=3), USERS[2], "US", 300.0)
    game.load()
    outside = "app_hour <> '2022-04-02 10:00:00'"
    columns = "app_hour, user_id, country, total_spins_hourly, total_revenue_hourly"
    before = game.rows(MART, outside, columns)
    game.stage(backfill_start="2022-04-02 10:30:00", backfill_end="2022-04-02 10:45:00")
    assert game.rows(MART, outside, columns) == before
    assert (
        game.runs.value(
            f"select count(distinct total_revenue_per_user_daily) from {game.runs.table(MART)}"
            f" where user_id = '{USERS[2]}' and app_hour::date = '2022-04-02'"
        )
        == 1
    )
    assert "99.99" in str(game.rows(MART, "app_hour = '2022-04-02 10:00:00'"))


def test_the_tests_pass_and_the_accounts_add_up(game: Game, from_nothing: dict[str, str]) -> None:
    for number, fault in enumerate(FAULTS):
        game.buy(f"bad{number}", FIRST_DAY, USERS[0], fault)
    loads = game.load()
    built = game.runs.build()
    assert built.success, built.output
    assert_as_from_nothing(game, from_nothing)
    status = {name.split(".")[2]: str(one["status"]) for name, one in built.results.items()}
    assert status["assert_gaming_purchases_are_accounted_for"] == "pass"
    assert status["assert_gaming_spins_are_accounted_for"] == "pass"
    # LONELY's purchase has gone to OTHER, who has never spun.
    assert status["assert_gaming_as_many_users_buy_as_spin"] == "warn"
    # What the alert says: old ones stay in the list, and each load is asked about its own.
    settings, listed = game.warehouse.settings(), game.runs.table("stg_gaming__rejected")
    assert count_rejected(listed, loads, settings=settings) == {"purchases": len(FAULTS)}
    assert game.runs.value(f"select count(*) from {listed}") > len(FAULTS)
    game.now += timedelta(minutes=1)
    game.buy("good", FIRST_DAY, USERS[0], "1.99")
    loads = game.load()
    game.stage()
    assert count_rejected(listed, loads, settings=settings) == {}
    assert count_rejected(listed, [], settings=settings) == {}
    reasons = {
        reason
        for (reason,) in game.runs.rows(
            f"select distinct reason from {game.runs.table('stg_gaming__rejected')}"
        )
    }
    assert reasons >= {"revenue has no number after =", "revenue is negative", "revenue is zero"}


def test_a_full_refresh_gives_the_same_rows(game: Game) -> None:
    game.runs.remember(TABLES)
    assert game.runs.dbt("run", "--full-refresh", "--select", *TABLES).success
    assert game.runs.differences(TABLES) == {}


def test_a_lost_row_and_a_stale_source_are_found(game: Game) -> None:
    game.runs.rows(f"delete from {game.runs.table(STAGING)} where transaction_id = 'stays'")
    game.runs.rows(f"delete from {game.runs.table(SPINS_STAGING)} where user_id = '{USERS[0]}'")
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


@pytest.mark.campaign
@seed(campaign.SEED)
@settings(
    max_examples=campaign.size(1, 40),
    database=None,
    deadline=None,
    # Shrinking a failure would take minutes; its series is short enough to be read.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(series=st.lists(BATCH, min_size=2, max_size=3))
def test_after_any_series_increments_are_what_a_full_rebuild_gives(
    game: Game, from_nothing: dict[str, str], series: list[Batch]
) -> None:
    game.forget()
    for batch in series:
        for event in batch.before:
            game.happen(event)
        game.load(batch.early)
        if batch.staged_early:
            game.stage(STAGING, SPINS_STAGING)
        for event in batch.after:
            game.happen(event)
        game.load()
        game.stage()
        assert_as_from_nothing(game, from_nothing)


def test_the_test_reads_the_models_of_the_folder() -> None:
    folder = Path(__file__).parents[2] / "dbt" / "models"
    found = {file.stem for file in folder.glob("*/gaming/*.sql")}
    assert found == {*TABLES, "stg_gaming__rejected"}
