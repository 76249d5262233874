"""Rows that may be loaded, apart from rows that may not and why: Pandera, a chunk at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandera.polars as pandera
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pandera.errors import SchemaErrors
from pandera.polars import PolarsData

from include.ingestion.errors import RefusedError, shown
from include.ingestion.reading import RAW_TEXT_LIMIT, Chunk
from include.ingestion.sources import Column, CsvFormat, Source
from include.ingestion.typed import INTEGER_DIGITS, YEARS, arrow_type, as_text, converted

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
    delivered = chunk.table if typed else _without_quoted_nulls(source, columns, chunk.table)
    values = _in_their_types(columns, delivered, typed=typed)
    checked, schema, reasons = _schema(columns)
    frame = pl.DataFrame(pl.from_arrow(values.select(checked))).with_columns(
        pl.Series(f"{name}{_UNFIT}", _unfit(delivered, values, name)) for name in checked
    )
    try:
        schema.validate(frame, lazy=True)
        failures = None
    except SchemaErrors as error:
        failures = _failures(error, reasons)
    good, numbers, rejected = values, chunk.rows, 0
    rejects = REJECT_COLUMNS.empty_table()
    if failures is not None:
        rows = failures["index"].unique().sort()
        rejected = len(rows)
        mask = np.ones(len(numbers), bool)
        mask[rows.to_numpy()] = False
        good, numbers = values.filter(pa.array(mask)), chunk.rows[mask]
        rejects = _rejects(source, columns, chunk, rows, failures)
    if chunk.malformed:
        rejects = pa.concat_tables([rejects, _malformed(chunk)])
    good = good.append_column(ROW_NUMBER, pa.array(numbers, pa.int64()))
    return Validated(good, rejects, chunk.delivered, rejected + len(chunk.malformed))


def _without_quoted_nulls(source: Source, columns: tuple[Column, ...], table: pa.Table) -> pa.Table:
    """Make quoted null values null, except in text columns: programs quote missing values too."""
    if not isinstance(source.format, CsvFormat):
        return table
    nulls = pa.array(source.format.null_values, pa.string())
    for place, name in enumerate(table.column_names):
        if any(column.name == name and column.type != "text" for column in columns):
            values = table.column(place)
            is_null = pc.is_in(values, value_set=nulls)
            if pc.any(is_null).as_py():
                kept = pc.if_else(is_null, pa.scalar(None, pa.string()), values)
                table = table.set_column(place, name, kept)
    return table


def _in_their_types(columns: tuple[Column, ...], table: pa.Table, *, typed: bool) -> pa.Table:
    """The rows in the types they are staged with; null where a value does not fit its column."""
    made = {}
    if not typed:
        texts = [column for column in columns if column.type != "text"]
        frame = pl.DataFrame(pl.from_arrow(table.select([column.name for column in texts])))
        parts = frame.select(
            parsed(pl.col(column.name), column).alias(column.name) for column in texts
        ).to_arrow()
        made = {column.name: parts.column(column.name) for column in texts}
    for column in columns:
        if column.name in made:
            made[column.name] = made[column.name].cast(arrow_type(column))
        else:
            made[column.name] = converted(table.column(column.name), column)
    return pa.table({column.name: made[column.name] for column in columns})


def _unfit(delivered: pa.Table, values: pa.Table, name: str) -> pa.Array:
    """Which values of a column were delivered but do not fit the declared type."""
    there = delivered.column(name).is_valid()
    return pc.and_(there, values.column(name).is_null())


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
            # After the plus, the cast would accept another sign.
            signed = pl.when(text.str.contains(r"^[+-]?\d+$")).then(text)
            number = signed.str.strip_prefix("+").cast(pl.Int64, strict=False)
            bound = 10**INTEGER_DIGITS
            return pl.when((number > -bound) & (number < bound)).then(number)
        case "float":
            number = text.cast(pl.Float64, strict=False)
            return pl.when(number.is_finite()).then(number)
        case "boolean":
            lower = text.str.to_lowercase()
            yes, no = ["true", "t", "yes", "y", "1"], ["false", "f", "no", "n", "0"]
            return pl.when(lower.is_in(yes)).then(True).when(lower.is_in(no)).then(False)
        case "date":
            found = pl.coalesce(_day(text, form) for form in column.formats or ("%Y-%m-%d",))
        case _:
            if not column.formats:
                text = text.str.replace(r"(\d)T(\d)", "$1 $2")
            forms = column.formats or _ISO
            found = text.map_batches(lambda some: _moments(some, forms), pl.Datetime("us"))
    # The parser accepts years of any length, so 1/2/24 would be a day in the first century.
    return pl.when(found.dt.year().is_between(*YEARS)).then(found)


def _day(text: pl.Expr, form: str) -> pl.Expr:
    return _unless_ambiguous(text.str.to_date(form, strict=False), text, form)


def _unless_ambiguous(found: pl.Expr, text: pl.Expr, form: str) -> pl.Expr:
    """Require every digit where a format has no separators: 2024111 could be two different days."""
    if _RUN_OF_DIGITS.search(form) and not _OTHER_CODES.search(form):
        return pl.when(found.dt.strftime(form) == text).then(found)
    return found


def _moments(texts: pl.Series, forms: Sequence[str]) -> pl.Series:
    """Read each text with the first format that fits; usually the first format reads them all."""
    frame = pl.DataFrame({"text": texts}).with_columns(found=_moment(pl.col("text"), forms[0]))
    for form in forms[1:]:
        if frame["found"].null_count() == texts.null_count():
            break
        left = pl.when(pl.col("found").is_null()).then("text")
        frame = frame.with_columns(pl.coalesce("found", _moment(left, form)).alias("found"))
    return frame["found"]


def _moment(text: pl.Expr, form: str) -> pl.Expr:
    """Text as a moment: converted to UTC if the format has a zone, unchanged if it has none."""
    found = text.str.to_datetime(form, time_unit="us", strict=False)
    if not _ZONE.search(form.replace("%%", "")):
        return _unless_ambiguous(found, text, form)
    return found.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


_ZONE = re.compile("%[:#]*z")
_RUN_OF_DIGITS = re.compile("%[YymdHMS]%[YymdHMS]")
_OTHER_CODES = re.compile("%[^YymdHMS]")
_ISO = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M%#z",
]
"""With a blank instead of the T. `%#z` reads Z, or an offset with or without minutes and colon."""
_TYPE_REASONS = {
    "integer": "is not a whole number of up to 18 digits",
    "float": "is not a number",
    "boolean": "is not true or false",
    "date": "is not a date",
    "timestamp": "is not a date with a time",
}
_UNFIT = " unfit"
"""Suffix of the column that says whether a value did not fit; a column's name has no blank."""


@lru_cache(maxsize=64)
def _schema(
    columns: tuple[Column, ...],
) -> tuple[list[str], pandera.DataFrameSchema, dict[str, list[str]]]:
    """The columns that have checks, their Pandera schema, and the reason of each check."""
    schema, reasons = {}, {}
    for column in columns:
        checks = _checks(column)
        if not checks:
            continue
        reasons[column.name] = [reason for reason, _ in checks]
        schema[column.name] = pandera.Column(
            nullable=True, checks=[_as_check(holds) for _, holds in checks]
        )
    return list(schema), pandera.DataFrameSchema(schema), reasons


def _as_check(holds: pl.Expr) -> pandera.Check:
    def check(data: PolarsData) -> pl.LazyFrame:
        # A check that yields null, as for a missing value, did not fail.
        return data.lazyframe.select(holds.fill_null(True))

    return pandera.Check(check)


_MISSING = "is missing"


def _checks(column: Column) -> list[tuple[str, pl.Expr]]:
    """The checks of one column: each with its reason, read after the value."""
    found: list[tuple[str, pl.Expr]] = []
    value, unfit = pl.col(column.name), pl.col(f"{column.name}{_UNFIT}")
    if column.type != "text":
        if digits := column.precision_and_scale:
            whole, scale = digits[0] - digits[1], digits[1]
            wrong = f"is not a number of up to {whole} digits and {scale} decimals"
        else:
            wrong = _TYPE_REASONS[column.type]
        found.append((wrong, ~unfit))
    if not column.nullable:
        found.append((_MISSING, value.is_not_null() | unfit))
    checks = column.checks
    if checks.min is not None:
        found.append((f"is below {checks.min}", value >= checks.min))
    if checks.max is not None:
        found.append((f"is above {checks.max}", value <= checks.max))
    if checks.allowed is not None:
        found.append((f"is none of {', '.join(checks.allowed)}", value.is_in(checks.allowed)))
    if checks.pattern is not None:
        pattern = f"^(?:{checks.pattern})$"
        found.append((f"does not match {checks.pattern}", value.str.contains(pattern)))
    if checks.min_length is not None:
        shortest = checks.min_length
        found.append((f"has fewer than {shortest} characters", value.str.len_chars() >= shortest))
    if checks.max_length is not None:
        longest = checks.max_length
        found.append((f"has more than {longest} characters", value.str.len_chars() <= longest))
    return found


def _failures(error: SchemaErrors, reasons: dict[str, list[str]]) -> pl.DataFrame:
    """Pandera's findings: row index, column name, and what is wrong with the value."""
    cases: pl.DataFrame = error.failure_cases
    rowless = cases.filter(pl.col("index").is_null())
    if len(rowless):
        case = rowless.row(0, named=True)
        raise RefusedError(
            f"a check of the column cannot be made ({shown(str(case['failure_case']))}): correct "
            "the declaration.",
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
    return (
        cases.with_columns(pl.col("check_number").cast(pl.Int32))
        .join(known, on=["column", "check_number"], how="left")
        .select(pl.col("index").cast(pl.Int64), pl.col("column").alias("column_name"), "said")
        # A value that fails several checks is reported once, with the first reason.
        .unique(["index", "column_name"], keep="first", maintain_order=True)
        .sort("index", maintain_order=True)
    )


def _rejects(
    source: Source,
    columns: tuple[Column, ...],
    chunk: Chunk,
    rows: pl.Series,
    failures: pl.DataFrame,
) -> pa.Table:
    """The failures with row number, reason and raw text, as in `REJECT_COLUMNS`."""
    bad = chunk.table.take(rows.to_arrow())
    texts = pl.DataFrame({c.name: pl.Series(c.name, as_text(bad.column(c.name))) for c in columns})
    told = texts.select(pl.all().str.slice(0, VALUE_LIMIT)).with_columns(index=rows)
    values = told.unpivot(index="index", variable_name="column_name", value_name="value")
    raw = pl.DataFrame({"index": rows, "raw_text": _raw_text(source, columns, texts)})
    reason = pl.concat_str(pl.lit("'"), "value", pl.lit("' "), "said")
    return (
        failures.join(values, on=["index", "column_name"], how="left", maintain_order="left")
        .join(raw, on="index", how="left", maintain_order="left")
        .with_columns(
            row_number=pl.Series(chunk.rows[failures["index"].to_numpy()]),
            reason=pl.when(pl.col("said") == _MISSING).then("said").otherwise(reason),
        )
        .select("row_number", "column_name", "reason", "raw_text")
        .to_arrow()
        .cast(REJECT_COLUMNS)
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
        text = pl.col(name)
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
