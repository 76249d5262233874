"""A mobile game's operational database, generated: purchases and hourly spins, with their dirt.

Fills the database that ``FIRN_GAMING_DATABASE_URL`` names, by default a SQLite file in Firn's home,
and can let some more minutes of play go by in it. The same seed and size give the same rows. It
writes into a database that it has made itself and into no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import sqlalchemy as sa
import typer
from rich.console import Console
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from include.ingestion.database import database_url, open_engine, url_setting
from include.project.domains import SampleDataError
from include.warehouse.connection import ConnectionSettings, get_settings

DOMAIN = "gaming"
SCHEMA = "app_source"
BEGINNING = datetime(2022, 4, 1)  # noqa: DTZ001 - every time here is UTC without saying so
MOST_USERS, MOST_DAYS, MOST_MINUTES = 100_000, 366, 1440
ROWS_AT_ONCE = 20_000

PRICES = {"1.99": 14, "4.99": 10, "19.99": 6, "49.99": 1, "99.99": 7}
"""What is sold, and how often in comparison."""

BAD_REVENUES = ["PriceInUSD=", "PriceInUSD=free", "PriceInUSD=-4.99", "4.99", None]

METADATA = sa.MetaData(schema=SCHEMA)
PURCHASES = sa.Table(
    "purchases_data",
    METADATA,
    sa.Column("timestamp", sa.DateTime, index=True),
    sa.Column("user_id", sa.String(32)),
    sa.Column("revenue", sa.String(64)),
    sa.Column("transaction_id", sa.String(36), index=True),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime, index=True),
)
SPINS = sa.Table(
    "spins_data_hourly",
    METADATA,
    sa.Column("timestamp", sa.DateTime, index=True),
    sa.Column("user_id", sa.String(32)),
    sa.Column("country", sa.String(2)),
    sa.Column("total_spins", sa.Double),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime, index=True),
)
SAMPLE = sa.Table(
    "firn_sample",
    METADATA,
    sa.Column("users", sa.Integer, nullable=False),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("played_until", sa.DateTime, nullable=False),
)
"""One row in a database that was made here: what it was made of, and up to when."""


@dataclass(frozen=True)
class Delivered:
    """What was written.

    Attributes:
        purchases: rows added, duplicates and bad ones included.
        spins: rows added.
        corrected: purchases changed in place.
        played_until: how far the sample reaches now, UTC.
    """

    purchases: int
    spins: int
    corrected: int
    played_until: datetime


Progress = Callable[[str], None]


def _silent(_: str) -> None:
    pass


def fill(
    users: int = 100,
    days: int = 3,
    *,
    seed: int = 1,
    settings: ConnectionSettings | None = None,
    progress: Progress = _silent,
) -> Delivered:
    """Make the tables and fill them, unless that is done already.

    Args:
        users: how many play.
        days: for how long, from 1 April 2022 on.
        seed: of everything that is drawn.
        settings: read from the environment if not given.
        progress: told what happens.

    Raises:
        SampleDataError: a size is out of range, the database cannot be written, or it holds
            something that was not made here.
        IngestionError: its URL cannot be used.
    """
    _within("users", users, MOST_USERS)
    _within("days", days, MOST_DAYS)
    with _database(settings or get_settings()) as connection:
        made = _made(connection)
        if made is not None:
            return Delivered(0, 0, 0, made.played_until)
        progress(f"Generating {days} days of {users:,} players")
        METADATA.create_all(connection)
        until = BEGINNING + timedelta(days=days)
        delivered = _play(connection, users, seed, BEGINNING, until)
        connection.execute(SAMPLE.insert(), [{"users": users, "seed": seed, "played_until": until}])
    return delivered


def play_on(minutes: int = 60, *, settings: ConnectionSettings | None = None) -> Delivered:
    """Let more minutes go by: new rows, late ones, and purchases corrected in place.

    Raises:
        SampleDataError: there is no sample yet, or see `fill`.
        IngestionError: its URL cannot be used.
    """
    _within("minutes", minutes, MOST_MINUTES)
    with _database(settings or get_settings()) as connection:
        made = _made(connection)
        if made is None:
            raise SampleDataError(
                "There is no sample yet that could go on: make it with `firn sample gaming`."
            )
        until = made.played_until + timedelta(minutes=minutes)
        corrected = _correct(connection, made.seed, made.played_until)
        played = _play(connection, made.users, made.seed, made.played_until, until)
        connection.execute(SAMPLE.update().values(played_until=until))
    return Delivered(played.purchases, played.spins, corrected, until)


def _within(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise SampleDataError(f"{value} {name} cannot be made: use 1 to {most:,}.")


class _database:  # noqa: N801 - used like a function
    """One transaction in the operational database."""

    def __init__(self, settings: ConnectionSettings) -> None:
        url = database_url(DOMAIN, settings)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        self._engine: Engine = open_engine(url, DOMAIN)

    def __enter__(self) -> Connection:
        schema = None if self._engine.dialect.name == "sqlite" else SCHEMA
        try:
            self._connection = self._engine.connect().execution_options(
                schema_translate_map={SCHEMA: schema}
            )
            if schema:
                self._connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        except SQLAlchemyError as error:
            raise self._sentence(error) from None
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        try:
            if kind is None:
                self._connection.commit()
        except SQLAlchemyError as failure:
            raise self._sentence(failure) from None
        finally:
            self._connection.close()
            self._engine.dispose()
        if isinstance(error, SQLAlchemyError):
            raise self._sentence(error) from None

    @staticmethod
    def _sentence(error: SQLAlchemyError) -> SampleDataError:
        said = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
        return SampleDataError(
            f"The operational database cannot be written ({said}): check {url_setting(DOMAIN)}."
        )


def _made(connection: Connection) -> sa.Row[tuple[int, int, datetime]] | None:
    """The note of the sample; None if the database is empty.

    Raises:
        SampleDataError: it holds tables that were not made here.
    """
    schema = None if connection.dialect.name == "sqlite" else SCHEMA
    tables = set(sa.inspect(connection).get_table_names(schema=schema))
    if SAMPLE.name in tables:
        return connection.execute(
            sa.select(SAMPLE.c.users, SAMPLE.c.seed, SAMPLE.c.played_until)
        ).one()
    if tables & {PURCHASES.name, SPINS.name}:
        raise SampleDataError(
            f"The database of {url_setting(DOMAIN)} holds {PURCHASES.name} or {SPINS.name} and "
            "was not made by this command: it is left alone; name another database."
        )
    return None


def _play(
    connection: Connection, users: int, seed: int, start: datetime, end: datetime
) -> Delivered:
    """Play from one moment to another, a day at a time, so that memory holds a day."""
    purchases = spins = 0
    while start < end:
        until = min(start + timedelta(days=1), end)
        random = np.random.default_rng([seed, int((start - BEGINNING).total_seconds())])
        bought = _purchases(random, users, start, until)
        played = _spins(random, users, start, until)
        for table, frame in ((PURCHASES, bought), (SPINS, played)):
            for part in frame.iter_slices(ROWS_AT_ONCE):
                connection.execute(table.insert(), part.to_dicts())
        purchases, spins, start = purchases + len(bought), spins + len(played), until
    return Delivered(purchases, spins, 0, end)


def _user_ids(numbers: np.ndarray) -> pl.Series:
    """Names such as WW42LKF."""
    letters = pl.Series([chr(65 + number) for number in range(26)])
    first, second = letters[(numbers // 2600) % 26], letters[(numbers // 100) % 26]
    tail = letters[(numbers // 67_600) % 26]
    digits = pl.Series(numbers % 100).cast(pl.String).str.zfill(2)
    return first + second + digits + tail + pl.Series(["KF"])


def _purchases(
    random: np.random.Generator, users: int, start: datetime, end: datetime
) -> pl.DataFrame:
    """What arrives in a range: purchases, some of them late, twice, corrected, or unusable."""
    seconds = int((end - start).total_seconds())
    count = max(1, round(users * seconds / 18_000))
    late = random.random(count) < 0.03
    delay = np.where(late, random.integers(3_600, 172_800, count), random.integers(1, 240, count))
    weights = np.array(list(PRICES.values())) / sum(PRICES.values())
    prices = pl.Series(random.choice(list(PRICES), count, p=weights))
    frame = pl.DataFrame(
        {
            "second": np.sort(random.integers(0, seconds, count)),
            "delay": delay,
            # Few buy much: the first users most of all.
            "user_id": _user_ids((users * random.random(count) ** 2).astype(np.int64)),
            "revenue": pl.Series(["PriceInUSD="]) + prices,
            "transaction_id": _transaction_ids(random, count),
            "dirt": random.random(count),
            "bad": random.integers(0, len(BAD_REVENUES), count),
        }
    ).with_columns(created_at=pl.lit(start) + pl.duration(seconds="second"))
    dirt = pl.col("dirt")
    bad_text = pl.lit(pl.Series(BAD_REVENUES)).gather("bad")
    bought_at = pl.col("created_at") - pl.duration(seconds="delay")
    frame = frame.with_columns(
        updated_at=pl.col("created_at"),
        revenue=pl.when(dirt < 0.01).then(bad_text).otherwise("revenue"),
        user_id=pl.when(dirt.is_between(0.01, 0.012)).then(None).otherwise("user_id"),
        timestamp=pl.when(dirt.is_between(0.012, 0.014))
        .then(None)
        .otherwise(pl.max_horizontal(bought_at, pl.lit(BEGINNING))),
    )
    twice = frame.filter(dirt.is_between(0.03, 0.06))
    corrected = frame.filter(dirt.is_between(0.06, 0.08)).with_columns(
        updated_at=_not_after(end, pl.col("created_at") + pl.duration(minutes=17)),
        timestamp=pl.col("timestamp") + pl.duration(minutes=45),
        revenue=pl.lit("PriceInUSD=4.99"),
    )
    return pl.concat([frame, twice, corrected]).select(PURCHASES.columns.keys())


def _not_after(end: datetime, moment: pl.Expr) -> pl.Expr:
    """Nothing changes after the moment the sample reaches."""
    return pl.min_horizontal(moment, pl.lit(end))


def _transaction_ids(random: np.random.Generator, count: int) -> pl.Series:
    """Random identifiers as databases write them, in five groups."""
    digits = np.frombuffer(random.bytes(16 * count).hex().encode(), "S32").astype(str)
    text = pl.Series(digits)
    groups = [text.str.slice(place, size) for place, size in ((0, 8), (8, 4), (12, 4), (16, 4))]
    dash = pl.Series(["-"])
    joined = text.str.slice(20, 12)
    for group in reversed(groups):
        joined = group + dash + joined
    return joined


def _spins(random: np.random.Generator, users: int, start: datetime, end: datetime) -> pl.DataFrame:
    """Spins by hour, user and country; some from two countries, in parts, or corrected."""
    first = start.replace(minute=0, second=0)
    # An hour is reported when it is over.
    hours = int((end - first).total_seconds() // 3600)
    active = np.flatnonzero(random.random(users * hours) < 0.3)
    count = len(active)
    user, hour = active // max(1, hours), active % max(1, hours)
    frame = pl.DataFrame(
        {
            "hour": hour,
            "user_id": _user_ids(user),
            "country": np.where(user % 3 == 0, "CA", "US"),
            "total_spins": np.round(random.lognormal(2.5, 1.2, count), 6),
            "delay": random.integers(60, 900, count),
            "dirt": random.random(count),
        },
        schema_overrides={"country": pl.String},
    ).with_columns(timestamp=pl.lit(first) + pl.duration(hours="hour"))
    reported = pl.col("timestamp") + pl.duration(hours=1, seconds="delay")
    frame = frame.with_columns(created_at=_not_after(end, reported)).with_columns(
        updated_at=pl.col("created_at")
    )
    abroad = frame.filter(pl.col("dirt") < 0.03).with_columns(
        country=pl.when(pl.col("country") == "US").then(pl.lit("CA")).otherwise(pl.lit("US")),
        total_spins=(pl.col("total_spins") / 3).round(6),
    )
    part = frame.filter(pl.col("dirt").is_between(0.03, 0.05)).with_columns(
        total_spins=(pl.col("total_spins") / 7).round(6)
    )
    corrected = frame.filter(pl.col("dirt").is_between(0.05, 0.07)).with_columns(
        total_spins=(pl.col("total_spins") * 1.1).round(6),
        updated_at=_not_after(end, pl.col("updated_at") + pl.duration(minutes=23)),
    )
    nobody = frame.filter(pl.col("dirt") > 0.999).with_columns(user_id=pl.lit(None, pl.String))
    return pl.concat([frame, abroad, part, corrected, nobody]).select(SPINS.columns.keys())


def _correct(connection: Connection, seed: int, now: datetime) -> int:
    """Move some purchases an hour back, in place, as support does when an order was late."""
    recent = connection.execute(
        sa.select(PURCHASES.c.transaction_id)
        .where(PURCHASES.c.timestamp >= now - timedelta(hours=12))
        .order_by(PURCHASES.c.transaction_id)
        .distinct()
    ).scalars()
    chosen = [one for number, one in enumerate(recent) if number % 50 == seed % 50]
    if not chosen:
        return 0
    moved = connection.execute(
        PURCHASES.update()
        .where(PURCHASES.c.transaction_id == sa.bindparam("chosen"))
        .values(timestamp=sa.bindparam("moved"), updated_at=sa.bindparam("now")),
        [{"chosen": one, "moved": now - timedelta(hours=13), "now": now} for one in chosen],
    )
    return int(moved.rowcount)


def command(
    users: Annotated[int, typer.Option(help="How many play.")] = 100,
    days: Annotated[int, typer.Option(help="For how many days.")] = 3,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 1,
    more_minutes: Annotated[
        int, typer.Option(help="Let so many minutes go by in the sample that is there.")
    ] = 0,
) -> None:
    """Generate the operational database of the game, or let some minutes go by in it."""
    if more_minutes:
        made = play_on(more_minutes)
    else:
        made = fill(users, days, seed=seed, progress=Console().print)
    Console().print(
        f"{made.purchases:,} purchases and {made.spins:,} hourly spins added, {made.corrected:,} "
        f"purchases corrected; the sample reaches {made.played_until}",
        highlight=False,
    )
