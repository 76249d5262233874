"""Customer transactions as CSV, as many as are wanted; the same seed gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

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
BLOCK_ROWS = 250_000
CUSTOMERS = 40_000
FIRST_NAMES = ("Ana", "Björn", "Chloé", "Dmitri", "Emeka", "Farah", "Grace", "Hiro", "Inés", "Jan")
LAST_NAMES = ("Álvarez", "Becker", "Chen", "Dubois", "Eze", "Fischer", "Garcia", "Haddad", "Ito")
PLACES = (
    ("Switzerland", "Zürich"),
    ("France", "Paris"),
    ("Canada", "Montréal"),
    ("Japan", "Tokyo"),
    ("Nigeria", "Lagos"),
    ("Spain", "Sevilla"),
)


def write_csv(path: Path, rows: int, *, seed: int = 1, first_id: int = 1) -> None:
    """Write transactions with a header; at most a quarter of a million are in memory.

    Args:
        path: the file.
        rows: how many.
        seed: of everything but the ids.
        first_id: the first transaction's id; the others follow.
    """
    random = np.random.default_rng(seed)
    with path.open("wb") as file:
        for start in range(0, rows, BLOCK_ROWS):
            block = _block(random, min(BLOCK_ROWS, rows - start), first_id + start)
            block.write_csv(file, include_header=start == 0)


def _block(random: np.random.Generator, rows: int, first_id: int) -> pl.DataFrame:
    customer = random.integers(1, CUSTOMERS + 1, rows)
    place = customer % len(PLACES)
    price = random.integers(100, 500_000, rows) / 100
    drawn = pl.DataFrame(
        {
            "id": np.arange(first_id, first_id + rows),
            "customer": customer,
            "customer_known": random.random(rows) > 0.02,
            "day": random.integers(0, 1_000, rows),
            "product": random.integers(100, 1_000, rows),
            "quantity": random.integers(1, 20, rows),
            "quantity_known": random.random(rows) > 0.05,
            "price": price,
            "tax": (price * 0.08).round(2),
            "first": np.array(FIRST_NAMES)[customer % len(FIRST_NAMES)],
            "last": np.array(LAST_NAMES)[customer % len(LAST_NAMES)],
            "country": np.array([country for country, _ in PLACES])[place],
            "city": np.array([city for _, city in PLACES])[place],
        }
    )
    number = pl.col("customer").cast(pl.String)
    return drawn.select(
        transaction_id="id",
        customer_id=pl.when("customer_known").then("customer").cast(pl.Float64),
        transaction_date=pl.lit("2023-01-01").str.to_date() + pl.duration(days="day"),
        product_id="product",
        product_name=pl.concat_str(pl.lit("Product "), pl.col("product").cast(pl.String)),
        quantity=pl.when("quantity_known").then("quantity").cast(pl.Float64),
        price="price",
        tax="tax",
        customer_first_name="first",
        customer_last_name="last",
        customer_email=pl.concat_str(pl.lit("customer"), number, pl.lit("@example.com")),
        customer_phone=pl.concat_str(pl.lit("+1-555-"), number.str.zfill(7)),
        customer_country="country",
        customer_city="city",
    )
