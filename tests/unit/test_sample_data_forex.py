"""The generated deliveries of customer transactions: what is in them, and that they repeat."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from include.commands.firn import app
from include.domains.forex import sample as forex
from include.project.domains import SampleDataError

ROWS = 20_000


def read(delivered: forex.Delivered) -> pl.DataFrame:
    return pl.read_csv(delivered.file, infer_schema=False)


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory: pytest.TempPathFactory) -> list[pl.DataFrame]:
    landing = tmp_path_factory.mktemp("landing")
    return [read(forex.deliver(number, ROWS, landing=landing)) for number in (1, 2)]


@pytest.mark.parametrize(
    ("column", "pattern"),
    [
        ("transaction_id", r"T\d+"),
        ("transaction_date", r"20\d\d-[01]\d-[0-3]\d"),
        ("transaction_date", r"[0-3]\d-[01]\d-20\d\d"),
        ("transaction_date", r"[0-3]\d/[01]\d/20\d\d"),
        ("transaction_date", r"20\d\d/[01]\d/[0-3]\d"),
        ("transaction_date", r"[0-3]\d-[01]\d-2\d"),
        ("transaction_date", r"20\d\d-[01]\d-[0-3]\d \d\d:\d\d:\d\d"),
        ("transaction_date", r"[01]\d-(1[3-9]|[23]\d)-20\d\d"),
        ("transaction_date", r"31-02-2023|tomorrow"),
        ("price", r"\d+\.\d\d"),
        ("price", r"Two Hundred"),
        ("price", r"[a-z]+ty-[a-z]+"),
        ("price", r"[A-Z]{3,} HUNDRED AND [A-Z-]+"),
        ("price", r"minus [a-z ]+"),
        ("price", r"[a-z -]{61,}"),
        ("price", r"1,\d{3}\.\d\d"),
        ("price", r"-\d+\.\d\d"),
        ("price", r"N/A"),
        ("tax", r"(?i)fifteen"),
        ("quantity", r"\d\.0"),
        ("quantity", r"\d\.25"),
        ("product_id", r"P100"),
        ("product_name", r"  Product [A-E] "),
        ("customer_last_name", r"O'Neill"),
        ("customer_first_name", r"Zoë"),
        ("customer_city", r"Łódź"),
    ],
)
def test_every_kind_of_dirt_is_there(
    deliveries: list[pl.DataFrame], column: str, pattern: str
) -> None:
    assert deliveries[0].filter(pl.col(column).str.contains(f"^(?:{pattern})$")).height


def test_values_are_missing_here_and_there_and_in_whole_stretches(
    deliveries: list[pl.DataFrame],
) -> None:
    first = deliveries[0]
    shares = {name: first[name].null_count() / first.height for name in first.columns}
    assert 0.12 < shares["customer_id"] < 0.16
    assert 0.14 < shares["quantity"] < 0.18
    assert shares["transaction_id"] == shares["price"] == shares["transaction_date"] == 0
    number = first["transaction_id"].str.extract(r"(\d+)").cast(pl.Int64) - forex.FIRST_ID
    stretch = first.filter(number.is_between(3_000, 3_999))
    assert stretch["customer_phone"].null_count() == stretch.height > 990


def test_ids_stand_twice_and_come_again_under_another_id(deliveries: list[pl.DataFrame]) -> None:
    first = deliveries[0]
    assert first["transaction_id"].n_unique() == ROWS
    assert 0.005 < (first.height - ROWS) / ROWS < 0.02
    last = first.unique("transaction_id", keep="last")
    content = last.drop("transaction_id")
    again = content.height - content.unique().height
    assert 0.002 < again / ROWS < 0.008
    day = ["customer_email", "product_name", "transaction_date"]
    assert last.height - last.unique(day).height > again, "two purchases on one day are rare"


def test_a_delivery_corrects_the_one_before(deliveries: list[pl.DataFrame]) -> None:
    first = deliveries[0].unique("transaction_id", keep="last")
    both = first.join(deliveries[1], on="transaction_id", suffix="_new")
    assert 0.06 < both.height / ROWS < 0.1
    changed = {
        name: both.filter(pl.col(name).ne_missing(pl.col(f"{name}_new"))).height
        for name in first.columns
        if name != "transaction_id"
    }
    assert {name for name, count in changed.items() if count} == {
        "transaction_date",
        "customer_email",
        "price",
        "customer_country",
        "customer_city",
        "quantity",
    }
    arrived = both.filter(pl.col("quantity").is_null() & pl.col("quantity_new").is_not_null())
    assert arrived.height
    assert both.filter(pl.col("quantity_new").is_null()).height


def test_the_same_settings_give_the_same_bytes_in_any_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = forex.deliver(2, 3_000, landing=tmp_path / "a").file.read_bytes()
    monkeypatch.setattr(forex, "BATCH_ROWS", 700)
    table = pl.concat(forex.frames(2, 3_000))
    again = read(forex.deliver(2, 3_000, landing=tmp_path / "b"))
    assert table.height == again.height
    key = pl.col("transaction_id")
    assert (
        pl.read_csv(one, infer_schema=False)
        .unique(key, keep="last")
        .sort(key)
        .equals(again.unique(key, keep="last").sort(key))
    )
    assert forex.deliver(2, 3_000, seed=8, landing=tmp_path / "c").file.read_bytes() != one
    assert not [file for file in tmp_path.rglob("*") if file.name.startswith(".")]


def test_memory_does_not_grow_with_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forex, "BATCH_ROWS", 5_000)

    def peak(rows: int) -> int:
        tracemalloc.start()
        forex.deliver(1, rows, landing=tmp_path)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5_000)
    assert peak(100_000) < 1.5 * peak(10_000)


def test_files_that_must_be_refused_are_written_on_demand(tmp_path: Path) -> None:
    broken = forex.deliver_broken(landing=tmp_path)
    assert [re.sub(r".*_transactions_|\.csv", "", one.file.name) for one in broken] == [
        "missing_column",
        "unknown_column",
        "broken_quote",
        "wrong_encoding",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rows": 0}, "0 rows cannot be generated: use 1 to 1,000,000,000."),
        ({"number": 0}, "There is no delivery 0: use a number from 1 to 9,999."),
        ({"seed": -1}, "The seed is -1: use a whole number from 0 to 4,294,967,295."),
    ],
)
def test_what_cannot_be_generated_is_refused(
    arguments: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SampleDataError, match=re.escape(said)):
        forex.deliver(landing=tmp_path, **arguments)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "forex").write_text("in the way")
    with pytest.raises(SampleDataError, match=r"cannot be written .*: make room, give permission"):
        forex.deliver(landing=tmp_path)


def test_the_command_writes_deliveries_and_refuses_in_one_sentence(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("FIRN_HOME", str(tmp_path))
    run = CliRunner().invoke(
        app, ["sample", "forex", "--rows", "100", "--deliveries", "2", "--broken"]
    )
    assert run.exit_code == 0, run.output
    folder = tmp_path / "landing" / "forex" / "customer_transactions"
    assert len(list(folder.glob("*.csv"))) == 6
    refused = CliRunner().invoke(app, ["sample", "forex", "--rows", "0"])
    assert refused.exit_code == 2
