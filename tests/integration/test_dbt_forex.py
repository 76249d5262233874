"""The forex models on the local warehouse, fed with deliveries through ingestion.

A first delivery is loaded and built once. A test that delivers more does so in a copy.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.domains.forex import demo as forex_demo
from include.domains.forex import sample as forex
from include.ingestion.loader import load_source
from include.ingestion.results import FileResult
from include.ingestion.sources import load_domain
from include.orchestration.rejected_rows import count_rejected
from tests import campaign
from tests.integration.dbt_runs import Beginning, DbtRuns, Outcome, begin

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROWS, SEED = 2_000, 7
INCREMENTAL = (
    "stg_forex__missing_quantity",
    "int_forex__parsed_transactions",
    "int_forex__transactions",
    "fct_forex__transaction",
)
REISSUED = "test.firn.assert_forex_no_id_is_issued_again"

Rows = Sequence[dict[str, str]]


@dataclass(frozen=True)
class Forex:
    """The domain with a landing folder of its own."""

    runs: DbtRuns

    @property
    def landing(self) -> Path:
        return self.runs.home / "landing"

    def load(self) -> list[FileResult]:
        source = load_domain("forex").source("customer_transactions")
        return list(load_source(source, landing=self.landing).files)

    def deliver(self, number: int) -> list[FileResult]:
        """One generated delivery."""
        forex.deliver(number, ROWS, seed=SEED, landing=self.landing)
        return self.load()

    def deliver_rows(self, name: str, rows: Rows) -> list[FileResult]:
        """A file of a few rows, each a transaction of its own but for what is given."""
        file = self.landing / "forex" / "customer_transactions" / name
        with file.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, forex.COLUMNS)
            writer.writeheader()
            writer.writerows([transaction(**row) for row in rows])
        return self.load()

    def transaction(self, model: str, transaction_id: str, *columns: str) -> Any:
        """Columns of a model's row, None if it is not there."""
        found = self.runs.rows(
            f"select {', '.join(columns)} from {self.runs.table(model)} where transaction_id = %s",
            transaction_id,
        )
        assert len(found) <= 1
        return found[0] if found else None

    def where(self, transaction_id: str) -> set[str]:
        """Which models a transaction stands in, of those that divide them."""
        models = {
            "cleaned": "int_forex__transactions",
            "rejected": "int_forex__rejected_transactions",
            "missing": "stg_forex__missing_quantity",
            "counted": "fct_forex__transaction",
        }
        return {
            name
            for name, model in models.items()
            if self.transaction(model, transaction_id, "transaction_id")
        }

    def newly_rejected(self, loaded: FileResult) -> dict[str, int]:
        """What an alert about a load says."""
        assert loaded.load_id
        listed = self.runs.table("int_forex__rejected_transactions")
        return count_rejected(listed, [loaded.load_id])

    def written(self, outcome: Outcome) -> dict[str, int]:
        return {model: outcome.rows_affected(model) for model in INCREMENTAL}


def transaction(**values: str) -> dict[str, str]:
    """A row as it is delivered; a customer of its own unless one is given."""
    number = values["transaction_id"].strip()
    return {
        "customer_id": "501.0",
        "transaction_date": "2023-07-18",
        "product_id": "101",
        "product_name": "Product A",
        "quantity": "2.0",
        "price": "10.50",
        "tax": "1.05",
        "customer_first_name": f"First {number}",
        "customer_last_name": "O'Neill",
        "customer_email": f"{number}@example.com",
        "customer_phone": "+1-234-567-8901",
        "customer_country": "Switzerland",
        "customer_city": "Zürich",
    } | values


SAME = {"customer_first_name": "Ann", "customer_email": "ann@example.com"}
FIRST_ROWS = (
    # Ways of writing a date.
    {"transaction_id": "d1", "transaction_date": "18-07-2023"},
    {"transaction_id": "d2", "transaction_date": "18/07/2023"},
    {"transaction_id": "d3", "transaction_date": "2023/07/18"},
    {"transaction_id": "d4", "transaction_date": "18-07-23"},
    {"transaction_id": "d5", "transaction_date": "2023-07-18 23:59:59"},
    {"transaction_id": "d6", "transaction_date": "08-25-2023"},
    {"transaction_id": "d7", "transaction_date": "31-02-2023"},
    {"transaction_id": "d8", "transaction_date": "2019-12-31"},
    # Amounts.
    {"transaction_id": "a1", "price": "Two Hundred", "tax": "Fifteen", "quantity": "2.5"},
    {"transaction_id": "a2", "price": "1,200.50", "tax": "minus twenty"},
    {"transaction_id": "a3", "price": forex.words(123_873_373)},
    {"transaction_id": "a4", "price": "two hundreds", "tax": ""},
    {"transaction_id": "a5", "quantity": "some"},
    # Ids: twice in a file, blanks around it, blanks alone, digits that are no number.
    {"transaction_id": "i1", "price": "1"},
    {"transaction_id": "i1", "price": "2"},
    {"transaction_id": "i2", "price": "1"},
    {"transaction_id": " i2 ", "price": "3"},
    {"transaction_id": "  "},
    {"transaction_id": "007"},
    {"transaction_id": "7"},
    # Issued again: T9002 is the later id. Bought twice on a day: both count.
    {"transaction_id": "9001", **SAME},
    {"transaction_id": "T9002", **SAME},
    {"transaction_id": "9003", **SAME, "quantity": "3"},
    # Keys that a careless separator or null would make equal.
    {"transaction_id": "k1", "customer_first_name": "ab|c", "customer_last_name": "a|bc"},
    {"transaction_id": "k2", "customer_first_name": "ab", "customer_last_name": "c|a|bc"},
    *(
        {"transaction_id": number, "customer_first_name": name, "customer_email": "k@example.com"}
        for number, name in {"k3": "", "k4": "-", "k5": "null"}.items()
    ),
    # To be corrected.
    {"transaction_id": "c1"},
    {"transaction_id": "c2"},
    {"transaction_id": "c3", "quantity": ""},
    {"transaction_id": "c4"},
    {"transaction_id": "c5"},
    {"transaction_id": "c6", "transaction_date": "tomorrow"},
)
SECOND_ROWS = (
    {"transaction_id": "c1", "transaction_date": "2024-02-29"},
    {"transaction_id": "c2", "customer_email": "new@example.com"},
    {"transaction_id": "c3", "quantity": "4"},
    {"transaction_id": "c4", "quantity": ""},
    {"transaction_id": "c5", "transaction_date": "31-02-2023"},
    {"transaction_id": "c6"},
    # No longer equal to 9001, which counts again.
    {"transaction_id": "T9002", **SAME, "price": "99"},
)


@dataclass(frozen=True)
class First:
    """The first delivery, loaded and built, and how that went."""

    beginning: Beginning
    outcome: Outcome


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    outcomes: list[Outcome] = []

    def load_and_build(runs: DbtRuns) -> None:
        delivered = Forex(runs)
        delivered.deliver(1)
        [crafted] = delivered.deliver_rows("crafted.csv", FIRST_ROWS)
        assert crafted.accounts is not None
        assert (crafted.accounts.rejected, crafted.accounts.superseded) == (1, 1)
        outcomes.append(runs.build())
        assert outcomes[0].success, outcomes[0].output

    beginning = begin(tmp_path_factory.mktemp("forex"), "forex", load_and_build)
    return First(beginning, outcomes[0])


@pytest.fixture(scope="module")
def as_built(first: First, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forex]:
    """For tests that only look."""
    with first.beginning.copy(tmp_path_factory.mktemp("read") / "home") as runs:
        yield Forex(runs)


@pytest.fixture
def built(first: First, tmp_path: Path) -> Iterator[Forex]:
    """For a test that goes on from there."""
    with first.beginning.copy(tmp_path / "home") as runs:
        yield Forex(runs)


def test_the_build_passes_and_warns_of_ids_that_were_issued_again(
    as_built: Forex, first: First
) -> None:
    built, results = as_built, first.outcome.results
    statuses = {name: one["status"] for name, one in results.items()}
    [warning] = [name for name, status in statuses.items() if status == "warn"]
    assert warning.startswith(REISSUED)
    assert set(statuses.values()) == {"success", "pass", "warn"}
    table = built.runs.table("int_forex__transactions")
    apart = f"select distinct * exclude (transaction_id, loaded_at) from {table}"
    issued_again = built.runs.value(
        f"select (select count(*) from {table}) - (select count(*) from ({apart}))"
    )
    assert results[warning]["failures"] == issued_again > 1
    assert any("accounts_add_up" in name for name in statuses)
    # Every transaction is somewhere, most of them cleaned.
    cleaned = built.runs.value(f"select count(*) from {table}")
    assert 0.7 * ROWS < cleaned < 0.9 * ROWS


def test_the_questions_of_the_demo_have_answers(as_built: Forex) -> None:
    assert all(as_built.runs.answers(forex_demo.PIPELINE).values())


@pytest.mark.parametrize(
    ("transaction_id", "day"),
    [
        *((f"d{number}", date(2023, 7, 18)) for number in range(1, 6)),
        ("d6", date(2023, 8, 25)),
        ("d8", date(2019, 12, 31)),
    ],
)
def test_dates_in_any_of_the_known_ways(as_built: Forex, transaction_id: str, day: date) -> None:
    known = date(2020, 1, 1) <= day
    assert as_built.transaction(
        "fct_forex__transaction", transaction_id, "transaction_date", "date_key"
    ) == (day, int(day.strftime("%Y%m%d")) if known else -1)


def test_amounts_in_digits_and_words(as_built: Forex) -> None:
    amounts = {
        name: as_built.transaction("fct_forex__transaction", name, "price", "tax", "revenue")
        for name in ("a1", "a2", "a3")
    }
    assert amounts == {
        "a1": (Decimal(200), Decimal(15), Decimal("500.00")),
        "a2": (Decimal("1200.5"), Decimal(-20), Decimal("2401.00")),
        "a3": (Decimal(123_873_373), Decimal("1.05"), Decimal(247_746_746)),
    }
    assert len(forex.words(123_873_373)) > 60


def test_what_cannot_be_read_is_listed_with_its_reason_and_its_place(as_built: Forex) -> None:
    rejected = as_built.runs.rows(
        "select transaction_id, reject_reason, source_file, file_row_number"
        f" from {as_built.runs.table('int_forex__rejected_transactions')}"
        " where source_file = 'crafted.csv' order by 1"
    )
    assert rejected == [
        ("a4", "price is not a number; tax is missing", "crafted.csv", 13),
        ("a5", "quantity is not a number", "crafted.csv", 14),
        ("c6", "transaction_date is not a day in a known format", "crafted.csv", 35),
        ("d7", "transaction_date is not a day in a known format", "crafted.csv", 8),
    ]
    [(reason, text)] = as_built.runs.rows(
        "select reason, raw_text from RAW.META.REJECTED_ROWS where domain = 'forex'"
    )
    assert "does not match" in reason
    assert "Product A" in text


def test_ids_that_stand_twice_or_have_blanks_are_one_transaction(as_built: Forex) -> None:
    price = ("fct_forex__transaction", "price")
    assert as_built.transaction(price[0], "i1", price[1]) == (2,)
    assert as_built.transaction(price[0], "i2", price[1]) == (3,)
    assert as_built.where("7") == as_built.where("007") == {"cleaned", "counted"}


def test_an_id_issued_again_counts_once_and_two_purchases_twice(as_built: Forex) -> None:
    assert as_built.where("9001") == {"cleaned"}
    assert as_built.where("T9002") == as_built.where("9003") == {"cleaned", "counted"}
    keys = {
        as_built.transaction("int_forex__transactions", name, "transaction_key")[0]
        for name in ("9001", "T9002", "9003")
    }
    assert len(keys) == 1, "by this key the id that was issued again is recognised"


def test_keys_tell_separators_and_nulls_apart(as_built: Forex) -> None:
    keys = [
        as_built.transaction("int_forex__transactions", f"k{number}", "customer_key")[0]
        for number in range(1, 6)
    ]
    assert len(set(keys)) == 5
    customers = as_built.runs.table("dim_forex__customer")
    [(name,)] = as_built.runs.rows(
        f"select first_name from {customers} where customer_key = %s", keys[2]
    )
    assert name is None


def test_the_calendar_is_whole(as_built: Forex) -> None:
    assert as_built.runs.rows(
        "select count(*), min(calendar_date), max(calendar_date), min(date_key)"
        f" from {as_built.runs.table('dim_forex__date')}"
    ) == [(11_324, date(2020, 1, 1), date(2050, 12, 31), -1)]


def test_corrections_of_any_field_replace_the_row_and_count_once(built: Forex) -> None:
    assert built.where("c3") == {"missing"}
    assert built.where("c4") == built.where("c5") == {"cleaned", "counted"}
    assert built.where("c6") == {"rejected"}
    before = built.transaction("fct_forex__transaction", "c2", "customer_key")

    [corrections] = built.deliver_rows("corrections.csv", SECOND_ROWS)
    second = built.runs.run()
    assert built.newly_rejected(corrections) == {"customer_transactions": 1}
    assert built.written(second) == {
        "stg_forex__missing_quantity": 2,
        "int_forex__parsed_transactions": len(SECOND_ROWS),
        "int_forex__transactions": len(SECOND_ROWS),
        "fct_forex__transaction": len(SECOND_ROWS) + 1,
    }
    assert built.transaction("fct_forex__transaction", "c1", "date_key") == (20240229,)
    after = built.transaction("fct_forex__transaction", "c2", "customer_key")
    assert after != before
    customers = built.runs.table("dim_forex__customer")
    emails = f"select email from {customers} where customer_key in (%s, %s)"
    assert built.runs.rows(emails, before[0], after[0]) == [("new@example.com",)]
    assert built.where("c3") == built.where("c6") == {"cleaned", "counted"}
    assert built.where("c4") == {"missing"}
    assert built.where("c5") == {"rejected"}
    assert built.where("9001") == built.where("T9002") == {"cleaned", "counted"}
    # Loading what is there changes nothing.
    built.runs.remember(INCREMENTAL)
    [same] = built.deliver_rows("corrections.csv", SECOND_ROWS)
    assert same.status == "unchanged"
    # Under another name it is a delivery of its own, of rows that are there.
    [other] = built.deliver_rows("again.csv", SECOND_ROWS)
    assert other.status == "loaded"
    [generated] = built.deliver(1)
    assert generated.status == "unchanged"
    again = built.runs.run()
    assert built.written(again) == dict.fromkeys(INCREMENTAL, 0)
    assert built.runs.differences(INCREMENTAL) == {}
    # Still rejected, and nothing new to tell of.
    assert built.where("c5") == {"rejected"}
    assert built.newly_rejected(other) == {}


def test_bounds_leave_transactions_outside_as_they_are(built: Forex) -> None:
    built.deliver_rows(
        "late.csv",
        [
            {"transaction_id": "d1", "transaction_date": "2023-07-18", "price": "77"},
            {"transaction_id": "d6", "transaction_date": "2023-08-25", "price": "77"},
            # Moves out of the range, and a row that is in none yet.
            {"transaction_id": "d2", "transaction_date": "2023-09-01", "price": "77"},
            {"transaction_id": "new", "transaction_date": "2024-01-01"},
        ],
    )
    built.runs.remember(INCREMENTAL)
    bounded = built.runs.build(
        backfill_start="2023-07-18 00:00:00", backfill_end="2023-07-19 00:00:00"
    )
    assert bounded.success, bounded.output
    fact = built.runs.table("fct_forex__transaction")
    changed = built.runs.rows(
        f"select transaction_id from (select * from {fact} minus"
        " select * from fct_forex__transaction__before) order by 1"
    )
    assert changed == [("d1",), ("d2",)]
    # Of every incremental model no other row came, went or changed.
    for model in INCREMENTAL:
        before = f"select * from {model}__before where transaction_id not in ('d1', 'd2')"
        after = f"select * from {built.runs.table(model)} where transaction_id not in ('d1', 'd2')"
        assert built.runs.apart(before, after) == 0, model
    assert built.runs.run().success
    assert built.transaction("fct_forex__transaction", "d6", "price") == (77,)
    assert built.where("new") == {"cleaned", "counted"}


def test_increments_end_where_a_full_rebuild_ends(built: Forex) -> None:
    luck = random.Random(20_261_121)  # noqa: S311
    choices = {
        "transaction_date": ["2023-07-18", "19-07-2023", "31-02-2023", "12-25-2023", ""],
        "quantity": ["1", "2.5", "", "some"],
        "price": ["10.50", "Two Hundred", "N/A"],
        "customer_email": ["a@example.com", "b@example.com", ""],
        "product_name": ["Product A", " Product A", "Product B"],
        "customer_first_name": ["Ann"],
    }
    for number in range(4):
        rows = [
            {"transaction_id": str(luck.randrange(70_000, 70_060))}
            | {name: luck.choice(values) for name, values in choices.items()}
            for _ in range(50)
        ]
        built.deliver_rows(f"random {number}.csv", rows)
        if number == 1:
            built.deliver(2)
        outcome = built.runs.run()
        assert outcome.success, f"delivery {number}: {outcome.output}"
    built.runs.remember()
    rebuilt = built.runs.run("--full-refresh")
    assert rebuilt.success, rebuilt.output
    assert built.runs.differences() == {}


def test_what_is_lost_or_does_not_add_up_is_found(built: Forex) -> None:
    loads, rejects = "RAW.META.LOADS", "RAW.META.REJECTED_ROWS"
    built.runs.rows(
        f"update {loads} set delivered = delivered + 1 where source_file <> 'crafted.csv'"
    )
    built.runs.rows(f"delete from {rejects} where source_file = 'crafted.csv'")
    built.runs.rows(
        f"delete from {built.runs.table('int_forex__transactions')} where transaction_id = 'd1'"
    )
    built.runs.rows(
        f"update {built.runs.table('fct_forex__transaction')} set customer_key = 'nobody'"
        " where transaction_id = 'd3'"
    )
    tested = built.runs.dbt(
        "test",
        "--select",
        "source:forex.customer_transactions,test_name:accounts_add_up",
        "assert_forex_no_transaction_is_lost",
        "test_name:relationships,path:models/mart/forex",
    )
    failures = {name.split(".")[2]: one["failures"] for name, one in tested.results.items()}
    assert {name: count for name, count in failures.items() if count} == {
        "source_accounts_add_up_forex_customer_transactions_": 2,
        "assert_forex_no_transaction_is_lost": 1,
        "relationships_fct_forex__transaction_transaction_id__transaction_id__ref_int_forex__"
        "transactions_": 1,
        "relationships_fct_forex__transaction_customer_key__customer_key__ref_dim_forex__"
        "customer_": 1,
        "relationships_mart_forex__sales_by_customer_customer_key__customer_key__ref_dim_forex__"
        "customer_": 1,
    }


# -- numbers in words ------------------------------------------------------------------------------

SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
]  # fmt: skip
SMALL += [
    f"{ten} {one}".removesuffix(" zero")
    for ten in ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
    for one in SMALL[:10]
]


def spelled(number: int) -> tuple[str, str, str, str]:
    """A number in four spellings."""
    plain: list[str] = []
    joined: list[str] = []
    for scale, name in ((1_000_000, "million"), (1_000, "thousand"), (1, "")):
        group = number // scale % 1_000
        if not group:
            continue
        hundreds, below = divmod(group, 100)
        parts = [SMALL[hundreds], "hundred"] if hundreds else []
        small = [SMALL[below]] if below else []
        plain += [*parts, *small, name]
        link = ["and"] if small and (hundreds or (joined and scale == 1)) else []
        joined += [*parts, *link, *(one.replace(" ", "-") for one in small), name]
    text = " ".join(filter(None, plain)) or "zero"
    linked = " ".join(filter(None, joined)) or "zero"
    return text.upper(), linked, text.title().replace(" ", "-"), linked.replace(" ", "  ").title()


GARBAGE = (
    "hundred", "thousand", "one hundred and", "and five", "one and two", "twenty one hundred",
    "two hundreds", "ten five", "twenty ten", "zero one", "one zero", "one hundred zero",
    "five thousand two thousand", "one thousand million", "one million million", "one billion",
    "one hundred hundred", "minus", "minus minus one", "one minus two", "-twenty", "twenty--one",
    "twenty-", "twentyone", "a hundred", "one point five", "one, two", "fourty", "nine hundreds",
    "one hundred and and five", "thousand one", "zero hundred", "zero thousand", "twenty zero",
    "eleven hundred", "", "and", "2 hundred", "one'; drop table x", "one\\", "%", "один",
)  # fmt: skip


@pytest.fixture(scope="module")
def macros(as_built: Forex) -> dict[str, str]:
    """The SQL of some macros over a table `texts` with a column `text`."""
    calls = {
        "words": "{{ number_words('texts', 'text') }}",
        "date": "{{ parsed_date('text') }}",
        "number": "{{ plain_number('text') }}",
        "trimmed": "{{ trimmed('text') }}",
    }
    compiled = as_built.runs.dbt("compile", "--inline", "\n=====\n".join(calls.values()))
    assert compiled.success, compiled.output
    (result,) = compiled.results.values()
    return dict(zip(calls, result["compiled_code"].split("\n=====\n"), strict=True))


def texts(forex_: Forex, table: pl.DataFrame, folder: Path) -> None:
    """A table `texts` of what is given."""
    file = folder / "texts.parquet"
    table.write_parquet(file)
    forex_.runs.rows("create or replace temporary stage words")
    forex_.runs.rows(f"put 'file://{file}' @words auto_compress = false overwrite = true")
    forex_.runs.rows("create or replace table texts (number number(38, 0), text varchar)")
    forex_.runs.rows(
        "copy into texts from @words file_format = (type = parquet)"
        " match_by_column_name = case_insensitive"
    )


@pytest.mark.campaign
def test_every_number_of_a_range_and_a_sample_beyond_in_any_spelling(
    as_built: Forex, macros: dict[str, str], tmp_path: Path
) -> None:
    luck = random.Random(campaign.SEED)  # noqa: S311
    whole = campaign.size(20_001, 200_001)
    numbers = [*range(whole), 999_999_999, 1_000_000, 999_000_000, 1_000_001, 100_000_000]
    numbers += [luck.randrange(whole, 1_000_000_000) for _ in range(whole // 10)]
    numbers += [
        number * 1_000 + luck.choice([0, 1, 10, 100]) for number in range(200, whole // 10, 7)
    ]
    spellings = [(number, text) for number in numbers for text in spelled(number)]
    spellings += [(-number, f"Minus {spelled(number)[1]}") for number in numbers[1::97]]
    texts(
        as_built,
        pl.DataFrame(spellings, schema=["number", "text"], orient="row"),
        tmp_path,
    )
    assert as_built.runs.rows(
        f"""
        with parsed as ({macros["words"]})
        select
            count(*),
            count_if(parsed.amount = texts.number),
            min(texts.number),
            max(texts.number)
        from texts
        left join parsed on texts.text = parsed.words
        """
    ) == [(len(spellings), len(spellings), min(n for n, _ in spellings), 999_999_999)]
    assert all(forex.words(number) == spelled(number)[1] for number in numbers[::11])


def test_what_is_no_number_in_words_does_not_come_back(
    as_built: Forex, macros: dict[str, str], tmp_path: Path
) -> None:
    given = pl.DataFrame({"number": [0] * len(GARBAGE), "text": GARBAGE})
    texts(as_built, given, tmp_path)
    assert as_built.runs.rows(macros["words"]) == []
    assert as_built.runs.value("select count(*) from texts") == len(GARBAGE)


@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        (
            "date",
            {
                "2024-02-29": date(2024, 2, 29),
                "29-02-2024": date(2024, 2, 29),
                "01-02-2024": date(2024, 2, 1),
                "13/12/2024": date(2024, 12, 13),
                "12/13/2024": date(2024, 12, 13),
                "12-13-24": date(2024, 12, 13),
                "01-02-75": date(2075, 2, 1),
                "9999-12-31": date(9999, 12, 31),
                "2024-02-29 00:00:00": date(2024, 2, 29),
            }
            | dict.fromkeys(
                [
                    *("29-02-2023", "2023-02-29", "31-04-2023", "13-13-2023", "00-01-2023"),
                    *("2023-07-18 24:00:00", "2023-07-18 23:60:00", "2023-07-18T10:00:00"),
                    *("1-7-2023", "2023-7-1", "2023/07-18", "18.07.2023", "18-07-023", "20230718"),
                    *("2023-07-18 ", "x2023-07-18", "0000-01-01", "tomorrow", "18/07/23", ""),
                    *("18-07-2023 10:00:00", "1689638400", "2023-25-08", "--", "ab-cd-efgh"),
                ]
            ),
        ),
        (
            "number",
            {
                "1.0": Decimal(1),
                "-20": Decimal(-20),
                "+5": Decimal(5),
                ".5": Decimal("0.5"),
                "1,200.50": Decimal("1200.5"),
                "12,345,678": Decimal(12_345_678),
                "007": Decimal(7),
                "76.27000000000001": Decimal("76.27"),
                "999999999999.999999": Decimal("999999999999.999999"),
            }
            | dict.fromkeys(
                [
                    *("1,20", "1,2000", ",200", "1.2.3", "5.", "-", "--5", "1e3", "0x1", "1 200"),
                    *(
                        "nan",
                        "inf",
                        "1234567890123",
                        "999999999999.9999999",
                        "9" * 60,
                        "",
                        "\u0661",
                    ),
                    *("$5", "5%", "1.200,50", "1,234,567,890,123"),
                ]
            ),
        ),
        (
            "trimmed",
            {" a b\t": "a b", "\u00a0\r\nx": "x", " \t\u00a0": None, "": None, "it's": "it's"},
        ),
    ],
)
def test_texts_are_read_as_they_are_meant(
    as_built: Forex,
    macros: dict[str, str],
    tmp_path: Path,
    macro: str,
    expected: dict[str, object],
) -> None:
    given = pl.DataFrame({"number": [0] * len(expected), "text": list(expected)})
    texts(as_built, given, tmp_path)
    found: dict[str, object] = dict(as_built.runs.rows(f"select text, {macros[macro]} from texts"))
    assert found == expected
