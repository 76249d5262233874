"""Convert values that have their own type, as in Parquet, to the declared types.

Nothing is rounded, cut off or wrapped around: a value that does not fit its column becomes null
here, and its row is rejected later. No value makes the conversion fail.
"""

from __future__ import annotations

from datetime import date
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from include.ingestion.sources import Column

YEARS = (1000, 9999)
"""Years have four digits: anything else was a shorter year, or was read with a wrong format."""

INTEGER_DIGITS = 18

_EXACTLY = Context(prec=200)
_FIRST_DAY = date(YEARS[0], 1, 1).toordinal() - date(1970, 1, 1).toordinal()
_LAST_DAY = date(YEARS[1], 12, 31).toordinal() - date(1970, 1, 1).toordinal()
_EXACT_DIGITS = {2: 3, 4: 6, 8: 15}
"""How many decimal digits a float of this many bytes can tell apart."""
_A_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def arrow_type(column: Column) -> pa.DataType:
    """The type of a column in the staged Parquet files."""
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


def type_of(kind: pa.DataType | None) -> str:
    """The declared type of a new column; text wherever nothing better is certain."""
    if kind is None:
        return "text"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_decimal(kind) and 0 <= kind.scale <= kind.precision <= 38:
        return f"number({kind.precision}, {kind.scale})"
    for name, matches in (
        ("float", pa.types.is_floating),
        ("boolean", pa.types.is_boolean),
        ("date", pa.types.is_date),
        ("timestamp", pa.types.is_timestamp),
    ):
        if matches(kind):
            return name
    return "text"


def holds(column: Column, kind: pa.DataType) -> bool:
    """Whether a delivered type can hold values of the declared type."""
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_null(kind):
        return True
    match column.type:
        case "text":
            return bool(types.is_string(kind) or types.is_large_string(kind))
        case "boolean":
            return bool(types.is_boolean(kind))
        case "date":
            return bool(types.is_date(kind))
        case "timestamp":
            return bool(types.is_timestamp(kind))
        case _:
            return bool(types.is_integer(kind) or types.is_decimal(kind) or types.is_floating(kind))


def converted(values: pa.ChunkedArray, column: Column) -> pa.Array:
    """The values in the column's type; null where they do not fit it.

    A float with a fraction stands for the shortest decimal that reads back as the same float, which
    is what a CSV file would contain. A whole float stands for its exact value.
    """
    array = _in_one_piece(values)
    target, kind = arrow_type(column), array.type
    if pa.types.is_null(kind):
        return pa.nulls(len(array), target)
    if column.type in ("text", "boolean"):
        return array.cast(target)
    if column.type == "date":
        return _days(array)
    if column.type == "timestamp":
        return _moments(array)
    if column.type == "float":
        return _floats(array)
    if column.type == "integer":
        return _integers(array)
    return _decimals(array, target)


def as_text(values: pa.ChunkedArray) -> pa.Array:
    """The values as people read them, in a rejected row and its reason."""
    array = _in_one_piece(values)
    kind = array.type
    if pa.types.is_timestamp(kind):
        # In UTC, because the zone may be unknown.
        array = array.cast(pa.timestamp(kind.unit))
    try:
        return array.cast(pa.string())
    except pa.ArrowException:
        return pa.array([_told(value) for value in array], pa.string())


def _told(value: pa.Scalar) -> str | None:
    try:
        return str(value.as_py()) if value.is_valid else None
    except (ValueError, OverflowError, pa.ArrowException):
        return repr(value)


def _in_one_piece(values: pa.ChunkedArray) -> pa.Array:
    array = values.combine_chunks()
    # Without any chunk, Arrow returns a chunked array again.
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def _numbers(array: pa.Array) -> np.ndarray:
    """The numbers behind the values, with zeros in place of nulls."""
    found: np.ndarray = array.fill_null(0).to_numpy(zero_copy_only=False)
    return found


def _those(numbers: np.ndarray, fits: np.ndarray, array: pa.Array) -> pa.Array:
    """The numbers that fit; null where they do not fit or the value is missing."""
    return pa.array(numbers, mask=~fits | array.is_null().to_numpy(zero_copy_only=False))


def _days(array: pa.Array) -> pa.Array:
    if pa.types.is_date64(array.type):
        days = _numbers(array.cast(pa.int64())) // _A_DAY["ms"]
    else:
        days = _numbers(array.cast(pa.int32()))
    fits = (days >= _FIRST_DAY) & (days <= _LAST_DAY)
    return _those(np.where(fits, days, 0).astype(np.int32), fits, array).cast(pa.date32())


def _moments(array: pa.Array) -> pa.Array:
    """The moments in UTC, in which such values are stored whatever zone they are shown in."""
    counts, day = _numbers(array.cast(pa.int64())), _A_DAY[array.type.unit]
    # Nanoseconds only cover the years from 1677 to 2262.
    first, last = max(_FIRST_DAY * day, -(2**63)), min((_LAST_DAY + 1) * day, 2**63) - 1
    fits = (counts >= first) & (counts <= last)
    counts = np.where(fits, counts, 0)
    # Nanoseconds are cut off, as they are when CSV is read.
    micros = counts // 1000 if array.type.unit == "ns" else counts * (_A_DAY["us"] // day)
    return _those(micros, fits, array).cast(pa.timestamp("us"))


def _floats(array: pa.Array) -> pa.Array:
    if pa.types.is_decimal(array.type):
        # Python finds the nearest float, which Arrow's cast may miss.
        array = pa.array([v if v is None else float(v) for v in array.to_pylist()], pa.float64())
    numbers = _numbers(array.cast(pa.float64(), safe=False))
    return _those(numbers, np.isfinite(numbers), array)


def _integers(array: pa.Array) -> pa.Array:
    if not pa.types.is_integer(array.type):
        return _decimals(array, pa.decimal128(INTEGER_DIGITS, 0)).cast(pa.int64())
    numbers, bound = _numbers(array), 10**INTEGER_DIGITS
    if numbers.dtype.itemsize < 8:
        return array.cast(pa.int64())
    fits = numbers < bound
    if numbers.dtype != np.uint64:
        fits &= numbers > -bound
    return _those(np.where(fits, numbers, 0).astype(np.int64), fits, array)


def _decimals(array: pa.Array, target: pa.Decimal128Type) -> pa.Array:
    if pa.types.is_floating(array.type):
        return _decimals_of_floats(array, target)
    try:
        if pa.types.is_integer(array.type):
            array = array.cast(pa.decimal256(20 + target.scale, target.scale))
        return array.cast(target)
    except pa.ArrowException:
        # At least one value does not fit, and Arrow does not say which.
        digits = [_digits(value, target) for value in array.to_pylist()]
        return _of_digits(np.zeros(len(digits), np.int64), dict(enumerate(digits)), target)


def _decimals_of_floats(array: pa.Array, target: pa.Decimal128Type) -> pa.Array:
    floats = _numbers(array)
    exact = _EXACT_DIGITS[floats.dtype.itemsize]
    bound = 10.0 ** min(exact, target.precision)
    # Decimals with so few digits are all different floats, so the decimal found here is the
    # shortest one. Powers of ten up to 10^22 are exact as floats.
    tens = 10.0 ** min(target.scale, 22)
    with np.errstate(all="ignore"):
        scaled = np.rint(floats.astype(np.float64) * tens)
        found = (np.abs(scaled) < bound) & ((scaled / tens).astype(floats.dtype) == floats)
    found &= target.scale <= 22
    rest = np.flatnonzero(~found)
    digits = {int(place): _digits(_decimal_of(floats[place]), target) for place in rest}
    digits |= {int(place): None for place in np.flatnonzero(array.is_null())}
    return _of_digits(np.where(found, scaled, 0).astype(np.int64), digits, target)


def _decimal_of(number: np.floating[Any]) -> Decimal | None:
    if not np.isfinite(number):
        return None
    whole = float(number)
    return Decimal(int(whole)) if whole.is_integer() else Decimal(str(number))


def _digits(value: Decimal | int | None, target: pa.Decimal128Type) -> int | None:
    """The digits of a decimal without its point; None if they do not fit the target."""
    if value is None:
        return None
    scaled = Decimal(value).scaleb(target.scale, _EXACTLY)
    digits = int(scaled)
    return digits if digits == scaled and abs(digits) < 10**target.precision else None


def _of_digits(
    small: np.ndarray, others: dict[int, int | None], target: pa.Decimal128Type
) -> pa.Array:
    """Decimals made from their digits: `small` holds 64-bit ones, `others` overrides by place."""
    words = np.stack([small.astype(np.uint64), (small >> 63).astype(np.uint64)], axis=1)
    valid = np.ones(len(small), bool)
    for place, digits in others.items():
        valid[place] = digits is not None
        words[place] = divmod((digits or 0) % 2**128, 2**64)[::-1]
    _, bits = pa.array(valid).buffers()
    return pa.Array.from_buffers(target, len(small), [bits, pa.py_buffer(words.tobytes())])
