"""Every value is loaded exactly in its declared type or rejected; nothing in between."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from include.ingestion.errors import RefusedError
from include.ingestion.reading import Chunk
from include.ingestion.sources import Checks, Column, Source
from include.ingestion.typed import holds
from include.ingestion.validation import Validated, validate
from tests import campaign

REJECTED = object()


def validated(values: pa.Array, *, typed: bool, **declared: Any) -> Validated:
    """A column of values, validated against its declaration."""
    column = Column(name="v", **declared)
    source = Source(name="t", load="append", columns=[column])
    chunk = Chunk(pa.table({"v": values}), np.arange(1, len(values) + 1))
    return validate(source, (column,), chunk, typed=typed)


def outcomes(values: pa.Array, *, typed: bool, **declared: Any) -> list[Any]:
    """The outcome of each value, in order."""
    part = validated(values, typed=typed, **declared)
    part.good.validate(full=True)
    rejects = part.rejects.to_pylist()
    assert all(one["reason"].startswith("'") and one["column_name"] == "v" for one in rejects)
    found: list[Any] = [None] * len(values)
    rows = part.good.column("_row_number").to_pylist()
    for row, value in zip(rows, part.good.column("v").to_pylist(), strict=True):
        found[row - 1] = value
    for reject in rejects:
        found[reject["row_number"] - 1] = REJECTED
    assert len(rows) + len(rejects) == len(values)
    return found


# -- expected values, by exact arithmetic ----------------------------------------------------------


def right_number(value: Any, digits: tuple[int, int]) -> Any:
    """A number with at most these digits and decimals, or `REJECTED`."""
    if isinstance(value, np.floating):
        if not np.isfinite(value):
            return REJECTED
        # A float with a fraction stands for its shortest decimal.
        whole = float(value).is_integer()
        value = Decimal(int(value)) if whole else Decimal(np.format_float_scientific(value))
    scaled = Fraction(value) * 10 ** digits[1]
    if scaled.denominator != 1 or abs(scaled) >= 10 ** digits[0]:
        return REJECTED
    return Fraction(value)


def right_float(value: Any) -> Any:
    """The nearest float."""
    nearest = float(value)
    return nearest if math.isfinite(nearest) else REJECTED


UNITS = {"s": 10**6, "ms": 10**3, "us": 1}


def right_moment(count: int, unit: str) -> Any:
    """The moment that is this many units after the start of 1970."""
    micros = count // 1000 if unit == "ns" else count * UNITS[unit]
    try:
        found = datetime(1970, 1, 1) + timedelta(microseconds=micros)  # noqa: DTZ001
    except OverflowError:
        return REJECTED
    return found if found.year >= 1000 else REJECTED


def right_day(days: int) -> Any:
    """The day that is this many days after 1970-01-01."""
    try:
        found = date(1970, 1, 1) + timedelta(days=days)
    except OverflowError:
        return REJECTED
    return found if found.year >= 1000 else REJECTED


def same(found: Any, expected: Any) -> bool:
    """Whether both are exactly the same; for floats and decimals, also in the sign of zero."""
    if found is REJECTED or expected is REJECTED or found is None or expected is None:
        return found is expected
    if isinstance(found, float):
        return bool(found == expected) and math.copysign(1, found) == math.copysign(1, expected)
    if isinstance(found, Decimal):
        return bool(found == expected and math.copysign(1, found) == math.copysign(1, expected))
    return bool(found == expected)


# -- values with types -----------------------------------------------------------------------------

SIGNED = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
DECIMALS = [
    pa.decimal32(9, 4),
    pa.decimal64(18, 6),
    pa.decimal128(38, 0),
    pa.decimal128(38, 38),
    pa.decimal128(20, 3),
    pa.decimal256(76, 20),
    pa.decimal256(60, 0),
]
NUMBERS = ["number(1, 0)", "number(12, 2)", "number(38, 0)", "number(38, 10)", "number(38, 38)"]


def integers(chance: random.Random, bits: int, *, signed: bool, many: int) -> list[int]:
    """Extreme ones, and some of every length."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    near = [10**18, 2**53, 86_400 * 10**6, 2_932_896, -354_285, 253_402_300_799, -30_610_224_000]
    edges = [low, low + 1, -1, 0, 1, high - 1, high]
    edges += [sign * one + step for one in near for sign in (1, -1) for step in (-1, 0, 1)]
    edges += [one * 10**power for one in near for power in (3, 6, 9)]
    anywhere = [chance.randrange(-(2**length), 2**length) for length in range(1, bits)] * 2
    anywhere += [chance.randrange(low, high + 1) for _ in range(many)]
    return [number for number in edges + anywhere if low <= number <= high]


def floats(chance: random.Random, many: int) -> list[float]:
    """Extreme ones, prices, sums, and bits at random."""
    edges = [0.0, -0.0, 0.1, 0.1 + 0.2, 1.105, 1.115, 2.675, 0.5, 1.5, 1e15, 1e16, 1e17, 1e18, 1e22]
    edges += [1e23, 2.0**53 + 2, 123456789012.34, 9999999999.99, 9999999999.995, 5e-324, 1e-10]
    edges += [1.7976931348623157e308, math.inf, -math.inf, math.nan, 4503599627370497.5]
    prices = [
        chance.randrange(10 ** chance.randrange(1, 18)) / 10 ** chance.randrange(6)
        for _ in range(many)
    ]
    bits = np.array([chance.getrandbits(64) for _ in range(many)], np.uint64).view(np.float64)
    return [sign * one for one in edges + prices for sign in (1, -1)] + [float(bit) for bit in bits]


def decimals(chance: random.Random, kind: pa.DataType, many: int) -> list[Decimal]:
    """Extreme ones, and some of every length."""
    most = 10**kind.precision - 1
    numbers = [0, 1, most, most - 1, 10 ** (kind.precision - 1), 5, 10, 100, 10**kind.scale]
    numbers += [chance.randrange(10 ** chance.randrange(1, kind.precision)) for _ in range(many)]
    numbers += [10**length for length in range(kind.precision)]
    return [
        Decimal((sign, tuple(map(int, str(number))), -kind.scale))
        for number in numbers
        if number <= most
        for sign in (0, 1)
    ]


def typed_cases(chance: random.Random, many: int) -> list[tuple[pa.Array, list[Any]]]:
    """Delivered columns, each with its values for exact arithmetic."""
    cases: list[tuple[pa.Array, list[Any]]] = []
    for name, bits in SIGNED.items():
        for kind, signed in ((name, True), (f"u{name}", False)):
            numbers = integers(chance, bits, signed=signed, many=many)
            cases.append((pa.array(numbers, kind), numbers))
    for dtype in (np.float64, np.float32, np.float16):
        with np.errstate(all="ignore"):
            array = np.array(floats(chance, many), np.float64).astype(dtype)
        cases.append((pa.array(array), list(array)))
    for kind in DECIMALS:
        values = decimals(chance, kind, many)
        array = pa.array(values, kind)  # which has no negative zero
        cases.append((array, array.to_pylist()))
    wide = integers(chance, 64, signed=True, many=many)
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "Europe/Zurich", "Mars/Phobos"):
            array = pa.array(wide, pa.int64()).view(pa.timestamp(unit, zone))
            cases.append((array, [right_moment(one, unit) for one in wide]))
    short = integers(chance, 32, signed=True, many=many)
    cases.append((pa.array(short, pa.int32()).view(pa.date32()), list(map(right_day, short))))
    in_millis = [right_day(one // 86_400_000) for one in wide]
    cases.append((pa.array(wide, pa.int64()).view(pa.date64()), in_millis))
    cases.append((pa.array([True, False]), [True, False]))
    return cases


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(campaign.size(1, 40)))
def test_a_typed_value_is_loaded_exactly_or_rejected(seed: int) -> None:
    chance = random.Random(campaign.SEED + seed)  # noqa: S311 - values for tests
    wrong = []
    tried = 0
    for array, values in typed_cases(chance, campaign.size(40, 2_000)):
        # Every column also has a missing value.
        delivered = pa.concat_arrays([array, pa.nulls(1, array.type)])
        for kind in ("integer", "float", "boolean", "date", "timestamp", *NUMBERS):
            column = Column(name="v", type=kind)
            if not holds(column, array.type):
                continue
            expected: list[Any]
            if digits := column.precision_and_scale:
                expected = [right_number(value, digits) for value in values]
            elif kind == "integer":
                expected = [right_number(value, (18, 0)) for value in values]
            elif kind == "float":
                expected = [right_float(value) for value in values]
            else:
                expected = values
            found = outcomes(delivered, typed=True, type=kind)
            tried += len(found)
            wrong += [
                (str(array.type), kind, value, one, other)
                for value, one, other in zip([*values, None], found, [*expected, None], strict=True)
                if not same(one, other)
            ]
    assert wrong[:10] == []
    assert tried > 10_000


# -- values that are text --------------------------------------------------------------------------

PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")


def number_texts(chance: random.Random, many: int) -> list[str]:
    """Numbers as people and programs write them, good and bad."""
    texts = ["0", "-0", "+7", ".5", "5.", "-.5", ".", "+", "1e3", "NaN", "inf", "1,5", "1 000", "x"]
    texts += ["9" * length for length in (17, 18, 19, 20, 38, 39, 80)]
    texts += ["0" * 50 + "1", "1." + "0" * 60, "0." + "0" * 37 + "1", "-" + "9" * 38, "٣", "1_0"]
    for _ in range(many):
        whole = "".join(chance.choices("0123456789", k=chance.randrange(0, 24)))
        decimals = "".join(chance.choices("0123456789", k=chance.randrange(0, 14)))
        point = chance.choice(["", ".", "."])
        texts.append(chance.choice(["", "-", "+"]) + whole + point + (decimals if point else ""))
    return [text for text in texts if text]


def right_text(text: str, digits: tuple[int, int]) -> Any:
    """The expected number for a text, which must be plain digits."""
    if not PLAIN.fullmatch(text) or not text.isascii():
        return REJECTED
    return right_number(Fraction(text.rstrip(".") if text[-1] == "." else text), digits)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(campaign.size(1, 40)))
def test_a_number_in_text_is_loaded_exactly_or_rejected(seed: int) -> None:
    chance = random.Random(campaign.SEED + seed)  # noqa: S311 - values for tests
    texts = number_texts(chance, campaign.size(500, 20_000))
    array = pa.array(texts)
    for kind in NUMBERS:
        digits = Column(name="v", type=kind).precision_and_scale
        assert digits is not None
        found = outcomes(array, typed=False, type=kind)
        expected = [right_text(text, digits) for text in texts]
        pairs = zip(texts, found, expected, strict=True)
        assert [pair for pair in pairs if not same(*pair[1:])] == [], kind
    whole = [
        right_text(text, (18, 0)) if re.fullmatch(r"[+-]?\d+", text) else REJECTED for text in texts
    ]
    pairs = zip(texts, outcomes(array, typed=False, type="integer"), whole, strict=True)
    assert [pair for pair in pairs if not same(*pair[1:])] == []


FORMATS = ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d.%m.%Y"]


def written(year: int, month: int, day: int, form: str) -> str:
    """A day as written by a program that does not pad years with zeros."""
    parts = {"%Y": str(year), "%m": f"{month:02}", "%d": f"{day:02}"}
    for code, text in parts.items():
        form = form.replace(code, text)
    return form


@pytest.mark.parametrize("form", [*FORMATS, None])
@pytest.mark.parametrize("kind", ["date", "timestamp"])
def test_a_year_has_four_digits_in_every_format(form: str | None, kind: str) -> None:
    years = [0, 1, 5, 24, 99, 100, 999, 1000, 1970, 2024, 9999]
    texts = [written(year, 1, 5, form or "%Y-%m-%d") for year in years]
    texts += [written(year, 1, 5, form or "%Y-%m-%d") for year in (10_000, 20_240)]
    made: Callable[[int], Any] = (
        (lambda year: date(year, 1, 5)) if kind == "date" else (lambda year: datetime(year, 1, 5))  # noqa: DTZ001
    )
    expected = [made(year) if year >= 1000 else REJECTED for year in years] + [REJECTED] * 2
    declared: dict[str, Any] = {"format": (form, "%Y/%m/%d")} if form else {}
    if kind == "timestamp" and form:
        texts = [f"{text} 00:00" for text in texts]
        declared = {"format": (f"{form} %H:%M",)}
    assert outcomes(pa.array(texts), typed=False, type=kind, **declared) == expected


def test_a_declared_year_of_two_digits_is_what_it_says() -> None:
    texts = pa.array(["1/2/24", "1/2/70", "1/2/2024"])
    found = outcomes(texts, typed=False, type="date", format="%d/%m/%y")
    assert found == [date(2024, 2, 1), date(1970, 2, 1), REJECTED]


def test_moments_with_and_without_a_zone_are_read_beside_each_other() -> None:
    texts = pa.array(
        [
            "2024-01-01T10:00:00+02:00",
            "2024-01-01 10:00:00-0130",
            "2024-01-01T10:00:00.123456789Z",
            "1969-12-31T23:59:59.9999999",
            "2024-01-01",
            "2024-01-01T10:00:00+99:00",
        ]
    )
    by_default = outcomes(texts, typed=False, type="timestamp")
    assert [one if one is REJECTED else str(one) for one in by_default] == [
        "2024-01-01 08:00:00",
        "2024-01-01 11:30:00",
        "2024-01-01 10:00:00.123456",
        "1969-12-31 23:59:59.999999",
        "2024-01-01 00:00:00",
        REJECTED,
    ]
    declared = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S")
    mixed = pa.array(["2024-01-01T10:00:00+02:00", "2024-01-01 10:00:00"])
    found = outcomes(mixed, typed=False, type="timestamp", format=declared)
    assert [one.replace(tzinfo=UTC).hour for one in found] == [8, 10]


def test_a_reason_shows_the_value_as_it_was_delivered() -> None:
    cases = {
        "number(12, 2)": pa.array([Decimal("1.105")], pa.decimal128(20, 3)),
        "integer": pa.array([1.5]),
        "timestamp": pa.array([2**40 * 1000], pa.int64()).view(pa.timestamp("ms", "Mars/Phobos")),
        "date": pa.array([-800_000], pa.int32()).view(pa.date32()),
    }
    said = {}
    for kind, array in cases.items():
        [reject] = validated(array, typed=True, type=kind).rejects.to_pylist()
        said[kind] = reject["reason"]
        assert reject["raw_text"] in reject["reason"]
    assert said == {
        "number(12, 2)": "'1.105' is not a number of up to 10 digits and 2 decimals",
        "integer": "'1.5' is not a whole number of up to 18 digits",
        "timestamp": "'<value out of range: 1099511627776000>' is not a date with a time",
        "date": "'-0221-09-04' is not a date",
    }


def test_a_check_that_cannot_be_made_says_why() -> None:
    with pytest.raises(RefusedError, match="look-around") as refused:
        validated(pa.array(["a"]), typed=False, checks=Checks(pattern="(?=a)a"))
    assert refused.value.column == "v"
