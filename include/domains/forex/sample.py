"""Deliveries of customer transactions as CSV, dirty on purpose, of any size.

Each delivery holds new transactions and, after them, corrections of the delivery before: a date, an
e-mail, a price, a city, or the quantity that was missing. Every value is a function of the seed and
of the transaction's number. So the same settings give the same bytes, a correction repeats what it
does not change, and memory holds one batch, whatever the size.

The dirt: ids with letters, and ids that stand twice in one file or come again under another id;
dates in six ways, with the month first, impossible or no dates; amounts in words, of more than 60
characters too, negative ones, thousands separators, and texts that are no number; missing customer
numbers, quantities and phones, the phones of whole stretches at once; fractions of a piece; names
with apostrophes and accents; blanks around values. `deliver_broken` writes files that must be
refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Annotated

import numpy as np
import polars as pl
import typer
from rich.console import Console

from include.ingestion.landing import landing_folder
from include.project.domains import SampleDataError
from include.warehouse.connection import ConnectionSettings, get_settings

DOMAIN, SOURCE = "forex", "customer_transactions"
SEED = 20230710
BATCH_ROWS = 50_000
MOST_ROWS = 1_000_000_000
MOST_DELIVERIES = 9_999
FIRST_ID = 1001
FIRST_DAY = date(2023, 7, 10)
DAYS = 1000
"""Days, from the first on, on which something is bought."""

COLUMNS = (
    "transaction_id",
    "customer_id",
    "transaction_date",
    "product_id",
    "product_name",
    "quantity",
    "price",
    "tax",
    "customer_first_name",
    "customer_last_name",
    "customer_email",
    "customer_phone",
    "customer_country",
    "customer_city",
)

FIRST_NAMES = (
    "Ada", "Björn", "Chloë", "Dario", "Elif", "Finn", "Gréta", "Hugo", "Inês", "Jan", "Kaja",
    "Łucja", "Mary Ann", "Noor", "Óscar", "Petra", "Quentin", "Rosa", "Søren", "Zoë",
)  # fmt: skip
LAST_NAMES = (
    "Almeida", "Björk", "Çelik", "D'Angelo", "Eriksen", "Fischer", "García", "Hansen", "Ivanov",
    "Jones", "Müller", "N'Diaye", "O'Neill", "Smith-Lee", "Šimić", "van der Berg",
)  # fmt: skip
PLACES = (
    ("USA", "New York"), ("USA", "Portland"), ("UK", "London"), ("Canada", "London"),
    ("Switzerland", "Zürich"), ("Germany", "Köln"), ("France", "Lyon"), ("Spain", "Cádiz"),
    ("Poland", "Łódź"), ("Côte d'Ivoire", "Abidjan"), ("Denmark", "Århus"), ("Brazil", None),
)  # fmt: skip
PRODUCTS = (
    ("101", "Product A"), ("102", "Product B"), ("103", "Product C"), ("104", "Product D"),
    ("100", "Product E"), ("P100", "Product E"),
)  # fmt: skip
NO_DATES = ("31-02-2023", "2023-02-30", "00-00-0000", "13/13/2023", "tomorrow", "2023-7-1")
NO_NUMBERS = ("N/A", "two hundreds", "1,20", "1.2.3", "free", "one hundred and")

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

_STREAMS = {
    name: number
    for number, name in enumerate(
        (
            "id", "issued again", "twice", "corrected", "correction", "customer", "first", "last",
            "no customer", "day", "time", "date", "no date", "product", "quantity", "pieces",
            "cents", "price", "price words", "tax cents", "tax", "tax words", "place", "blanks",
            "phone",
        )
    )
}  # fmt: skip


@dataclass(frozen=True)
class Delivered:
    """One file that was written.

    Attributes:
        file: where it is.
        rows: how many rows it holds, without the header.
    """

    file: Path
    rows: int


def deliver(
    number: int = 1,
    rows: int = 10_000,
    *,
    seed: int = SEED,
    landing: Path | None = None,
    settings: ConnectionSettings | None = None,
) -> Delivered:
    """Write one delivery into the landing folder; it appears when it is complete.

    Args:
        number: which delivery, from 1; the first one has no corrections.
        rows: new transactions in each delivery. Corrections and doubled rows come on top, about
            10 percent.
        seed: another number gives other data of the same kind.
        landing: the landing folder; read from the environment if not given.
        settings: read from the environment if not given.

    Raises:
        SampleDataError: an argument is out of range, or the file cannot be written.
    """
    if not 1 <= rows <= MOST_ROWS:
        raise SampleDataError(f"{rows:,} rows cannot be generated: use 1 to {MOST_ROWS:,}.")
    if not 1 <= number <= MOST_DELIVERIES:
        raise SampleDataError(
            f"There is no delivery {number:,}: use a number from 1 to {MOST_DELIVERIES:,}."
        )
    if not 0 <= seed < 2**32:
        raise SampleDataError(f"The seed is {seed}: use a whole number from 0 to 4,294,967,295.")
    file = _folder(landing, settings) / f"{SOURCE}_{number:04}.csv"
    written = 0
    with _appearing(file) as handle:
        for frame in frames(number, rows, seed=seed):
            frame.write_csv(handle, include_header=not written)
            written += frame.height
    return Delivered(file, written)


def deliver_broken(
    *, landing: Path | None = None, settings: ConnectionSettings | None = None
) -> list[Delivered]:
    """Write one small file for each reason to refuse a file whole.

    Raises:
        SampleDataError: a file cannot be written.
    """
    [frame] = frames(1, 1)
    head = ",".join(COLUMNS)
    row = frame.row(0)
    values = ",".join('""' if value is None else f'"{value}"' for value in row)
    broken = {
        "missing_column": f"{head.removesuffix(',customer_city')}\n{','.join('1' * 13)}\n".encode(),
        "unknown_column": f"{head},colour\n{values},red\n".encode(),
        "broken_quote": f'{head}\n{values}\n"2,{values}\n'.encode(),
        "wrong_encoding": f"{head}\n{values}\n".encode() + b"2" + b",Z\xfcrich" * 13 + b"\n",
    }
    folder = _folder(landing, settings)
    delivered = []
    for reason, content in broken.items():
        file = folder / f"{SOURCE}_{reason}.csv"
        with _appearing(file) as handle:
            handle.write(content)
        delivered.append(Delivered(file, content.count(b"\n") - 1))
    return delivered


def frames(number: int, rows: int, *, seed: int = SEED) -> Iterator[pl.DataFrame]:
    """The rows of a delivery as text, in batches: new transactions, then corrections."""
    for numbers in _batches((number - 1) * rows, rows):
        batch = _Batch(numbers, seed)
        # An id that stands twice comes first as it will be corrected; the last row wins.
        twice = batch.chance("twice") < 0.01
        yield pl.concat([batch.frame(1).filter(pl.Series(twice)), batch.frame(0)])
    if number > 1:
        for numbers in _batches((number - 2) * rows, rows):
            corrected = numbers[_Batch(numbers, seed).chance("corrected") < 0.08]
            if len(corrected):
                yield _Batch(corrected, seed).frame(1)


def words(number: int) -> str:
    """A whole number in English words, `and` before what is below a hundred."""
    if number < 0:
        return f"minus {words(-number)}"
    for size, name in ((1_000_000, "million"), (1_000, "thousand")):
        if number >= size:
            rest = number % size
            joint = " and " if 0 < rest < 100 else " "
            return f"{words(number // size)} {name}" + (f"{joint}{words(rest)}" if rest else "")
    if number >= 100:
        rest = number % 100
        return f"{_ONES[number // 100]} hundred" + (f" and {words(rest)}" if rest else "")
    if number >= 20:
        return _TENS[number // 10 - 2] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    return _ONES[number]


def _spoken() -> list[str]:
    """Amounts as people write them in words."""
    numbers = [*range(1, 100, 2), *range(100, 1_300, 37), 200, 15, 112, 1_205]
    texts = [words(number) for number in numbers]
    texts += [text.title() for text in texts] + [text.upper() for text in texts[::5]]
    texts += [text.replace(" and ", " ").replace("-", " ") for text in texts[::3]]
    texts += [f"minus {text}" for text in texts[::9]]
    # One of more than 60 characters.
    return [*texts, words(111_373)]


class _Batch:
    """Some transactions by their numbers, which count from 0 and need not follow each other."""

    def __init__(self, numbers: np.ndarray, seed: int) -> None:
        self._seed = np.uint64(seed)
        self._numbers = numbers.astype(np.uint64)
        self._ids = self._numbers
        # Issued again: another id, and all else of the transaction before.
        again = (self.chance("issued again") < 0.004) & (numbers > 0)
        self._numbers = np.where(again, numbers - 1, numbers).astype(np.uint64)
        self.size = len(numbers)

    def _draw(self, stream: str, of: np.ndarray | None = None) -> np.ndarray:
        """64 random bits for each number, equal for equal numbers (splitmix64)."""
        with np.errstate(over="ignore"):
            key = np.uint64(_STREAMS[stream] + 1) * np.uint64(0x9E3779B97F4A7C15)
            bits = (self._numbers if of is None else of.astype(np.uint64)) + np.uint64(1)
            bits = bits * np.uint64(0xD1342543DE82EF95) + key + (self._seed << np.uint64(20))
            bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return bits ^ (bits >> np.uint64(31))

    def chance(self, stream: str) -> np.ndarray:
        """From 0 to below 1, for each number."""
        drawn: np.ndarray = (self._draw(stream) >> np.uint64(11)) * 2.0**-53
        return drawn

    def _below(self, stream: str, end: int, of: np.ndarray | None = None) -> np.ndarray:
        return (self._draw(stream, of) % np.uint64(end)).astype(np.int64)

    def _one_of(
        self, stream: str, values: tuple[str | None, ...] | list[str], of: np.ndarray | None = None
    ) -> pl.Series:
        return pl.Series(values, dtype=pl.String).gather(self._below(stream, len(values), of))

    def frame(self, version: int) -> pl.DataFrame:
        """The rows as they are delivered first (0) or corrected (1)."""
        corrects = self._below("correction", 6) if version else np.full(self.size, -1)
        customer = self._below("customer", 5_000)
        first, last = (
            self._one_of("first", FIRST_NAMES, customer),
            self._one_of("last", LAST_NAMES, customer),
        )
        place = (self._below("place", len(PLACES), customer) + (corrects == 3)) % len(PLACES)
        product = self._below("product", len(PRODUCTS))
        frame = pl.DataFrame(
            {
                "transaction_id": pl.Series(self._ids) + FIRST_ID,
                "letter": self.chance("id") < 0.02,
                "customer_id": pl.Series(500 + customer % 1_000),
                "has_customer_id": self.chance("no customer") >= 0.14,
                "customer_first_name": first,
                "customer_last_name": last,
                "customer": customer,
                "new_mail": corrects == 1,
                "has_phone": (self.chance("phone") >= 0.02)
                & (self._numbers // np.uint64(1_000) % np.uint64(7) != 3),
                "product_id": pl.Series([one for one, _ in PRODUCTS]).gather(product),
                "product_name": pl.Series([name for _, name in PRODUCTS]).gather(product),
                "customer_country": pl.Series([one for one, _ in PLACES]).gather(place),
                "customer_city": pl.Series([city for _, city in PLACES]).gather(place),
                "blanks": self.chance("blanks") < 0.01,
            }
        )
        text = pl.col("transaction_id").cast(pl.String)
        return frame.select(
            transaction_id=pl.when("letter").then("T" + text).otherwise(text),
            customer_id=pl.when("has_customer_id").then(
                pl.col("customer_id").cast(pl.String) + ".0"
            ),
            transaction_date=self._dates(corrects == 0),
            product_id="product_id",
            product_name=pl.when("blanks")
            .then("  " + pl.col("product_name") + " ")
            .otherwise("product_name"),
            quantity=self._quantities(np.asarray(corrects == 4) | (corrects == 5)),
            price=self._amounts("cents", "price", "price words", 500, 30_000, corrects == 2),
            tax=self._amounts("tax cents", "tax", "tax words", 0, 3_000, corrects == 9),
            customer_first_name="customer_first_name",
            customer_last_name="customer_last_name",
            customer_email=pl.when("new_mail").then(pl.lit("new.")).otherwise(pl.lit(""))
            + "customer."
            + pl.col("customer").cast(pl.String)
            + "@example.com",
            customer_phone=pl.when("has_phone").then(
                "+1-234-567-" + (8_900 + pl.col("customer")).cast(pl.String)
            ),
            customer_country="customer_country",
            customer_city="customer_city",
        )

    def _dates(self, later: np.ndarray) -> pl.Series:
        """A day in one of the ways it is written; a corrected one is a day later."""
        day = np.datetime64(FIRST_DAY, "D") + (self._below("day", DAYS) + later)
        seconds = pl.Series(self._below("time", 86_400))
        frame = pl.DataFrame({"day": day, "seconds": seconds, "luck": self.chance("date")})
        written = pl.col("day").dt.to_string
        ways: Mapping[float, pl.Expr] = {
            0.86: written("%Y-%m-%d"),
            0.89: written("%d-%m-%Y"),
            0.91: written("%d/%m/%Y"),
            0.93: written("%Y/%m/%d"),
            0.95: written("%d-%m-%y"),
            0.97: (pl.col("day").cast(pl.Datetime) + pl.duration(seconds="seconds")).dt.to_string(
                "%Y-%m-%d %H:%M:%S"
            ),
            # Only a day above 12 tells that the month is in front.
            0.99: pl.when(pl.col("day").dt.day() > 12)
            .then(written("%m-%d-%Y"))
            .otherwise(written("%d-%m-%Y")),
        }
        return _chosen(frame, ways, self._one_of("no date", NO_DATES))

    def _quantities(self, arrived: np.ndarray) -> pl.Series:
        """Whole pieces as a float writes them, fractions, and a sixth missing until corrected."""
        pieces = pl.Series(self._below("pieces", 5) + 1)
        frame = pl.DataFrame({"pieces": pieces, "luck": self.chance("quantity"), "here": arrived})
        whole, fraction = pl.col("pieces").cast(pl.String) + ".0", pl.col("pieces") + 0.25
        return frame.select(
            pl.when(pl.col("luck") < 0.8)
            .then(whole)
            .when(pl.col("luck") < 0.84)
            .then(fraction.cast(pl.String))
            .when("here")
            .then(whole)
        ).to_series()

    def _amounts(
        self, cents: str, way: str, spoken: str, least: int, most: int, dearer: np.ndarray
    ) -> pl.Series:
        """Mostly digits; words, thousands separators, and texts that are no number."""
        value = self._below(cents, most - least) + least + 100 * dearer
        frame = pl.DataFrame({"cents": value, "luck": self.chance(way)}).with_columns(
            digits=(pl.col("cents") // 100).cast(pl.String)
            + "."
            + (pl.col("cents") % 100).cast(pl.String).str.zfill(2)
        )
        frame = frame.with_columns(words=self._one_of(spoken, _spoken()))
        ways: Mapping[float, pl.Expr] = {
            0.9: pl.col("digits"),
            0.92: "1," + pl.col("digits").str.zfill(6),
            0.93: "-" + pl.col("digits"),
            0.985: pl.col("words"),
        }
        return _chosen(frame, ways, self._one_of(spoken, NO_NUMBERS))


def _chosen(frame: pl.DataFrame, ways: Mapping[float, pl.Expr], otherwise: pl.Series) -> pl.Series:
    """For each row the first way whose limit its luck is below."""
    chosen: pl.Expr = pl.col("otherwise")
    for limit, way in reversed(list(ways.items())):
        chosen = pl.when(pl.col("luck") < limit).then(way).otherwise(chosen)
    return frame.with_columns(otherwise=otherwise).select(chosen).to_series()


def _batches(first: int, rows: int) -> Iterator[np.ndarray]:
    for start in range(first, first + rows, BATCH_ROWS):
        yield np.arange(start, min(start + BATCH_ROWS, first + rows))


def _folder(landing: Path | None, settings: ConnectionSettings | None) -> Path:
    return (landing or landing_folder(settings or get_settings())) / DOMAIN / SOURCE


@contextmanager
def _appearing(file: Path) -> Iterator[IO[bytes]]:
    """A hidden file to write to, which gets its name when the block ends well.

    Raises:
        SampleDataError: it cannot be written.
    """
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as handle:
                yield handle
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise SampleDataError(
            f"{file} cannot be written ({error.strerror or error}): make room, give permission, or "
            "set FIRN_LANDING to another folder."
        ) from error


def command(
    rows: Annotated[int, typer.Option(help="New transactions in each delivery.")] = 10_000,
    deliveries: Annotated[int, typer.Option(help="Deliveries, each correcting the last.")] = 1,
    seed: Annotated[int, typer.Option(help="Another number gives other data.")] = SEED,
    broken: Annotated[bool, typer.Option(help="Also files that must be refused.")] = False,
) -> None:
    """Write dirty CSV deliveries of customer transactions into the landing folder."""
    for number in range(1, deliveries + 1):
        file = deliver(number, rows, seed=seed)
        Console().print(f"{file.file.name}  {file.rows:,} rows", highlight=False)
    for file in deliver_broken() if broken else ():
        Console().print(f"{file.file.name}  to be refused", highlight=False)
