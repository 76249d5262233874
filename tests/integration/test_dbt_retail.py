"""The retail models on the local warehouse: days of deliveries, one after the other.

Three days are delivered and built once. A test that delivers more does so in a copy. Beside the
generated deliveries there is a file of a few transactions each day, whose way through the marts is
worked out by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from include.domains.retail import demo as retail_demo
from include.domains.retail import sample as retail
from include.ingestion.loader import load_source
from include.ingestion.sources import load_domain
from include.orchestration.export_tasks import domain_relations
from include.warehouse.export import Exported, export
from tests.integration.dbt_runs import Beginning, DbtRuns, Outcome, Row, begin, layers_of

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SIZES = retail.Sizes(customers=400, transactions=3_000, products=60)
TRANSACTIONS = "int_retail__transactions"
QUALITY = "mart_retail__data_quality"

Sale = dict[str, Any]


def sale(number: int, status: str, amount: str | None, **more: Any) -> Sale:
    """A transaction of its own category, payment method and device, so that marts show it alone."""
    return {
        "transaction_id": f"HAND_{number}",
        "customer_id": 1,
        "product_id": "PROD_0001",
        "product_category": "By hand",
        "amount": None if amount is None else Decimal(amount),
        "timestamp": f"2025-01-01T10:00:{number:02}",
        "payment_method": "cheque",
        "status": status,
        "device": "watch",
        "browser": "lynx",
        "location": None,
    } | more


BY_HAND = [
    [
        sale(1, "pending", "10.00"),
        sale(2, "completed", "20.01"),
        sale(2, "completed", "20.01"),
        sale(3, "completed", "0.00"),
        sale(4, "completed", None),
        sale(5, "cancelled", "99.00"),
        sale(6, "completed", "5.00", product_category="", device=None, browser="  "),
        sale(7, "completed", "7.00", timestamp="soon", product_id="NOTHING"),
    ],
    [sale(1, "completed", "10.00")],
    [sale(1, "refunded", "10.00"), sale(2, "completed", "20.03")],
]
"""Per day; what follows from them stands in `EXPECTED`."""

EXPECTED: list[dict[str, Any]] = [
    # Day 1: sales 2 and 7. Their average, 13.505, is rounded up.
    {"count": 2, "sum": "27.01", "average": "13.51", "smallest": "7.00", "largest": "20.01"},
    # Day 2: sale 1 is completed.
    {"count": 3, "sum": "37.01", "average": "12.34", "smallest": "7.00", "largest": "20.01"},
    # Day 3: sale 1 is refunded, and sale 2 corrected.
    {"count": 2, "sum": "27.03", "average": "13.52", "smallest": "7.00", "largest": "20.03"},
]


def by_hand(day: int) -> str:
    """The name of a day's file of sales by hand."""
    return f"by_hand_{retail.START + timedelta(days=day)}.parquet"


class Shop(DbtRuns):
    """The models, with the days that are delivered to them."""

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    def load(self) -> int:
        """Load what has landed; how many rows were delivered."""
        delivered = 0
        for source in load_domain("retail").sources:
            for file in load_source(source, landing=self.landing).files:
                assert file.status == "loaded", file.reason
                assert file.accounts
                delivered += file.accounts.delivered
        return delivered

    def deliver(self, day: int) -> None:
        retail.deliver(retail.START + timedelta(days=day), SIZES, landing=self.landing)
        self.deliver_by_hand(by_hand(day), BY_HAND[day])
        assert self.load()

    def deliver_by_hand(self, name: str, rows: list[Sale]) -> None:
        folder = self.landing / "retail" / "transactions"
        schema = {
            column: pl.Decimal(12, 2)
            if column == "amount"
            else (pl.Int64 if column == "customer_id" else pl.String)
            for column in rows[0]
        }
        pl.DataFrame(rows, schema=schema).write_parquet(folder / name)

    def delivered(self, files_like: str = "%") -> pl.DataFrame:
        """All transactions in the order of delivery, as the files have them."""
        loads = self.rows(
            "select source_file from RAW.META.LOADS where domain = 'retail'"
            " and source = 'transactions' and status = 'committed' and source_file like %s"
            " order by load_id",
            files_like,
        )
        files = {
            path.name.split("-", 2)[2]: path
            for path in (self.landing / "archive" / "retail" / "transactions").iterdir()
        }
        return pl.concat(
            pl.read_parquet(files[name]).with_columns(pl.col("amount").cast(pl.Decimal(38, 2)))
            for (name,) in loads
        )


def figures(shop: Shop) -> dict[str, list[Row]]:
    """What the sales by hand come to, in every mart that counts transactions."""
    return {
        "category_revenue": shop.rows(
            "select transaction_count, revenue, average_amount, smallest_amount, largest_amount"
            f" from {shop.table('mart_retail__category_revenue')}"
            " where product_category = 'By hand'"
        ),
        "devices": shop.rows(
            f"select transaction_count, revenue from {shop.table('mart_retail__devices')}"
            " where device = 'watch' and browser = 'lynx'"
        ),
        "payment_methods": shop.rows(
            "select use_count, amount, average_amount"
            f" from {shop.table('mart_retail__payment_methods')} where payment_method = 'cheque'"
        ),
    }


def expected_figures(count: int, **amounts: str) -> dict[str, list[Row]]:
    """The same of the amounts that are worked out."""
    total, average, smallest, largest = map(Decimal, amounts.values())
    # Sale 6 has a payment method too.
    five = Decimal("5.00")
    cents = ((total + five) / (count + 1)).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return {
        "category_revenue": [(count, total, average, smallest, largest)],
        "devices": [(count, total)],
        "payment_methods": [(count + 1, total + five, cents)],
    }


@dataclass(frozen=True)
class History:
    """Three days, delivered and built one after the other.

    Attributes:
        beginning: where that has led to.
        first_build: the one of the first day, with tests.
        runs: those of the days after.
        figures: of the sales by hand, each day.
    """

    beginning: Beginning
    first_build: Outcome
    runs: list[Outcome]
    figures: list[dict[str, list[Row]]]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    outcomes: list[Outcome] = []
    found: list[dict[str, list[Row]]] = []

    def deliver_and_build(runs: DbtRuns) -> None:
        shop = Shop(**vars(runs))
        for day in range(3):
            shop.deliver(day)
            outcomes.append(shop.run() if day else shop.build())
            assert outcomes[day].success, outcomes[day].output
            found.append(figures(shop))

    beginning = begin(tmp_path_factory.mktemp("retail"), "retail", deliver_and_build)
    return History(beginning, outcomes[0], outcomes[1:], found)


@pytest.fixture(scope="module")
def as_built(history: History, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """For tests that only look."""
    with history.beginning.copy(tmp_path_factory.mktemp("read") / "home") as runs:
        yield Shop(**vars(runs))


@pytest.fixture
def shop(history: History, tmp_path: Path) -> Iterator[Shop]:
    """For a test that goes on from there."""
    with history.beginning.copy(tmp_path / "home") as runs:
        yield Shop(**vars(runs))


def test_the_first_day_is_built_and_tested(as_built: Shop, history: History) -> None:
    statuses = {
        unique_id.split(".")[2]: result["status"]
        for unique_id, result in history.first_build.results.items()
        if result["status"] not in ("success", "pass", "no-op")
    }
    # Products that do not exist, categories that disagree, and a payment method of ours.
    assert set(statuses.values()) == {"warn"}
    assert {name.split("_int_retail")[0] for name in statuses} == {
        "relationships", "accepted_values", "assert_retail_categories_agree_with_products",
    }  # fmt: skip
    assert history.figures[0] == expected_figures(**EXPECTED[0])
    assert as_built.rows(
        "select product_category, device, browser, transacted_at"
        f" from {as_built.table('int_retail__transactions_completed')}"
        " where transaction_id in ('HAND_6', 'HAND_7') order by transaction_id"
    ) == [
        (None, None, None, pd.Timestamp("2025-01-01 10:00:06").to_pydatetime()),
        ("By hand", "watch", "lynx", None),
    ]


def test_the_questions_of_the_demo_have_answers(as_built: Shop) -> None:
    assert all(as_built.answers(retail_demo.PIPELINE).values())


def test_warnings_count_transactions(as_built: Shop, history: History) -> None:
    day = as_built.delivered(f"%{retail.START}.parquet").unique()
    archived = (as_built.landing / "archive/retail/products").glob(f"*{retail.START}.parquet")
    products = pl.read_parquet(next(archived))
    unknown = day.join(products, on="product_id", how="anti")
    known = day.join(products, on="product_id")
    disagreeing = known.filter(
        (pl.col("product_category") != "") & (pl.col("product_category") != pl.col("category"))
    )
    failures = {
        unique_id.split(".")[2].split("_int_retail")[0]: result["failures"]
        for unique_id, result in history.first_build.results.items()
        if result["status"] == "warn"
    }
    assert failures["relationships"] == len(unknown) > 20
    assert failures["assert_retail_categories_agree_with_products"] == len(disagreeing) > 20


@pytest.mark.parametrize("day", [1, 2])
def test_a_change_of_status_reaches_every_mart(history: History, day: int) -> None:
    assert history.runs[day - 1].rows_affected(TRANSACTIONS) > SIZES.transactions
    assert history.figures[day] == expected_figures(**EXPECTED[day])


def test_marts_hold_what_the_files_say(as_built: Shop) -> None:
    latest = as_built.delivered().unique("transaction_id", keep="last", maintain_order=True)
    assert as_built.value(f"select count(*) from {as_built.table(TRANSACTIONS)}") == len(latest)
    assert len(latest) == 3 * SIZES.transactions + 7
    sold = latest.filter((pl.col("status") == "completed") & (pl.col("amount") > 0))
    blank = pl.col(pl.String).str.strip_chars().replace("", None)
    groups = {
        "mart_retail__category_revenue": (["product_category"], "transaction_count", "revenue"),
        "mart_retail__payment_methods": (["payment_method"], "use_count", "amount"),
        "mart_retail__devices": (["device", "browser"], "transaction_count", "revenue"),
    }
    for mart, (keys, count, total) in groups.items():
        expected = {
            tuple(row[:-2]): (row[-2], row[-1])
            for row in sold.with_columns(blank)
            .group_by(keys)
            .agg(pl.len(), pl.col("amount").sum().alias("total"))
            .iter_rows()
        }
        found = {
            tuple(row[:-2]): (row[-2], row[-1])
            for row in as_built.rows(
                f"select {', '.join(keys)}, {count}, {total} from {as_built.table(mart)}"
            )
        }
        assert found == expected, mart
        assert any(None in key for key in found), mart


def test_customers_and_products_are_those_of_the_last_day(as_built: Shop) -> None:
    day = retail.START + timedelta(days=2)
    archived = {
        source: next(
            (as_built.landing / "archive/retail" / source).glob(f"*{source}_{day}.parquet")
        )
        for source in ("customers", "products")
    }
    customers = pl.read_parquet(archived["customers"]).unique("customer_id", keep="last")
    enriched = as_built.table("int_retail__customers_enriched")
    assert as_built.rows(f"select count(*), sum(total_spent) from {enriched}") == [
        (SIZES.customers, customers["total_spent"].cast(pl.Decimal(38, 2)).sum())
    ]
    values: dict[int, Decimal | None] = dict(
        as_built.rows(f"select customer_id, average_order_value from {enriched}")
    )
    for customer in customers.iter_rows(named=True):
        spent, orders = customer["total_spent"], customer["total_orders"]
        expected: Decimal | None = None
        if orders == 0:
            expected = Decimal("0.00")
        elif spent is not None and orders is not None:
            expected = (spent / orders).quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert values[customer["customer_id"]] == expected
    products = pl.read_parquet(archived["products"])
    active = products.filter(pl.col("is_active") & (pl.col("stock_quantity") > 0))
    assert (
        as_built.value(
            f"select sum(stock_quantity) from {as_built.table('mart_retail__inventory')}"
        )
        == active["stock_quantity"].sum()
    )


def test_quality_is_kept_for_every_delivery(as_built: Shop) -> None:
    quality = as_built.table(QUALITY)
    loads = as_built.rows(
        "select source, count(*) from RAW.META.LOADS where domain = 'retail'"
        " and status = 'committed' group by source order by source"
    )
    assert loads == [("customers", 3), ("products", 3), ("transactions", 6)]
    assert as_built.rows(
        f"select table_name, count(distinct load_id), count(*) from {quality} group by 1 order by 1"
    ) == [("customers", 3, 27), ("products", 3, 27), ("transactions", 6, 66)]
    archived = (as_built.landing / "archive/retail/transactions").iterdir()
    [first] = [
        pl.read_parquet(file)
        for file in archived
        if file.name.endswith("transactions_2025-01-01.parquet")
    ]
    for column in ("transaction_id", "product_category", "amount"):
        values = first[column].drop_nulls()
        repeats = len(values) - values.n_unique()
        assert as_built.rows(
            f"select row_count, null_count, distinct_count, duplicate_count from {quality}"
            " where source_file = 'transactions_2025-01-01.parquet' and column_name = %s",
            column,
        ) == [(len(first), first[column].null_count(), values.n_unique(), repeats)]
    assert as_built.rows(
        f"select null_count, duplicate_count from {quality}"
        " where source_file = 'by_hand_2025-01-01.parquet'"
        " and column_name in ('transaction_id', 'transacted_at') order by column_position"
    ) == [(0, 1), (1, 1)]


def test_without_news_nothing_is_written(shop: Shop) -> None:
    shop.remember()
    again = shop.run()
    assert again.rows_affected(TRANSACTIONS) == 0
    assert again.rows_affected(QUALITY) == 0
    assert shop.differences() == {}


def test_a_file_that_comes_again_replaces_its_day_alone_as_a_full_rebuild_does(shop: Shop) -> None:
    quality = shop.rows(f"select * from {shop.table(QUALITY)}")
    of_last_day = ["int_retail__customers_enriched", "int_retail__products"]
    shop.remember(of_last_day)
    # Of the third day nothing by hand is left but a new sale: 1 is completed and 2 is 20.01 again.
    shop.deliver_by_hand(by_hand(2), [sale(8, "completed", "1.00")])
    # The first day is delivered again: 3 is worth something, 7 was none, and of customers and
    # products there is one each.
    first_day = [row for row in BY_HAND[0][:7] if row["transaction_id"] != "HAND_3"]
    shop.deliver_by_hand(by_hand(0), [*first_day, sale(3, "completed", "3.00")])
    for source in ("customers", "products"):
        name = f"{source}_{retail.START}.parquet"
        archived = next((shop.landing / "archive/retail" / source).glob(f"*{name}"))
        pl.read_parquet(archived).head(1).write_parquet(shop.landing / "retail" / source / name)
    # Its name tells no day, so that it is of the day on which it is loaded.
    shop.deliver_by_hand("late_sales.parquet", [sale(9, "completed", "9.00")])
    assert shop.load() == 1 + 7 + 2 + 1
    done = shop.run()
    assert done.success, done.output
    rows: dict[str, tuple[str, Decimal | None]] = {
        name: (status, amount)
        for name, status, amount in shop.rows(
            f"select transaction_id, transaction_status, amount from {shop.table(TRANSACTIONS)}"
            " where transaction_id like 'HAND%'"
        )
    }
    assert sorted(rows) == [f"HAND_{number}" for number in (1, 2, 3, 4, 5, 6, 8, 9)]
    # The second day says completed, and the first, though loaded after it, is over.
    assert rows["HAND_1"] == ("completed", Decimal("10.00"))
    assert rows["HAND_2"] == ("completed", Decimal("20.01"))
    assert rows["HAND_3"] == ("completed", Decimal("3.00"))
    assert rows["HAND_8"] == ("completed", Decimal("1.00"))
    assert shop.differences(of_last_day) == {}
    assert shop.rows(
        "select distinct business_day, loaded_at::date"
        f" from {shop.table('stg_retail__transactions')} where source_file = 'late_sales.parquet'"
    ) == [(datetime.now(UTC).date(),) * 2]
    # The reports of the replaced files stay, five are added.
    now = shop.rows(f"select * from {shop.table(QUALITY)}")
    assert len(now) == len(quality) + 3 * 11 + 2 * 9
    assert set(quality) <= set(now)

    # So a full rebuild ends.
    shop.remember()
    assert shop.run("--full-refresh").success
    # The history of the replaced files is among what has not changed.
    assert shop.differences() == {}

    # The history measured anew is the same.
    shop.rows(f"drop table {shop.table(QUALITY)}")
    assert shop.dbt("run", "--select", QUALITY).success
    measured = shop.rows(f"select * from {shop.table(QUALITY)}")
    kept = shop.rows(f"select * from {QUALITY}__before")
    # The four files that were replaced are not there to be measured.
    assert len(measured) == len(kept) - 2 * 11 - 2 * 9
    assert set(measured) <= set(kept)


def test_a_bounded_run_keeps_to_its_range(shop: Shop) -> None:
    transactions = shop.table(TRANSACTIONS)
    shop.remember([TRANSACTIONS])
    shop.rows(f"update {transactions} set amount = -1 where transaction_date is not null")
    bounds = {"backfill_start": "2025-01-02 06:00:00", "backfill_end": "2025-01-03"}
    done = shop.dbt("run", "--select", TRANSACTIONS, **bounds)
    inside = "transacted_at >= '2025-01-02 06:00:00' and transacted_at < '2025-01-03'"
    within = shop.value(f"select count(*) from {transactions} where {inside}")
    assert done.rows_affected(TRANSACTIONS) == within > 1_000
    before = f"select * from {TRANSACTIONS}__before where {inside}"
    assert shop.apart(before, f"select * from {transactions} where {inside}") == 0
    outside = f"from {transactions} where not ({inside})"
    assert shop.rows(f"select distinct amount {outside}") == [(Decimal("-1.00"),)]


def test_columns_are_those_in_the_yaml_and_marts_carry_their_descriptions(as_built: Shop) -> None:
    manifest = json.loads(next(as_built.folder.glob("*/manifest.json")).read_text())
    for name in layers_of("retail"):
        model = manifest["nodes"][f"model.firn.{name}"]
        columns = as_built.rows(
            "select column_name, comment from analytics_dev.information_schema.columns"
            " where table_schema = upper(%s) and table_name = upper(%s) order by ordinal_position",
            model["schema"],
            name,
        )
        documented = [column.upper() for column in model["columns"]]
        assert [column for column, _ in columns] == documented, name


# -- the files -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(as_built: Shop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    manifest = json.loads(next(as_built.folder.glob("*/manifest.json")).read_text())
    folder = tmp_path_factory.mktemp("exports")
    made = export(domain_relations("retail", manifest), folder=folder)
    return {str(Path(one.folder).relative_to(folder.resolve())): one for one in made}


def test_everything_is_exported(exported: dict[str, Exported]) -> None:
    wanted = {f"bronze/{name}" for name in ("customers", "products", "transactions")}
    for name, layer in layers_of("retail").items():
        wanted.add(f"{'gold' if layer == 'mart' else 'silver'}/{name}")
    assert {f"{one.medal}/{one.table}" for one in exported.values()} == set(exported) == wanted
    root = Path(exported["bronze/customers"].folder).parents[1]
    assert {str(path.relative_to(root)) for path in root.glob("[bsg]*/*")} == wanted


def test_files_hold_what_the_tables_hold(as_built: Shop, exported: dict[str, Exported]) -> None:
    for name, one in exported.items():
        medal, _, table = name.partition("/")
        relation = f"RAW.RETAIL.{table}" if medal == "bronze" else as_built.table(table)
        files = f"read_parquet('{one.folder}/*.parquet')"
        with duckdb.connect() as duck:
            duck.execute("set timezone = 'UTC'")
            read = duck.execute(f"select * from {files}")
            names = [column[0] for column in read.description or []]
            rows = read.fetchall()
        assert all(column == column.lower() and column.isidentifier() for column in names), name
        columns = ", ".join(f'"{column.upper()}"' for column in names)
        expected = as_built.rows(f"select {columns} from {relation}")
        assert len(rows) == one.rows == len(expected) > 0, name
        assert sorted(map(repr, rows)) == sorted(map(repr, expected)), name
        frame = pd.read_parquet(one.folder)
        assert (list(frame.columns), len(frame)) == (names, one.rows), name
        assert 1 <= one.files <= 2, name
        for file in Path(one.folder).glob("*.parquet"):
            group = pq.read_metadata(file).row_group(0)
            assert group.column(0).compression == "SNAPPY", name
