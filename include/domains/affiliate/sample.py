"""Deliveries of the affiliate sources: some days of files with every kind of dirt in them.

The same arguments always give the same bytes, so that delivering again delivers nothing new.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from rich.console import Console

from include.ingestion.landing import landing_folder
from include.project.domains import SampleDataError
from include.warehouse.connection import get_settings

DOMAIN = "affiliate"
START = date(2024, 12, 26)
"""Before the turn of a year, so that two Januaries cannot be taken for one."""

DAYS = 10
ROWS = 200
SEED = 20241226
MOST_DAYS, MOST_ROWS = 3_660, 1_000_000
MANUAL_EVERY = 4
"""Somebody enters something by hand every so many days."""

MARKETING_SOURCES = np.array(
    [f"{name} {n}" for n in (1, 2) for name in ("Atlas", "Beacon", "Cove")]
)
WITHOUT_DEAL = "Cove 2"
DEALS = {
    "Atlas 1": ("REVSHARE", "+ 2.5"),
    "Beacon 1": ("CPC", "+ clicks*0.05"),
    "Cove 1": ("HYBRID", "+ 1.25 + clicks*0.02"),
    "Atlas 2": ("FIXED 0", "+ 100"),
    "Beacon 2": ("REVSHARE", None),
    "Dune 1": ("REVSHARE", "+ 3"),
}
SCRAPED = np.array(["Beacon 2", "Dune 1", "Ember 1"])

BRANDS = {
    "atlas-main": "Atlas 1",
    "beacon-a": "Beacon 1",
    "beacon-b": "Beacon 1",
    "beacon-two": "Beacon 2",
    "cove-main": "Cove 1",
    "cove-old": "Cove 1",
    "ember": "Ember 1",
}
UNMAPPED_BRAND = "nobody"

COUNTRIES = np.array(["Germany", "Sweden", "Canada", "Brazil"])
COUNTRY_CODES = np.array(["DE", "SE", "CA", "BR"])
MAPPING = [
    ("LuckyLOLBay", "Lucky Bay", None),
    ("lucky-bay", "Lucky Bay", None),
    ("Grand", "GrandLOLPalace", "Germany"),
    ("Grand", "Grand Royale", "Sweden"),
    ("GrandLOLRoyale", "Grand Royale", None),
    ("North Star SE", "NorthLOLStar", "Sweden"),
]
OPERATORS = np.array(
    [
        "LuckyLOLBay",  # a variant with its space written as LOL
        "lucky-bay",
        "Lucky Bay",  # a standard name
        "Grand",  # another operator in another country, and none in the rest
        "Grand Royale",
        "North Star SE",
        "Quiet Harbour",  # in no mapping
        None,
    ],
    dtype=object,
)


@dataclass(frozen=True)
class Delivered:
    """One file: where it was put, and how many rows are below its header."""

    source: str
    path: Path
    rows: int


def deliver(
    landing: Path | None = None,
    *,
    start: date = START,
    days: int = DAYS,
    rows: int = ROWS,
    seed: int = SEED,
) -> list[Delivered]:
    """Write the files of some days into a landing folder, as the sources would.

    Args:
        landing: read from the environment if not given.
        start: the first day.
        days: how many days.
        rows: rows of a day in the largest source; the others have fewer.
        seed: another one gives other numbers.

    Raises:
        SampleDataError: a size makes no sense, or the folder cannot be written to.
    """
    for name, value, most in (("days", days, MOST_DAYS), ("rows", rows, MOST_ROWS)):
        if not 1 <= value <= most:
            raise SampleDataError(f"{value} {name} cannot be made: ask for 1 to {most:,}.")
    root = (landing or landing_folder(get_settings())) / DOMAIN
    written = []
    for number in range(days):
        day = start + timedelta(days=number)
        for source, frame in _events(np.random.default_rng((seed, number)), number, day, rows):
            # Half of the systems write CamelCase, and one changes its mind.
            camel = source in ("voluum", "scrapers") or (source == "routy" and number % 2 == 1)
            written.append(_write(root, source, f"{day}.csv", _camel(frame) if camel else frame))
    for source, frame in _reference().items():
        written.append(_write(root, source, f"{source}.csv", _camel(frame)))
    return written


def _events(
    random: np.random.Generator, number: int, day: date, rows: int
) -> list[tuple[str, pl.DataFrame]]:
    found = [
        ("routy", _routy(random, day, rows)),
        ("voluum", _voluum(random, day, max(rows // 4, len(BRANDS)))),
        ("scrapers", _scrapers(random, number, day)),
    ]
    if number % MANUAL_EVERY == 0:
        found.append(("manual", _manual(random, day, max(rows // 20, 2))))
    return found


def _routy(random: np.random.Generator, day: date, rows: int) -> pl.DataFrame:
    country = random.integers(0, len(COUNTRIES), rows)
    frame = pl.DataFrame(
        {
            "date": _dates(random, day, rows),
            "marketing_source": random.choice(MARKETING_SOURCES, rows),
            "operator": random.choice(OPERATORS, rows).tolist(),
            "country": COUNTRIES[country],
            "country_code": COUNTRY_CODES[country],
            "raw_earnings": _money(random, rows),
            "visits": _counts(random, rows, 400),
            "signups": _counts(random, rows, 12),
        }
    )
    broken = pl.int_range(pl.len())
    frame = frame.with_columns(
        # Two rows that cannot be loaded, and why is different.
        date=pl.when(broken == 1).then(pl.lit("2024-02-30")).otherwise("date"),
        visits=pl.when(broken == 3).then(pl.lit("many")).otherwise("visits"),
    )
    return _with_doubles(frame)


def _manual(random: np.random.Generator, day: date, rows: int) -> pl.DataFrame:
    return _with_doubles(
        pl.DataFrame(
            {
                "date": _dates(random, day, rows),
                "marketing_source": random.choice(MARKETING_SOURCES, rows),
                "operator": random.choice(OPERATORS, rows).tolist(),
                "raw_earnings": _money(random, rows),
                "visits": _counts(random, rows, 50),
                "signups": _counts(random, rows, 3),
            }
        )
    )


def _voluum(random: np.random.Generator, day: date, rows: int) -> pl.DataFrame:
    brands = [*BRANDS, UNMAPPED_BRAND]
    return _with_doubles(
        pl.DataFrame(
            {
                "date": _dates(random, day, rows),
                "voluum_brand": random.choice(brands, rows),
                "clicks": _counts(random, rows, 90),
            }
        )
    )


def _scrapers(random: np.random.Generator, number: int, day: date) -> pl.DataFrame:
    """Totals that grow day by day, with a day on which one page could not be read."""
    pairs = [(source, operator) for source in range(len(SCRAPED)) for operator in range(4)]
    source, operator = np.array(pairs).T
    # A total that only ever falls is a correction by the operator.
    pace = np.where(operator == 2, -3.75, 12.5 + 2 * source)
    total = pace * (number + 1) + random.integers(0, 400, len(pairs)) / 100
    frame = pl.DataFrame(
        {
            "date": _dates(random, day, len(pairs)),
            "marketing_source": SCRAPED[source],
            "operator": OPERATORS[operator].tolist(),
            "country": COUNTRIES[operator],
            "total_earnings": np.char.mod("%.2f", total),
            "visits": _counts(random, len(pairs), 60),
        }
    )
    if number % 6 == 5:
        frame = frame.filter(pl.col("marketing_source") != SCRAPED[-1])
    return frame


def _reference() -> dict[str, pl.DataFrame]:
    deals = [(source, deal, comments) for source, (deal, comments) in DEALS.items()]
    return {
        "deals": pl.DataFrame(deals, ["marketing_source", "deal", "comments"], orient="row"),
        "voluum_mapper": pl.DataFrame(
            list(BRANDS.items()), ["voluum_brand", "marketing_source"], orient="row"
        ),
        "central_mapping": pl.DataFrame(
            MAPPING, ["variants", "std_operator", "country"], orient="row"
        ),
    }


def _dates(random: np.random.Generator, day: date, rows: int) -> list[str | None]:
    """The day as different systems write it; now and then nobody did."""
    forms = np.array(
        [f"{day}", f"{day:%Y/%m/%d}", f"{day} 13:45:10", f"{day:%Y/%m/%d} 08:05", None],
        dtype=object,
    )
    found: list[str | None] = random.choice(forms, rows, p=[0.5, 0.2, 0.1, 0.1, 0.1]).tolist()
    return found


def _money(random: np.random.Generator, rows: int) -> pl.Series:
    """Amounts with up to four decimals; some are missing, some are charged back."""
    amounts = random.integers(-400_000, 1_600_000, rows)
    text = pl.Series(np.char.mod("%.4f", amounts / 10_000))
    return text.set(pl.Series(random.random(rows) < 0.05), None)


def _counts(random: np.random.Generator, rows: int, most: int) -> pl.Series:
    return pl.Series(random.integers(0, most, rows)).cast(pl.String)


def _with_doubles(frame: pl.DataFrame) -> pl.DataFrame:
    """One row in fifty stands there twice."""
    return pl.concat([frame, frame.gather_every(50)])


def _camel(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.rename(lambda name: "".join(word.title() for word in name.split("_")))


def _write(root: Path, source: str, name: str, frame: pl.DataFrame) -> Delivered:
    """A file that appears whole: the loader leaves hidden names alone."""
    path = root / source / name
    unfinished = path.with_name(f".{name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_csv(unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise SampleDataError(
            f"{path} cannot be written ({error.strerror}): make room there, or set FIRN_LANDING to "
            "another folder."
        ) from None
    return Delivered(source, path, frame.height)


def command(
    start: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help=f"First day; {START} by default."),
    ] = None,
    days: Annotated[int, typer.Option(help="Days of files.")] = DAYS,
    rows: Annotated[int, typer.Option(help="Rows of a day in the largest source.")] = ROWS,
    seed: Annotated[int, typer.Option(help="Other numbers.")] = SEED,
) -> None:
    """Deliver files of the seven affiliate systems into the landing folder."""
    first = start.date() if start else START
    files = deliver(start=first, days=days, rows=rows, seed=seed)
    total = sum(file.rows for file in files)
    Console().print(f"{len(files)} files with {total:,} rows delivered", highlight=False)
