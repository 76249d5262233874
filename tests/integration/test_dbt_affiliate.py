"""The affiliate models over deliveries of their own: computed by hand, corrected, at random.

What is delivered first is loaded and built once. A test that delivers more does so in a copy.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.domains.affiliate import demo as affiliate_demo
from include.ingestion.loader import load_source
from include.ingestion.results import FileResult
from include.ingestion.sources import load_domain
from tests import campaign
from tests.integration.dbt_runs import Beginning, DbtRuns, Outcome, begin

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EVENTS = ("routy", "manual", "voluum", "scrapers")
HEADERS = {
    "routy": "Date,MarketingSource,Operator,Country,CountryCode,RawEarnings,Visits,Signups",
    "manual": "date,marketing_source,operator,raw_earnings,visits,signups",
    "voluum": "Date,VoluumBrand,Clicks",
    "scrapers": "date,marketing_source,operator,country,total_earnings,visits",
    "deals": "MarketingSource,Deal,Comments",
    "voluum_mapper": "VoluumBrand,MarketingSource",
    "central_mapping": "Variants,StdOperator,Country",
}
DELIVERIES = {
    ("routy", "2024-12-31.csv"): [
        "2024-12-31,Atlas,LuckyLOLBay,Sweden,SE,10.5,4,1",
        "2024-12-31,Atlas,LuckyLOLBay,Sweden,SE,10.5,4,1",
        "2024/12/31 09:00,Atlas,Grand,Germany,DE,20,1,2",
        ",Atlas,Grand,Canada,CA,,3,0",
        "2024-12-31,Cove,lucky-bay,Brazil,BR,-5.25,1,0",
        "2024-02-30,Atlas,Grand,Germany,DE,900,9,9",
        "2024-12-31,Beacon,Lucky Bay,Sweden,SE,7,1,1",
    ],
    ("routy", "2025-01-01.csv"): ["2025-01-01,Atlas,LuckyLOLBay,Sweden,SE,8,2,1"],
    ("manual", "2024-12-31.csv"): ["2024-12-31,Atlas,LuckyLOLBay,10.5,4,1"],
    ("voluum", "2024-12-31.csv"): [
        "2024-12-31,a1,30",
        "2024-12-31 23:00,a2,10",
        "2024-12-31 23:00,a2,10",
        ",b,5",
        "2024-12-31,zz,99",
        "2025-01-02,a1,7",
    ],
    ("scrapers", "2024-12-31.csv"): [
        "2024-12-31,Atlas,lucky-bay,Sweden,100.5,1",
        "2024/12/31,Ember,Grand,Germany,50,2",
    ],
    ("scrapers", "2025-01-01.csv"): [
        "2025-01-01,Atlas,lucky-bay,Sweden,110.75,1",
        ",Ember,Grand,Germany,45.5,2",
    ],
    ("deals", "deals.csv"): ["Atlas,HYBRID,+ 1.25 + clicks*0.02", "Beacon,FIXED 0,+ 100"],
    ("voluum_mapper", "mapper.csv"): ["a1,Atlas", "a2,Atlas", "b,Beacon"],
    ("central_mapping", "mapping.csv"): [
        "LuckyLOLBay,Lucky Bay,",
        "lucky-bay,Lucky Bay,",
        "Grand,Palace,Germany",
        "Grand,Royale,Sweden",
    ],
}


class Affiliate:
    """The landing folder, and the models over what was loaded from it.

    Args:
        runs: dbt's commands, in the warehouse that is loaded into.
        moment: the time of the latest file that was delivered.
    """

    def __init__(self, runs: DbtRuns, moment: int = 0) -> None:
        self.runs, self.moment = runs, moment

    @property
    def landing(self) -> Path:
        return self.runs.home / "landing"

    def deliver_first(self) -> None:
        for (source, name), rows in DELIVERIES.items():
            self.deliver(source, name, *rows)

    def deliver(self, source: str, name: str, *rows: str) -> None:
        """A file that is younger than every one before it."""
        file = self.landing / "affiliate" / source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join([HEADERS[source], *rows]) + "\n", "utf-8")
        self.moment += 1
        os.utime(file, (1.7e9 + self.moment, 1.7e9 + self.moment))

    def load(self) -> dict[tuple[str, str], FileResult]:
        """Load what has landed, as far as something has."""
        return {
            (source.name, file.file): file
            for source in load_domain("affiliate").sources
            if any((self.landing / "affiliate" / source.name).glob("*.csv"))
            for file in load_source(source, landing=self.landing).files
        }

    def mart(self, name: str, columns: str) -> list[tuple[Any, ...]]:
        """Some columns of a mart, with numbers as short text."""
        rows = self.runs.rows(
            f"select {columns} from {self.runs.table(f'mart_affiliate__{name}')} order by 1, 2"
        )
        return [tuple(_short(value) for value in row) for row in rows]

    def assert_staged_is_raw(self) -> None:
        """The event sources' staging holds the rows of the raw tables, under their loads."""
        for source in EVENTS:
            raw = f"select _source_file, _row_number, _load_id from RAW.AFFILIATE.{source}"
            staged = self.runs.table(f"stg_affiliate__{source}")
            apart = self.runs.apart(raw, f"select source_file, source_row, load_id from {staged}")
            assert apart == 0, source


def _short(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, str) or value is None else float(value)


@dataclass(frozen=True)
class First:
    """What is delivered first, loaded and built, and how that went."""

    beginning: Beginning
    loaded: dict[tuple[str, str], FileResult]
    built: Outcome


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    loaded: dict[tuple[str, str], FileResult] = {}
    built: list[Outcome] = []

    def load_and_build(runs: DbtRuns) -> None:
        affiliate = Affiliate(runs)
        affiliate.deliver_first()
        loaded.update(affiliate.load())
        built.append(runs.build())

    beginning = begin(tmp_path_factory.mktemp("affiliate"), "affiliate", load_and_build)
    return First(beginning, loaded, built[0])


@pytest.fixture(scope="module")
def as_built(first: First, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Affiliate]:
    """For tests that only look."""
    with first.beginning.copy(tmp_path_factory.mktemp("read") / "home") as runs:
        yield Affiliate(runs)


@pytest.fixture
def affiliate(first: First, tmp_path: Path) -> Iterator[Affiliate]:
    """For a test that goes on from there."""
    with first.beginning.copy(tmp_path / "home") as runs:
        yield Affiliate(runs, len(DELIVERIES))


def test_files_become_commissions_as_computed_by_hand(first: First, as_built: Affiliate) -> None:
    affiliate, loaded, built = as_built, first.loaded, first.built
    routy = loaded["routy", "2024-12-31.csv"].accounts
    assert routy is not None
    assert (routy.delivered, routy.loaded, routy.rejected, routy.superseded) == (7, 5, 1, 1)
    assert built.success, built.output
    assert {result["status"] for result in built.results.values()} <= {"success", "pass", "no-op"}
    affiliate.assert_staged_is_raw()

    # Atlas on the 31st: 10.5 + 20 + 0 of Routy and 10.5 by hand, 1.25 for each of 4 events, 0.02
    # for each of 40 clicks.
    # Beacon's deal is fixed at 0, Cove has none.
    assert affiliate.mart(
        "web_traffic_daily",
        "event_date, marketing_source, event_count, visits, signups, clicks, raw_earnings,"
        " commission_total, commission",
    ) == [
        ("2024-12-31", "Atlas", 4, 12, 4, 40, 41, 46.8, 46.8),
        ("2024-12-31", "Beacon", 1, 1, 1, 5, 7, 7, 7),
        ("2024-12-31", "Cove", 1, 1, 0, 0, -5.25, -5.25, 0),
        ("2025-01-01", "Atlas", 1, 2, 1, 0, 8, 9.25, 9.25),
    ]
    # Lucky Bay in December: half of Atlas's events, 21 + 2.5 + 20 clicks of 0.02, Cove, Beacon.
    # Grand in Canada is nobody, and the clicks of that event are nobody's.
    assert affiliate.mart(
        "web_traffic_operator_monthly",
        "event_month, operator, event_count, clicks, raw_earnings, commission_total, commission",
    ) == [
        ("2024-12-01", "Lucky Bay", 4, 25, 22.75, 25.65, 25.65),
        ("2024-12-01", "Palace", 1, 10, 20, 21.45, 21.45),
        ("2025-01-01", "Lucky Bay", 1, 0, 8, 9.25, 9.25),
    ]
    assert affiliate.mart(
        "scrapers_daily",
        "event_date, marketing_source, total_earnings, commission_total, commission",
    ) == [
        ("2024-12-31", "Atlas", 100.5, 0, 0),
        ("2024-12-31", "Ember", 50, 0, 0),
        ("2025-01-01", "Atlas", 110.75, 10.25, 10.25),
        ("2025-01-01", "Ember", 45.5, -4.5, 0),
    ]
    assert affiliate.mart(
        "scrapers_operator_monthly", "event_month, operator, commission_total, commission"
    ) == [
        ("2024-12-01", "Lucky Bay", 0, 0),
        ("2024-12-01", "Palace", 0, 0),
        ("2025-01-01", "Lucky Bay", 10.25, 10.25),
        ("2025-01-01", "Palace", -4.5, 0),
    ]
    assert affiliate.mart(
        "commission_daily",
        "event_date, marketing_source, event_count, clicks, commission_total, commission",
    ) == [
        ("2024-12-31", "Atlas", 5, 40, 46.8, 46.8),
        ("2024-12-31", "Beacon", 1, 5, 7, 7),
        ("2024-12-31", "Cove", 1, 0, -5.25, 0),
        ("2024-12-31", "Ember", 1, 0, 0, 0),
        ("2025-01-01", "Atlas", 2, 0, 19.5, 19.5),
        ("2025-01-01", "Ember", 1, 0, -4.5, 0),
    ]
    # Atlas's 40 clicks are shared over its five events of both families: three are Lucky Bay's.
    assert affiliate.mart(
        "commission_operator_monthly",
        "event_month, operator, event_count, clicks, commission_total, commission",
    ) == [
        ("2024-12-01", "Lucky Bay", 5, 29, 25.65, 25.65),
        ("2024-12-01", "Palace", 2, 8, 21.45, 21.45),
        ("2025-01-01", "Lucky Bay", 2, 0, 19.5, 19.5),
        ("2025-01-01", "Palace", 1, 0, -4.5, 0),
    ]
    calendar = affiliate.runs.table("dim_affiliate__calendar")
    assert affiliate.runs.value(f"select count(*) from {calendar}") == 2


def test_the_questions_of_the_demo_have_answers(as_built: Affiliate) -> None:
    assert all(as_built.runs.answers(affiliate_demo.PIPELINE).values())


def test_a_run_without_news_writes_nothing(affiliate: Affiliate) -> None:
    affiliate.deliver_first()
    assert {file.status for file in affiliate.load().values()} == {"unchanged"}
    affiliate.runs.remember()
    again = affiliate.runs.run()
    for source in EVENTS:
        assert again.rows_affected(f"stg_affiliate__{source}") == 0, source
    assert affiliate.runs.differences() == {}


def test_corrections_reach_all_history_and_end_where_a_full_rebuild_ends(
    affiliate: Affiliate,
) -> None:
    affiliate.deliver("routy", "2024-12-31.csv", "2024-12-31,Atlas,lucky-bay,Sweden,SE,1,2,0")
    affiliate.deliver("manual", "2024-12-31.csv", "2024-12-31,Atlas,LuckyLOLBay,much,4,1")
    affiliate.deliver("deals", "another name.csv", "Atlas,CPA,+ 2", "Cove,CPA,+ 1")
    affiliate.deliver("voluum_mapper", "mapper.csv", "a1,Atlas", "b,Atlas")
    affiliate.deliver("central_mapping", "new.csv", "lucky-bay,Grand Bay,", "LuckyLOLBay,Bay,")
    affiliate.load()
    # As the DAGs build it: snapshots, but nothing is tested twice here.
    built = affiliate.runs.build("--exclude-resource-type", "test", "unit_test")
    assert built.success, built.output
    affiliate.assert_staged_is_raw()

    # The file of the 31st has one row, that of the same day by hand none. Atlas's deal counts on
    # the 1st too, whose files nobody touched.
    assert affiliate.mart(
        "web_traffic_daily", "event_date, marketing_source, event_count, clicks, commission_total"
    ) == [("2024-12-31", "Atlas", 1, 35, 3), ("2025-01-01", "Atlas", 1, 0, 10)]
    assert affiliate.mart(
        "commission_operator_monthly", "event_month, operator, clicks, commission_total"
    ) == [
        ("2024-12-01", "Grand Bay", 35, 3),
        ("2025-01-01", "Bay", 0, 10),
        ("2025-01-01", "Grand Bay", 0, 10.25),
    ]

    deals = affiliate.runs.table("snap_affiliate__deals")
    assert affiliate.runs.rows(
        f"select marketing_source, comments, dbt_valid_to is null, dbt_is_deleted from {deals}"
        " order by 1, dbt_valid_from"
    ) == [
        ("Atlas", "+ 1.25 + clicks*0.02", False, "False"),
        ("Atlas", "+ 2", True, "False"),
        ("Beacon", "+ 100", False, "False"),
        ("Beacon", "+ 100", True, "True"),
        ("Cove", "+ 1", True, "False"),
    ]
    mapper = affiliate.runs.table("snap_affiliate__voluum_mapper")
    assert affiliate.runs.rows(
        f"select voluum_brand, marketing_source from {mapper}"
        " where dbt_valid_to is null and dbt_is_deleted = 'False' order by 1"
    ) == [("a1", "Atlas"), ("b", "Atlas")]
    names = affiliate.runs.table("snap_affiliate__central_mapping")
    assert (
        affiliate.runs.value(f"select count(*) from {names} where operator_name = 'lucky-bay'") == 3
    ), "Lucky Bay, that it is gone, and Grand Bay"

    affiliate.runs.remember()
    assert affiliate.runs.run("--full-refresh").success
    assert affiliate.runs.differences() == {}


def test_a_backfill_touches_its_days_and_no_others(affiliate: Affiliate) -> None:
    staged = affiliate.runs.table("stg_affiliate__routy")

    def earned() -> list[tuple[Any, ...]]:
        found = f"select source_file, raw_earnings from {staged} order by 1, 2"
        return [(name, _short(amount)) for name, amount in affiliate.runs.rows(found)]

    of_the_31st = [one for one in earned() if one[0] == "2024-12-31.csv"]
    assert len(of_the_31st) == 5
    row = "{0},Atlas,LuckyLOLBay,Sweden,SE,{1},1,1"
    affiliate.deliver("routy", "2024-12-31.csv", row.format("2024-12-31", 77))
    affiliate.deliver("routy", "2025-01-01.csv", "2025-01-01,Atlas,,,,much,1,1")
    affiliate.deliver("routy", "2025-01-02.csv", row.format("2025-01-02", 99))
    affiliate.load()

    def run(**variables: object) -> None:
        done = affiliate.runs.dbt("run", "--select", "stg_affiliate__routy", **variables)
        assert done.success, done.output

    # The 1st has no row left; the days around it are left as they were, new or corrected.
    run(backfill_start="2025-01-01", backfill_end="2025-01-02 00:00:00")
    assert earned() == of_the_31st
    # The newest file that is staged is of the 31st.
    run(affiliate_lookback_days=1)
    assert earned() == [("2024-12-31.csv", 77), ("2025-01-02.csv", 99)]
    affiliate.deliver("routy", "2024-12-31.csv", row.format("2024-12-31", 78))
    affiliate.load()
    run(affiliate_lookback_days=2)
    assert earned() == [("2024-12-31.csv", 77), ("2025-01-02.csv", 99)]
    run()
    assert earned() == [("2024-12-31.csv", 78), ("2025-01-02.csv", 99)]

    wrong = affiliate.runs.dbt(
        "run", "--select", "stg_affiliate__routy", affiliate_lookback_days="0"
    )
    assert not wrong.success
    assert "give a whole number of days above 0, or null for all" in wrong.output


ROWS = {
    "routy": "{0},Atlas,LuckyLOLBay,Sweden,SE,{1},1,1",
    "manual": "{0},Atlas,LuckyLOLBay,{1},1,1",
    "voluum": "{0},a1,{1}",
    "scrapers": "{0},Atlas,lucky-bay,Sweden,{1},1",
}


def test_a_backfill_leaves_every_row_outside_as_it_is(affiliate: Affiliate) -> None:
    staged = {source: affiliate.runs.table(f"stg_affiliate__{source}") for source in ROWS}

    def deliver(number: int) -> None:
        for source, row in ROWS.items():
            for day in ("2025-03-01", "2025-03-02", "2025-03-03"):
                affiliate.deliver(source, f"{day}.csv", row.format(day, number))
        affiliate.load()

    def run(**variables: object) -> None:
        models = [f"stg_affiliate__{source}" for source in ROWS]
        done = affiliate.runs.dbt("run", "--select", *models, **variables)
        assert done.success, done.output

    def rows(condition: str) -> dict[str, list[str]]:
        found = {
            source: affiliate.runs.rows(f"select * from {table} where {condition}")
            for source, table in staged.items()
        }
        return {source: sorted(map(repr, rows)) for source, rows in found.items()}

    inside, outside = "source_file = '2025-03-02.csv'", "source_file <> '2025-03-02.csv'"
    deliver(1)
    run()
    deliver(2)
    before, kept = rows(inside), rows(outside)
    run(backfill_start="2025-03-02", backfill_end="2025-03-03")
    assert rows(outside) == kept
    after = rows(inside)
    for source in ROWS:
        assert len(kept[source]) >= 2
        assert len(before[source]) == len(after[source]) == 1
        assert before[source] != after[source], source
    run()
    assert rows(inside) == after
    assert all(rows(outside)[source] != kept[source] for source in ROWS)
    affiliate.assert_staged_is_raw()


class Series:
    """Draws deliveries of every kind."""

    def __init__(self, affiliate: Affiliate, seed: int) -> None:
        self.affiliate, self.draw = affiliate, random.Random(seed)  # noqa: S311
        self.log: list[str] = []

    def go_on(self, deliveries: int) -> None:
        for _ in range(deliveries):
            source = self.draw.choice([*EVENTS, *HEADERS])
            name = "latest.csv" if source not in EVENTS else f"{self._day()}.csv"
            rows = getattr(self, f"_{source}")() if self.draw.random() > 0.1 else []
            # A file with a header alone is refused; one with rows that are all bad is loaded.
            rows = rows or [",".join("?" * len(HEADERS[source].split(",")))]
            rows += self.draw.sample(rows, len(rows) // 3)
            self.log.append(f"{source}/{name}: {rows}")
            self.affiliate.deliver(source, name, *rows)
        self.affiliate.load()

    def _day(self) -> date:
        return date(2024, 12, 28) + timedelta(days=self.draw.randrange(8))

    def _many(self, *columns: Any) -> list[str]:
        count = self.draw.randint(1, 6)
        return [",".join(str(column()) for column in columns) for _ in range(count)]

    def _when(self) -> str:
        day = self._day()
        return self.draw.choice([f"{day}", f"{day:%Y/%m/%d} 10:00", "", "2024-02-30"])

    def _who(self) -> str:
        return self.draw.choice(["Atlas", "Beacon", "Cove", "Ember", ""])

    def _operator(self) -> str:
        return self.draw.choice(["Bay", "LuckyLOLBay", "Grand", "Palace", "Nobody", ""])

    def _country(self) -> str:
        return self.draw.choice(["Sweden", "Germany", "SE", ""])

    def _amount(self) -> str:
        return self.draw.choice([f"{self.draw.uniform(-20, 50):.4f}", "", "much"])

    def _count(self) -> int:
        return self.draw.randrange(50)

    def _brand(self) -> str:
        return self.draw.choice(["a", "b", "c", "d"])

    def _routy(self) -> list[str]:
        return self._many(
            self._when, self._who, self._operator, self._country, self._country, self._amount,
            self._count, self._count,
        )  # fmt: skip

    def _manual(self) -> list[str]:
        return self._many(
            self._when, self._who, self._operator, self._amount, self._count, self._count
        )

    def _voluum(self) -> list[str]:
        return self._many(self._when, self._brand, self._count)

    def _scrapers(self) -> list[str]:
        return self._many(
            self._when, self._who, self._operator, self._country, self._amount, self._count
        )

    def _deals(self) -> list[str]:
        formulas = ["+ 1.5", "+ clicks*0.1", "+ 2 + clicks*0.01", ""]
        return self._many(
            self._who, lambda: self.draw.choice(["CPA", "FIXED 0"]),
            lambda: self.draw.choice(formulas),
        )  # fmt: skip

    def _voluum_mapper(self) -> list[str]:
        return self._many(self._brand, self._who)

    def _central_mapping(self) -> list[str]:
        return self._many(
            self._operator, lambda: self.draw.choice(["Lucky Bay", "Palace", "Royale"]),
            self._country,
        )  # fmt: skip


@pytest.mark.campaign
def test_any_series_of_deliveries_ends_where_a_full_rebuild_ends(affiliate: Affiliate) -> None:
    series = Series(affiliate, campaign.SEED)
    runs = affiliate.runs
    for deliveries in [14, 8] * 10 if campaign.LONG else [14]:
        series.go_on(deliveries)
        done = runs.build("--exclude-resource-type", "unit_test", "snapshot")
        told = "\n".join(series.log)
        assert done.success, f"{done.output}\n{told}"
        affiliate.assert_staged_is_raw()
        # No event is lost or multiplied on the way, and no amount.
        fact = runs.table("fct_affiliate__traffic_events")
        staged = [runs.table(f"stg_affiliate__{one}") for one in ("routy", "manual", "scrapers")]
        ids = " union all ".join(f"select event_id from {table}" for table in staged)
        assert runs.apart(f"select event_id from {fact}", ids) == 0, told
        assert runs.value(f"select count(*) from {fact}") == runs.value(
            f"select count(*) from ({ids})"
        ), told
        runs.remember()
        assert runs.run("--full-refresh").success
        assert runs.differences() == {}, told
