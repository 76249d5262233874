"""Rows that may be loaded, apart from rows that may not and why: Pandera, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandera.polars as pandera
import polars as pl
import pyarrow as pa
from pandera.errors import SchemaErrors
from pandera.polars import PolarsData

from include.ingestion.errors import RefusedError, shown
from include.ingestion.reading import RAW_TEXT_LIMIT, Chunk
from include.ingestion.sources import Column, CsvFormat, Source

VALUE_LIMIT = 100
ROW_NUMBER = "_row_number"

REJECT_COLUMNS = pa.schema(
    [
        ("row_number", pa.int64()),
        ("column_name", pa.string()),
        ("reason", pa.string()),
        ("raw_text", pa.string()),
    ]
)


@dataclass(frozen=True)
class Validated:
    """A chunk after validation.

    Attributes:
        good: the rows to load, typed, with their numbers in `_row_number`.
        rejects: one row for each failed check of a row, as in `REJECT_COLUMNS`.
        delivered: rows that went in.
        rejected: rows among them that failed a check.
    """

    good: pa.Table
    rejects: pa.Table
    delivered: int
    rejected: int


def validate(
    source: Source, columns: tuple[Column, ...], chunk: Chunk, *, typed: bool
) -> Validated:
    """Check every row of a chunk against the declared columns, all checks of all rows.

    Args:
        source: what is declared.
        columns: the columns of the file, in its order.
        chunk: the rows.
        typed: whether the values have types, as in Parquet, or are text.
    """
    checked, schema, reasons = _schema(columns, typed)
    frame = pl.DataFrame(pl.from_arrow(chunk.table.select(checked)))
    try:
        schema.validate(frame, lazy=True)
        failures = None
    except SchemaErrors as error:
        failures = _failures(error, reasons)
    good, numbers, rejected = chunk.table, chunk.rows, 0
    rejects = REJECT_COLUMNS.empty_table()
    if failures is not None:
        rows = failures["index"].unique().sort()
        rejected = len(rows)
        mask = np.ones(len(numbers), bool)
        mask[rows.to_numpy()] = False
        bad = pl.DataFrame(pl.from_arrow(chunk.table.filter(pa.array(~mask))))
        good, numbers = chunk.table.filter(pa.array(mask)), chunk.rows[mask]
        texts = pl.DataFrame({"index": rows, "raw_text": _raw_text(source, columns, bad)})
        rejects = (
            failures.join(texts, on="index", how="left")
            .with_columns(row_number=pl.Series(chunk.rows[failures["index"].to_numpy()]))
            .select("row_number", "column_name", "reason", "raw_text")
            .to_arrow()
            .cast(REJECT_COLUMNS)
        )
    if chunk.malformed:
        rejects = pa.concat_tables([rejects, _malformed(chunk)])
    table = _loadable(good, columns, typed)
    table = table.append_column(ROW_NUMBER, pa.array(numbers, pa.int64()))
    return Validated(table, rejects, chunk.delivered, rejected + len(chunk.malformed))


def arrow_type(column: Column) -> pa.DataType:
    """What a column is in the staged Parquet files."""
    if digits := column.precision_and_scale:
        return pa.decimal128(*digits)
    return {
        "text": pa.string(),
        "integer": pa.int64(),
        "float": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
    }[column.type]


def parsed(value: pl.Expr, column: Column) -> pl.Expr:
    """Text as the column's type; null where it is none."""
    if column.type == "text":
        return value
    text = value.str.strip_chars()
    if digits := column.precision_and_scale:
        whole, scale = digits[0] - digits[1], digits[1]
        fraction = rf"(\.0*|\.\d{{1,{scale}}}0*)?" if scale else r"(\.0*)?"
        pattern = rf"^[+-]?(0*\d{{0,{whole}}}){fraction}$"
        fits = text.str.contains(pattern) & text.str.contains(r"\d")
        return (
            pl.when(fits).then(text).str.strip_prefix("+").cast(pl.Decimal(*digits), strict=False)
        )
    match column.type:
        case "integer":
            return text.str.strip_prefix("+").cast(pl.Int64, strict=False)
        case "float":
            number = text.cast(pl.Float64, strict=False)
            return pl.when(number.is_finite()).then(number)
        case "boolean":
            lower = text.str.to_lowercase()
            yes, no = ["true", "t", "yes", "y", "1"], ["false", "f", "no", "n", "0"]
            return pl.when(lower.is_in(yes)).then(True).when(lower.is_in(no)).then(False)
        case "date":
            return pl.coalesce(
                text.str.to_date(form, strict=False) for form in column.formats or ("%Y-%m-%d",)
            )
        case _:
            return pl.coalesce(
                text.str.to_datetime(form, time_unit="us", strict=False)
                for form in column.formats or _ISO
            )


_ISO = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%d"]
_TYPE_REASONS = {
    "integer": "is not a whole number of up to 18 digits",
    "float": "is not a number",
    "boolean": "is not true or false",
    "date": "is not a date",
    "timestamp": "is not a date with a time",
}
_Holds = Callable[[pl.Expr], pl.Expr]
"""From a column's values, as delivered, to whether each is good."""


@lru_cache(maxsize=64)
def _schema(
    columns: tuple[Column, ...], typed: bool
) -> tuple[list[str], pandera.DataFrameSchema, dict[str, list[str]]]:
    """The columns that have checks, their Pandera schema, and the reason of each check."""
    schema, reasons = {}, {}
    for column in columns:
        checks = _checks(column, typed)
        if column.nullable and not checks:
            continue
        reasons[column.name] = [reason for reason, _ in checks]
        schema[column.name] = pandera.Column(
            nullable=column.nullable, checks=[_as_check(holds) for _, holds in checks]
        )
    return list(schema), pandera.DataFrameSchema(schema), reasons


def _as_check(holds: _Holds) -> pandera.Check:
    def check(data: PolarsData) -> pl.LazyFrame:
        value = pl.col(data.key)
        # What is null is the business of `nullable`, and a check that yields null did not fail.
        return data.lazyframe.select((value.is_null() | holds(value)).fill_null(True))

    return pandera.Check(check)


def _checks(column: Column, typed: bool) -> list[tuple[str, _Holds]]:
    """The checks of one column: each with its reason, read after the value."""
    found: list[tuple[str, _Holds]] = []
    if digits := column.precision_and_scale:
        wrong = f"is not a number of up to {digits[0] - digits[1]} digits and {digits[1]} decimals"
    else:
        wrong = _TYPE_REASONS.get(column.type, "")
    if column.type != "text":
        found.append((wrong, lambda value: _typed(value, column, typed).is_not_null()))
    checks = column.checks
    if checks.min is not None:
        low = checks.min
        found.append((f"is below {low}", lambda value: _typed(value, column, typed) >= low))
    if checks.max is not None:
        high = checks.max
        found.append((f"is above {high}", lambda value: _typed(value, column, typed) <= high))
    if checks.allowed is not None:
        allowed = checks.allowed
        found.append((f"is none of {', '.join(allowed)}", lambda value: value.is_in(allowed)))
    if checks.pattern is not None:
        pattern = f"^(?:{checks.pattern})$"
        found.append(
            (f"does not match {checks.pattern}", lambda value: value.str.contains(pattern))
        )
    if checks.min_length is not None:
        shortest = checks.min_length
        found.append(
            (
                f"has fewer than {shortest} characters",
                lambda value: value.str.len_chars() >= shortest,
            )
        )
    if checks.max_length is not None:
        longest = checks.max_length
        found.append(
            (f"has more than {longest} characters", lambda value: value.str.len_chars() <= longest)
        )
    return found


def _typed(value: pl.Expr, column: Column, typed: bool) -> pl.Expr:
    """The values in the declared type; null where they do not fit it."""
    if not typed:
        return parsed(value, column)
    if digits := column.precision_and_scale:
        bound = 10 ** (digits[0] - digits[1])
        # Of a float the nearest decimal is meant: 0.1 is no exact float.
        number = value.cast(pl.Float64)
        return pl.when(number.is_finite() & (number.abs() < bound)).then(value)
    if column.type == "float":
        number = value.cast(pl.Float64)
        return pl.when(number.is_finite()).then(number)
    if column.type == "integer":
        return value.cast(pl.Int64, strict=False)
    return value


def _loadable(rows: pa.Table, columns: tuple[Column, ...], typed: bool) -> pa.Table:
    """The rows as they are staged. Text stays where it is, everything else gets its type."""
    converted = [column for column in columns if column.type != "text"]
    frame = pl.DataFrame(pl.from_arrow(rows.select([column.name for column in converted])))
    values = []
    for column in converted:
        value = _typed(pl.col(column.name), column, typed)
        if digits := column.precision_and_scale:
            value = value.cast(pl.Decimal(*digits))
        kind = frame.schema[column.name]
        if isinstance(kind, pl.Datetime) and kind.time_zone:
            value = value.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        values.append(value.alias(column.name))
    made = frame.select(values).to_arrow()
    return pa.table(
        [
            (rows if column.type == "text" else made).column(column.name).cast(arrow_type(column))
            for column in columns
        ],
        names=[column.name for column in columns],
    )


def _failures(error: SchemaErrors, reasons: dict[str, list[str]]) -> pl.DataFrame:
    """Pandera's findings as row index, column name and reason."""
    cases: pl.DataFrame = error.failure_cases
    rowless = cases.filter(pl.col("index").is_null())
    if len(rowless):
        case = rowless.row(0, named=True)
        raise RefusedError(
            f"the column fails {shown(str(case['check']))}: correct the file or the declaration.",
            column=case["column"],
        )
    known = pl.DataFrame(
        [
            {"column": name, "check_number": number, "said": reason}
            for name, sentences in reasons.items()
            for number, reason in enumerate(sentences)
        ],
        schema={"column": pl.String, "check_number": pl.Int32, "said": pl.String},
    )
    value = pl.col("failure_case").cast(pl.String).str.slice(0, VALUE_LIMIT)
    return (
        cases.with_columns(pl.col("check_number").cast(pl.Int32))
        .join(known, on=["column", "check_number"], how="left")
        .select(
            pl.col("index").cast(pl.Int64),
            pl.col("column").alias("column_name"),
            pl.when(pl.col("check_number").is_null())
            .then(pl.lit("is missing"))
            .otherwise(pl.concat_str(pl.lit("'"), value, pl.lit("' "), pl.col("said")))
            .alias("reason"),
        )
        # A value that is not of its type fails the checks on it as well; one reason is enough.
        .unique(["index", "column_name"], keep="first", maintain_order=True)
        .sort("index", maintain_order=True)
    )


def _raw_text(source: Source, columns: tuple[Column, ...], rows: pl.DataFrame) -> pl.Series:
    """The rows as they can be delivered again: CSV in the declared order, new columns last."""
    layout = source.format if isinstance(source.format, CsvFormat) else CsvFormat()
    quote = layout.quote or '"'
    special = "|".join(f"\\x{ord(mark):02x}" for mark in (layout.delimiter, quote, "\n", "\r"))
    parts = []
    declared = [column.name for column in source.columns]
    for name in declared + [column.name for column in columns if column.name not in declared]:
        if name not in rows.columns:
            parts.append(pl.lit(""))
            continue
        text = pl.col(name).cast(pl.String)
        quoted = pl.concat_str(
            pl.lit(quote), text.str.replace_all(quote, quote * 2, literal=True), pl.lit(quote)
        )
        parts.append(pl.when(text.str.contains(special)).then(quoted).otherwise(text).fill_null(""))
    joined = pl.concat_str(parts, separator=layout.delimiter).str.slice(0, RAW_TEXT_LIMIT)
    return rows.select(joined.alias("raw_text")).to_series()


def _malformed(chunk: Chunk) -> pa.Table:
    return pa.table(
        {
            "row_number": [bad.row for bad in chunk.malformed],
            "column_name": [None] * len(chunk.malformed),
            "reason": [bad.reason for bad in chunk.malformed],
            "raw_text": [bad.text for bad in chunk.malformed],
        },
        schema=REJECT_COLUMNS,
    )
