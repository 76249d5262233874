"""The retail deliveries: the same bytes for the same settings, dirt, and statuses that change."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from include.domains.retail import sample as retail
from include.domains.retail.sample import START, Sizes, deliver, deliver_days
from include.ingestion.sources import load_domain
from include.project.domains import SampleDataError

SIZES = Sizes(customers=2_000, transactions=20_000, products=50)


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("landing")
    deliver_days(4, SIZES, landing=folder)
    return folder


def read(landing: Path, source: str, day: int) -> pl.DataFrame:
    name = f"{source}_{START + timedelta(days=day)}.parquet"
    return pl.read_parquet(landing / "retail" / source / name)


def test_columns_are_those_that_are_declared(landing: Path) -> None:
    for source in load_domain("retail").sources:
        assert read(landing, source.name, 0).columns == [one.name for one in source.columns]


def test_sizes_are_those_asked_for(landing: Path) -> None:
    assert read(landing, "customers", 0)["customer_id"].n_unique() == 2_000
    assert read(landing, "products", 0)["product_id"].n_unique() == 50
    first = read(landing, "transactions", 0)
    assert first["transaction_id"].n_unique() == 20_000
    assert first["transaction_id"].min() == "TXN_0000001"
    assert read(landing, "products", 0)["product_id"].to_list()[0] == "PROD_0001"


def test_a_day_made_alone_has_the_same_bytes(landing: Path, tmp_path: Path) -> None:
    deliver(START + timedelta(days=2), SIZES, landing=tmp_path)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.parquet"))
    assert len(files) == 3
    for file in files:
        assert (tmp_path / file).read_bytes() == (landing / file).read_bytes()


def test_another_seed_gives_other_data(landing: Path, tmp_path: Path) -> None:
    deliver(START, Sizes(2_000, 20_000, 50, seed=1), landing=tmp_path)
    assert not read(tmp_path, "transactions", 0).equals(read(landing, "transactions", 0))


def test_rows_do_not_depend_on_where_batches_end(
    landing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retail, "BATCH_ROWS", 7_000)
    made = deliver(START + timedelta(days=1), SIZES, landing=tmp_path)
    file = {one.source: one for one in made}["transactions"]
    assert pq.read_metadata(file.file).num_rows == file.rows
    ids = pl.read_parquet(file.file)["transaction_id"]
    new = [one for one in ids.unique() if one > "TXN_0020000"]
    assert len(new) == 20_000


def test_the_dirt_is_there(landing: Path) -> None:
    rows = read(landing, "transactions", 0)
    share = {name: rows[name].null_count() / len(rows) for name in rows.columns}
    for column in ("customer_id", "product_category", "payment_method", "location"):
        assert 0.005 < share[column] < 0.02, column
    for column in ("amount", "device", "browser"):
        assert 0.002 < share[column] < 0.01, column
    assert share["transaction_id"] == share["status"] == 0
    repeated = len(rows) - rows["transaction_id"].n_unique()
    assert 0.005 < repeated / len(rows) < 0.02
    assert rows.is_duplicated().sum() == 2 * repeated
    products = read(landing, "products", 0)
    known = rows.join(products, on="product_id")
    assert 0.005 < 1 - len(known) / len(rows) < 0.02
    disagreeing = known.filter(pl.col("product_category") != pl.col("category"))
    assert 0.004 < len(disagreeing) / len(rows) < 0.02
    assert read(landing, "customers", 0)["customer_id"].is_duplicated().any()
    assert set(rows["status"]) == {"completed", "pending", "cancelled", "refunded"}


def test_money_is_decimal_and_adds_up(landing: Path) -> None:
    rows = read(landing, "transactions", 0)
    assert rows.schema["amount"] == pl.Decimal(12, 2)
    amounts = [one for one in rows["amount"].to_list() if one is not None]
    assert all(one == one.quantize(Decimal("0.01")) for one in amounts)
    assert min(amounts) >= 0
    assert rows["amount"].cast(pl.Decimal(38, 2)).sum() == sum(amounts)


def test_negative_cents_keep_their_sign() -> None:
    import numpy as np

    made = retail._money(np.array([-1, 0, 123_456]), np.array([False, True, False]))
    assert made.to_pylist() == [Decimal("-0.01"), None, Decimal("1234.56")]


def test_statuses_change_as_they_may_and_nothing_else_does(landing: Path) -> None:
    states: dict[str, list[str]] = {}
    rest: dict[str, tuple[object, ...]] = {}
    for day in range(4):
        rows = read(landing, "transactions", day).unique(maintain_order=True)
        assert not rows["transaction_id"].is_duplicated().any()
        for row in rows.iter_rows(named=True):
            states.setdefault(row["transaction_id"], []).append(row.pop("status"))
            values = tuple(row.values())
            assert rest.setdefault(row["transaction_id"], values) == values
    changes = Counter(
        change
        for history in states.values()
        for change in pairwise(history)
        if change[0] != change[1]
    )
    assert set(changes) == {
        ("pending", "completed"), ("pending", "cancelled"), ("completed", "refunded"),
    }  # fmt: skip
    assert min(changes.values()) > 100
    assert ["pending", "completed", "refunded"] in states.values()
    assert any(history[0] == history[-1] and len(history) > 1 for history in states.values())


def test_no_unfinished_file_stays(landing: Path) -> None:
    assert len([path for path in landing.rglob("*") if path.is_file()]) == 12


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        (Sizes(customers=0), "0 customers cannot be generated: use 1 to 100,000,000"),
        (Sizes(transactions=-5), "-5 transactions cannot be generated"),
        (Sizes(products=1_000_001), "1,000,001 products cannot be generated: use 1 to 1,000,000"),
        (Sizes(seed=-1), "The seed is -1: use a whole number from 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes: Sizes, words: str, tmp_path: Path) -> None:
    with pytest.raises(SampleDataError, match=words):
        deliver(START, sizes, landing=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_days_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleDataError, match="2024-12-31 has no delivery: use a day from"):
        deliver(date(2024, 12, 31), SIZES, landing=tmp_path)
    with pytest.raises(SampleDataError, match="0 days cannot be generated: use 1 to 3,660"):
        deliver_days(0, SIZES, landing=tmp_path)


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "retail").write_text("a file")
    with pytest.raises(SampleDataError, match=r"cannot be written to .*: make room"):
        deliver(START, SIZES, landing=tmp_path)
