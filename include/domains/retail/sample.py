"""Daily deliveries of the retail sources as Parquet: customers, transactions, products.

A delivery of a day holds all customers and products as they are then, the transactions of the day,
and again those transactions of the two days before whose status has changed. The same settings
always give the same bytes, in whatever order days are made. Rows are made a batch at a time, each
batch from a seed of its own: memory stays flat whatever the size.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from rich.console import Console

from include.ingestion.landing import discover, landing_folder
from include.ingestion.sources import load_domain
from include.project.domains import SampleDataError
from include.warehouse.connection import ConnectionSettings, get_settings

DOMAIN = "retail"
START = date(2025, 1, 1)
"""The first day there is a delivery of."""

SEED = 20250101
BATCH_ROWS = 100_000
MOST = {"customers": 100_000_000, "transactions": 100_000_000, "products": 1_000_000}

CATEGORIES = np.array(["Beauty", "Books", "Clothing", "Electronics", "Home", "Sports", "Toys"])
PAYMENT_METHODS = np.array(
    ["credit_card", "debit_card", "paypal", "cash", "apple_pay", "google_pay"]
)
STATUSES = np.array(["completed", "pending", "cancelled", "refunded"])
COMPLETED, PENDING, CANCELLED, REFUNDED = range(4)
DEVICES = np.array(["mobile", "desktop", "tablet"])
BROWSERS = np.array(["chrome", "firefox", "safari", "edge"])
CITIES = np.array(
    ["Bergen", "Cork", "Graz", "Lyon", "Porto", "Ghent", "Turin", "Leeds", "Malmö", "Łódź"]
)
FIRST_NAMES = np.array(
    ["Ada", "Björn", "Carla", "Dario", "Elif", "Finn", "Greta", "Hugo", "Ines", "Jonas", "Kaja"]
)
LAST_NAMES = np.array(
    ["Almeida", "Berg", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Hansen", "O'Neill"]
)
SUPPLIERS = np.array(["Alder & Co", "Birch Ltd", "Cedar Trading", "Dogwood", "Elm Supplies"])
ADJECTIVES = np.array(["Plain", "Sturdy", "Light", "Quiet", "Bright", "Compact"])
NOUNS = np.array(["Lamp", "Kettle", "Jacket", "Racket", "Puzzle", "Novel", "Speaker", "Cream"])

_PRODUCTS_STREAM, _CUSTOMERS_STREAM, _TRANSACTIONS_STREAM = range(3)
_LAST_CHANGE = 2
"""Days after which the status of a transaction is final."""


@dataclass(frozen=True)
class Sizes:
    """How much a day's delivery holds, and which of all possible ones it is.

    Attributes:
        customers: in all.
        transactions: new ones a day; repeats and changed ones come on top, about 15 percent.
        products: in all.
        seed: another number gives other data of the same kind.
    """

    customers: int = 10_000
    transactions: int = 50_000
    products: int = 200
    seed: int = SEED

    def check(self) -> None:
        """Refuse what cannot be generated.

        Raises:
            SampleDataError: a size or the seed is out of range.
        """
        for name, most in MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise SampleDataError(
                    f"{getattr(self, name):,} {name} cannot be generated: use 1 to {most:,}."
                )
        if self.seed < 0:
            raise SampleDataError(f"The seed is {self.seed}: use a whole number from 0.")


@dataclass(frozen=True)
class Delivered:
    """One file that was written.

    Attributes:
        source: customers, transactions or products.
        file: where it is.
        rows: how many rows it holds.
    """

    source: str
    file: Path
    rows: int


def deliver(
    day: date = START,
    sizes: Sizes | None = None,
    *,
    landing: Path | None = None,
    settings: ConnectionSettings | None = None,
) -> list[Delivered]:
    """Write one day's three files into the landing folder; each appears when it is complete.

    Args:
        day: whose delivery, not before `START`.
        sizes: 10,000 customers, 50,000 transactions, 200 products if not given.
        landing: the landing folder; read from the environment if not given.
        settings: read from the environment if not given.

    Raises:
        SampleDataError: the day or a size is out of range, or a file cannot be written.
    """
    sizes = sizes or Sizes()
    sizes.check()
    if day < START:
        raise SampleDataError(f"{day} has no delivery: use a day from {START} on.")
    number = (day - START).days
    root = landing or landing_folder(settings or get_settings())
    catalogue = products(sizes)
    parts = {
        "customers": customers(sizes, number),
        "products": iter([catalogue]),
        "transactions": transactions(sizes, number, catalogue),
    }
    try:
        return [
            _write(root / DOMAIN / source / f"{source}_{day}.parquet", source, tables)
            for source, tables in parts.items()
        ]
    except OSError as error:
        raise SampleDataError(
            f"The deliveries cannot be written to {root} ({error.strerror or error}): make room, "
            "give permission, or set FIRN_LANDING to another folder."
        ) from error


def deliver_days(
    days: int, sizes: Sizes | None = None, *, landing: Path | None = None
) -> list[Delivered]:
    """The deliveries of the first so many days.

    Raises:
        SampleDataError: see `deliver`; also for a number of days out of range.
    """
    if not 1 <= days <= 3_660:
        raise SampleDataError(f"{days:,} days cannot be generated: use 1 to 3,660.")
    return [
        file
        for number in range(days)
        for file in deliver(START + timedelta(days=number), sizes, landing=landing)
    ]


def waiting(settings: ConnectionSettings | None = None) -> int:
    """How many files of the domain lie in the landing folder, whoever delivered them."""
    root = landing_folder(settings or get_settings())
    return sum(len(discover(source, root)) for source in load_domain(DOMAIN).sources)


def _write(file: Path, source: str, tables: Iterator[pa.Table]) -> Delivered:
    rows = 0
    with _appearing(file) as unfinished:
        first = next(tables)
        with pq.ParquetWriter(unfinished, first.schema, compression="snappy") as writer:
            for table in chain([first], tables):
                writer.write_table(table)
                rows += table.num_rows
    return Delivered(source, file, rows)


@contextmanager
def _appearing(file: Path) -> Iterator[Path]:
    """A hidden name to write to, which becomes the file when the block ends well."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        yield unfinished
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


# -- products --------------------------------------------------------------------------------------


def products(sizes: Sizes) -> pa.Table:
    """The catalogue; `price` and `category` are what transactions are made from."""
    count = sizes.products
    random = np.random.default_rng([sizes.seed, _PRODUCTS_STREAM])
    cents = random.integers(199, 49_999, count)
    stock = np.where(random.random(count) < 0.1, 0, random.integers(1, 500, count))
    names = pc.binary_join_element_wise(
        _taken(ADJECTIVES, random, count),
        _taken(NOUNS, random, count),
        pa.array(np.arange(1, count + 1)).cast(pa.string()),
        " ",
    )
    return pa.table(
        {
            "product_id": _product_ids(np.arange(1, count + 1)),
            "product_name": names,
            "category": _taken(CATEGORIES, random, count),
            "price": _money(cents, missing=random.random(count) < 0.01),
            "stock_quantity": pa.array(stock, mask=random.random(count) < 0.02),
            "supplier": _taken(SUPPLIERS, random, count, missing=0.03),
            "weight_kg": pa.array(
                np.round(random.gamma(2, 1.2, count) + 0.05, 3), mask=random.random(count) < 0.03
            ),
            "created_date": _dates(START, -random.integers(30, 2_000, count)),
            "is_active": pa.array(random.random(count) < 0.9),
        }
    )


# -- customers -------------------------------------------------------------------------------------


def customers(sizes: Sizes, day: int) -> Iterator[pa.Table]:
    """All customers as they are on a day; a few stand there twice."""
    for batch, first, count in _batches(sizes.customers):
        random = np.random.default_rng([sizes.seed, _CUSTOMERS_STREAM, batch])
        number = np.arange(first + 1, first + count + 1)
        first_names = _taken(FIRST_NAMES, random, count)
        last_names = _taken(LAST_NAMES, random, count)
        # One in ten has never ordered; the others go on ordering from day to day.
        pace = np.where(random.random(count) < 0.1, 0, random.gamma(1.5, 0.2, count))
        orders = np.floor(pace * (10 + day)).astype(np.int64) + (pace > 0)
        spent = orders * random.integers(500, 25_000, count)
        email = pc.binary_join_element_wise(
            "customer.", pa.array(number).cast(pa.string()), "@example.com", ""
        )
        table = pa.table(
            {
                "customer_id": pa.array(number),
                "first_name": _without(first_names, random, 0.01),
                "last_name": _without(last_names, random, 0.01),
                "email": _without(email, random, 0.02),
                "age": pa.array(random.integers(18, 90, count), mask=random.random(count) < 0.03),
                "city": _taken(CITIES, random, count, missing=0.02),
                "signup_date": _dates(START, -random.integers(1, 1_500, count)),
                "total_orders": pa.array(orders, mask=random.random(count) < 0.005),
                "total_spent": _money(spent, missing=random.random(count) < 0.01),
            }
        )
        again = np.flatnonzero(random.random(count) < 0.005)
        yield pa.concat_tables([table, table.take(pa.array(again))])


# -- transactions ----------------------------------------------------------------------------------


def transactions(sizes: Sizes, day: int, catalogue: pa.Table) -> Iterator[pa.Table]:
    """The new transactions of a day, some twice, then those of the days before that changed."""
    for batch, first, count in _batches(sizes.transactions):
        made = _Transactions(sizes, day, batch, first, count, catalogue)
        again = np.flatnonzero(made.luck[3] < 0.01)
        yield pa.concat_tables([made.rows(0), made.rows(0).take(pa.array(again))])
    for age in range(1, min(day, _LAST_CHANGE) + 1):
        for batch, first, count in _batches(sizes.transactions):
            made = _Transactions(sizes, day - age, batch, first, count, catalogue)
            # Besides what changed, some come again as they were.
            unchanged = (made.luck[3] > 0.998) & (age == 1)
            changed = made.status(age) != made.status(age - 1)
            yield made.rows(age).take(pa.array(np.flatnonzero(changed | unchanged)))


class _Transactions:
    """A batch of the transactions that were made on one day, at any age in days."""

    def __init__(
        self, sizes: Sizes, day: int, batch: int, first: int, count: int, catalogue: pa.Table
    ) -> None:
        random = np.random.default_rng([sizes.seed, _TRANSACTIONS_STREAM, day, batch])
        self.luck = random.random((4, count))
        self._first_status = random.choice(
            [COMPLETED, PENDING, CANCELLED, REFUNDED], count, p=[0.78, 0.15, 0.05, 0.02]
        )
        product = random.integers(0, sizes.products, count)
        category = pc.take(catalogue["category"].combine_chunks(), pa.array(product))
        other = random.random(count) < 0.01
        category = pc.if_else(pa.array(other), _taken(CATEGORIES, random, count), category)
        price = catalogue["price"].combine_chunks().fill_null(0).cast(pa.decimal128(18, 2))
        price_cents = pc.multiply(price, 100).cast(pa.int64()).to_numpy()
        cents = price_cents[product] * random.integers(1, 4, count)
        unknown = random.random(count) < 0.01
        beyond = sizes.products + 1 + random.integers(0, 20, count)
        moment = np.datetime64(START + timedelta(days=day), "s") + np.sort(
            random.integers(0, 86_400, count)
        )
        number = day * sizes.transactions + first + np.arange(1, count + 1)
        self._columns: dict[str, Any] = {
            "transaction_id": _ids("TXN_", number, 7),
            "customer_id": pa.array(
                random.integers(1, sizes.customers + 1, count), mask=random.random(count) < 0.01
            ),
            "product_id": _product_ids(np.where(unknown, beyond, product + 1)),
            "product_category": _without(category, random, 0.01),
            "amount": _money(cents, missing=random.random(count) < 0.005),
            "timestamp": pa.array(np.datetime_as_string(moment)),
            "payment_method": _taken(PAYMENT_METHODS, random, count, missing=0.01),
            "status": None,
            "device": _taken(DEVICES, random, count, missing=0.005),
            "browser": _taken(BROWSERS, random, count, missing=0.005),
            "location": _taken(CITIES, random, count, missing=0.01),
        }

    def status(self, age: int) -> np.ndarray:
        """Pending ones are decided the day after; some completed ones are refunded after two."""
        status = self._first_status
        if age >= 1:
            decided = np.where(self.luck[0] < 0.9, COMPLETED, CANCELLED)
            status = np.where((status == PENDING) & (self.luck[1] < 0.9), decided, status)
        if age >= _LAST_CHANGE:
            status = np.where((status == COMPLETED) & (self.luck[2] < 0.03), REFUNDED, status)
        return status

    def rows(self, age: int) -> pa.Table:
        """The batch as it is delivered at an age."""
        status = pa.array(STATUSES).take(pa.array(self.status(age)))
        return pa.table({**self._columns, "status": status})


# -- columns ---------------------------------------------------------------------------------------


def _batches(rows: int) -> Iterator[tuple[int, int, int]]:
    """Number, first row and size of each batch."""
    for batch, first in enumerate(range(0, rows, BATCH_ROWS)):
        yield batch, first, min(BATCH_ROWS, rows - first)


def _ids(prefix: str, numbers: np.ndarray, digits: int) -> pa.Array:
    """Numbers behind a prefix, filled up with zeros; more digits are written as they are."""
    whole = pa.array(numbers).cast(pa.string())
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(whole, digits, "0"), "")


def _product_ids(numbers: np.ndarray) -> pa.Array:
    return _ids("PROD_", numbers, 4)


def _taken(
    values: np.ndarray, random: np.random.Generator, count: int, missing: float = 0.0
) -> pa.Array:
    """One of the values for each row, none for the share that is missing."""
    chosen = random.integers(0, len(values), count)
    mask = random.random(count) < missing if missing else None
    return pa.array(values).take(pa.array(chosen, mask=mask))


def _without(values: Any, random: np.random.Generator, share: float) -> pa.Array:
    """The values with a share of them missing."""
    return pc.if_else(pa.array(random.random(len(values)) < share), None, values)


def _dates(start: date, days: np.ndarray) -> pa.Array:
    """Days counted from a date, as text."""
    return pa.array(np.datetime_as_string(np.datetime64(start, "D") + days))


def _money(cents: np.ndarray, missing: np.ndarray) -> pa.Array:
    """Whole cents as decimals with two digits, without a float in between."""
    whole = cents.astype("<i8")
    # A decimal of Arrow is its digits as an integer of 16 bytes, here with the sign extended.
    digits = np.stack([whole, whole >> 63], axis=1).tobytes()
    kept = pa.array(~missing)
    return pa.Array.from_buffers(
        pa.decimal128(12, 2), len(cents), [kept.buffers()[1], pa.py_buffer(digits)]
    )


def command(
    customers: Annotated[int, typer.Option(help="Customers in all.")] = 10_000,
    transactions: Annotated[int, typer.Option(help="New transactions a day.")] = 50_000,
    products: Annotated[int, typer.Option(help="Products in all.")] = 200,
    days: Annotated[int, typer.Option(help="How many days' deliveries to write.")] = 1,
    seed: Annotated[int, typer.Option(help="Another number, other data.")] = SEED,
    landing: Annotated[
        Path | None, typer.Option(help="Where to; by default where the loader looks.")
    ] = None,
) -> None:
    """Write daily deliveries of customers, transactions and products as Parquet."""
    sizes = Sizes(customers, transactions, products, seed)
    delivered = deliver_days(days, sizes, landing=landing)
    for file in delivered:
        Console().print(f"{file.rows:>12,} rows  {file.file}", highlight=False, soft_wrap=True)
