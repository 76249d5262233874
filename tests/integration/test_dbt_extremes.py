"""Every value that a raw column can hold is staged or rejected, and none of them stops a model.

Rows are written straight into the raw tables, with the declared types of the sources. Each row has
one extreme value among ordinary ones, or extreme values in every column. All models of all domains
must build, and every raw row must be found again. A campaign also runs the data tests.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl
import pytest

from include.ingestion.raw import METADATA, Raw, quoted, sql_type
from include.ingestion.sources import Column, Source, load_domain
from include.project.manifest import domain_selection
from tests import campaign
from tests.conftest import start_warehouse
from tests.integration.dbt_runs import DbtRuns, Outcome, dbt_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.campaign]

DOMAINS = ("affiliate", "forex", "gaming", "retail")
LOAD_ID = "999912312359599999990000000000000000"

NUMBERS = (
    "0", "-0", "1", "-1", "9" * 10, "9" * 11, "9" * 12, "9" * 13, "9" * 18, "9" * 38, "9" * 50,
    "-" + "9" * 11, "-" + "9" * 50, "0." + "0" * 49 + "1", "0.004", "." + "9" * 20, "1.", "+7",
    "1,000", "1e400", "-1e400", "1e30", "1e-400", "Infinity", "-inf", "NaN", "0x1F", "1 000", "--1",
    # Digits of other scripts.
    "\uff11\uff12", "\u0663",
)  # fmt: skip
DAYS = (
    "0001-01-01", "9999-12-31", "10000-01-01", "0000-00-00", "2025-02-30", "-0044-03-15",
    "0001-01-01 00:00:00", "9999-12-31 23:59:59", "9999-12-31 23:59:59.999999",
    "9999-12-31T24:00:00Z", "0001-01-01T00:00:00", "1969-12-31 23:59:60", "31/12/9999", "1/1/1",
)  # fmt: skip
TEXTS = (
    "", " ", "\t\r\n", "null", "'", '"', "\\", "\\'", "%s", "%", "{{ x }}", "$1", "--", ";", "|:|",
    "=", "a=b=c", "one", "minus one", "nine hundred ninety nine million " * 3, "x" * 20_000,
    # Unusual blanks and invisible characters; composed, joined and right-to-left text.
    "\u00a0", "\u200b", "\ufeff", "\u2028", "\u0001", "\u007f", "\ufffd", "\u202eabc",
    "\u00e9", "e\u0301", "\u00df", "\u0130\u0131", "\ud55c\uad6d\uc5b4", "\U0001f600" * 50,
)  # fmt: skip
FLOATS = (
    "0", "-0.0", "5e-324", "-5e-324", "1e-10", "1e9", "1000000001", "1e15", "1e18", "1e28", "1e30",
    "1e38", "1.7976931348623157e308", "-1.7976931348623157e308", "NaN", "inf", "-inf",
)  # fmt: skip
MOMENTS = ("0001-01-01 00:00:00", "1970-01-01 00:00:00", "9999-12-31 23:59:59.999999")

ORDINARY = {
    ("forex", "transaction_date"): "2023-07-18",
    ("forex", "quantity"): "2",
    ("forex", "price"): "10.50",
    ("forex", "tax"): "1",
    ("gaming", "timestamp"): "2022-04-01 10:00:00",
    ("gaming", "revenue"): "PriceInUSD=4.99",
    ("retail", "timestamp"): "2025-01-01T10:00:00",
    ("retail", "status"): "completed",
    ("retail", "signup_date"): "2025-01-01",
    ("retail", "created_date"): "2025-01-01",
    ("affiliate", "comments"): "+ 1.5 + clicks*0.1",
}
WRITTEN: dict[tuple[str, str], tuple[Callable[[str], str], ...]] = {
    ("gaming", "revenue"): ("PriceInUSD={}".format,),
    ("affiliate", "comments"): ("+ {}".format, "+ clicks*{}".format, "+ {0} + clicks*{0}".format),
}
"""Columns whose text contains a number."""


def extremes(column: Column, domain: str) -> list[str | None]:
    """Values that a raw column can hold, as text that is cast to the column's type."""
    found: list[str | None] = [None] if column.nullable else []
    if column.precision_and_scale:
        digits, scale = column.precision_and_scale
        largest = f"{'9' * (digits - scale)}.{'9' * scale}".rstrip(".")
        smallest = f"0.{'0' * (scale - 1)}1" if scale else "1"
        found += ["0", largest, f"-{largest}", smallest, f"-{smallest}"]
    elif column.type == "integer":
        # The local warehouse does not hold all 38 digits, only 64-bit integers.
        found += ["0", "1", "-1", "151", "9" * 12, "9" * 13, str(2**63 - 1), str(-(2**63))]
    elif column.type == "float":
        found += FLOATS
    elif column.type == "boolean":
        found += ["true", "false"]
    elif column.type in ("date", "timestamp"):
        found += MOMENTS
    else:
        found += [*NUMBERS, *DAYS]
        found += TEXTS
        for write in WRITTEN.get((domain, column.name), ()):
            found += map(write, NUMBERS)
        if column.checks and column.checks.pattern:
            # Leave out values that the declared check keeps out of the raw table.
            found = [
                text for text in found if text is None or text.strip(" \t\r\n\u00a0\u200b\ufeff")
            ]
    return found


def ordinary(column: Column, domain: str, number: int) -> str:
    if (domain, column.name) in ORDINARY:
        return ORDINARY[domain, column.name]
    kinds = {"float": "7", "boolean": "true", "timestamp": "2025-01-01 00:00:00", "integer": "5"}
    if column.name in ("transaction_id", "customer_id", "product_id"):
        return str(number) if column.type == "integer" else f"X{number}"
    if column.type == "text":
        # The same in every table, so that related rows join.
        return f"{column.name} {number}"
    return kinds.get(column.type, "3")


def rows(source: Source, draw: random.Random) -> list[list[str | None]]:
    """Rows with one extreme value each, and rows with extreme values only."""
    values = {column.name: extremes(column, source.domain) for column in source.columns}
    found: list[list[str | None]] = []
    for column in source.columns:
        for value in values[column.name]:
            base = {each.name: ordinary(each, source.domain, len(found)) for each in source.columns}
            found.append([*({**base, column.name: value}).values()])
    for _ in range(campaign.size(60, 2_000)):
        found.append([draw.choice(values[column.name]) for column in source.columns])
    if not source.key:
        return found
    # A source that is merged by key has each key once.
    at = [[column.name for column in source.columns].index(name) for name in source.key]
    return list({tuple(row[place] for place in at): row for row in found}.values())


def insert(runs: DbtRuns, raw: Raw, source: Source, found: Sequence[Sequence[str | None]]) -> None:
    names = [column.name for column in source.columns]
    file = runs.folder / "extremes.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = dict(zip(names, zip(*found, strict=True), strict=True))
    texts = {name: pl.Series(values, dtype=pl.String) for name, values in columns.items()}
    pl.DataFrame({"number": range(1, len(found) + 1), **texts}).write_parquet(file)
    text_columns = ", ".join(f"{quoted(name)} varchar" for name in names)
    runs.rows(f"create or replace table extremes (number number(38, 0), {text_columns})")
    runs.rows("create or replace temporary stage extreme_files")
    runs.rows(f"put 'file://{file}' @extreme_files auto_compress = false overwrite = true")
    runs.rows(
        "copy into extremes from @extreme_files file_format = (type = parquet)"
        " match_by_column_name = case_insensitive"
    )
    casts = ", ".join(f"{quoted(each.name)}::{sql_type(each)}" for each in source.columns)
    runs.rows(
        f"insert into {raw.table} ({', '.join(map(quoted, [*names, *METADATA]))})"
        f" select {casts}, '2025-01-01.csv', number, sysdate(), %s, md5(number::varchar)"
        " from extremes",
        LOAD_ID,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DbtRuns, Outcome]]:
    warehouse = start_warehouse(tmp_path_factory.mktemp("firn"))
    draw = random.Random(campaign.SEED)  # noqa: S311
    try:
        folder = tmp_path_factory.mktemp("dbt")
        with dbt_runs(warehouse, folder, "extremes", "extremes", DOMAINS) as runs:
            for domain in DOMAINS:
                for source in load_domain(domain).sources:
                    raw = Raw(runs.cursor.connection, source)
                    raw.prepare()
                    raw.prepare_table(source.columns)
                    insert(runs, raw, source, rows(source, draw))
            selected = [part for domain in DOMAINS for part in domain_selection(domain)]
            # Unit tests read no raw rows. Data tests take three times as long as the models.
            without = ["unit_test"] if campaign.LONG else ["unit_test", "test"]
            yield (
                runs,
                runs.dbt("build", "--select", *selected, "--exclude-resource-type", *without),
            )
    finally:
        warehouse.process.stop()


def test_no_raw_value_stops_a_model(built: tuple[DbtRuns, Outcome]) -> None:
    _, outcome = built
    stopped = {
        name: (result["message"], result["failures"])
        for name, result in outcome.results.items()
        if result["status"] in ("error", "fail")
    }
    assert stopped == {}


FOREX_ID = "nullif(trim(transaction_id, ' \\t\\r\\n\\u00a0'), '')"
FOUND_AGAIN = {
    # Raw table: a query for its row keys, and one for the same keys where the rows must arrive.
    **{
        f"{domain}.{table}": (
            f"select _row_number from RAW.{domain}.{table}",
            f"select {number} from {{staging}}.stg_{domain}__{table}",
        )
        for domain, tables, number in (
            ("affiliate", ("routy", "voluum", "manual", "scrapers"), "source_row"),
            ("retail", ("customers", "transactions", "products"), "row_number_in_file"),
        )
        for table in tables
    },
    "forex.customer_transactions": (
        f"select {FOREX_ID} from RAW.FOREX.customer_transactions",
        "select transaction_id from {intermediate}.int_forex__transactions"
        " union select transaction_id from {intermediate}.int_forex__rejected_transactions"
        " union select transaction_id from {staging}.stg_forex__missing_quantity",
    ),
    # A row is superseded by one of the same purchase, or of the same user and country.
    **{
        f"gaming.{table}": (
            f"select distinct {key} from RAW.GAMING.{table} where _row_number not in ("
            " select row_number_in_load from {staging}.stg_gaming__rejected"
            f" where raw_table = '{table}' and reason is not null)",
            f"select distinct {key} from {{staging}}.stg_gaming__{table}",
        )
        for table, key in (("purchases", "transaction_id"), ("spins_hourly", "user_id, country"))
    },
}


@pytest.mark.parametrize("table", FOUND_AGAIN)
def test_every_raw_row_is_staged_or_rejected(table: str, built: tuple[DbtRuns, Outcome]) -> None:
    runs, _ = built
    layers = {layer: f"analytics_dev.{runs.name}_{layer}" for layer in ("staging", "intermediate")}
    raw, arrived = (sql.format(**layers) for sql in FOUND_AGAIN[table])
    assert runs.apart(raw, arrived) == 0
    assert runs.value(f"select count(*) from ({arrived})") > 20
