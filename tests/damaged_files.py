"""Damaged or odd files, generated from a seed: Parquet, CSV and gzip."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from include.ingestion.sources import Column, CsvFormat, ParquetFormat, Source

COLUMNS = [
    Column(name="id", type="integer", nullable=False),
    Column(name="price", type="number(12, 2)"),
    Column(name="share", type="float"),
    Column(name="good", type="boolean"),
    Column(name="day", type="date"),
    Column(name="at", type="timestamp"),
    Column(name="note"),
]
PARQUET = Source(
    name="things", load="append", columns=COLUMNS, format=ParquetFormat(), chunk_rows=50
).model_copy(update={"domain": "d"})
CSV = Source(
    name="things", load="append", columns=COLUMNS, format=CsvFormat(), chunk_rows=50
).model_copy(update={"domain": "d"})

ROWS = 120


def table(**others: pa.Array) -> pa.Table:
    """A good table, with other columns added or replaced."""
    columns = {
        "id": pa.array(range(ROWS), pa.int64()),
        "price": pa.array([Decimal(row) / 4 for row in range(ROWS)], pa.decimal128(12, 2)),
        "share": pa.array([row / 8 for row in range(ROWS)], pa.float64()),
        "good": pa.array([row % 3 == 0 for row in range(ROWS)]),
        "day": pa.array([date(2024, 1, 1 + row % 28) for row in range(ROWS)]),
        "at": pa.array([1_700_000_000_000_000 + row for row in range(ROWS)], pa.timestamp("us")),
        "note": pa.array([f"note {row % 7}" for row in range(ROWS)]),
    }
    return pa.table(columns | others)


def parquet(content: pa.Table, **options: object) -> bytes:
    """A table as the bytes of a file."""
    out = io.BytesIO()
    pq.write_table(content, out, **options)
    return out.getvalue()


def all_of(value: object, kind: pa.DataType) -> pa.Array:
    """A column that holds one value."""
    return pa.array([value] * ROWS, kind)


def _raw(kind: pa.DataType, number: int) -> pa.Array:
    return pa.array([number] * ROWS, pa.int64()).view(kind)


ODD: dict[str, Callable[[], bytes]] = {
    "nanoseconds": lambda: parquet(table(at=_raw(pa.timestamp("ns"), 1_704_103_200_123_456_789))),
    "far seconds": lambda: parquet(table(at=_raw(pa.timestamp("s"), 2**40))),
    "far micros": lambda: parquet(table(at=_raw(pa.timestamp("us"), 2**63 - 1))),
    "first micros": lambda: parquet(table(at=_raw(pa.timestamp("us"), -(2**63)))),
    "unknown zone": lambda: parquet(table(at=_raw(pa.timestamp("us", "Mars/Phobos"), 2**50))),
    "far day": lambda: parquet(table(day=all_of(2**31 - 1, pa.int32()).view(pa.date32()))),
    "first day": lambda: parquet(table(day=all_of(-(2**31), pa.int32()).view(pa.date32()))),
    "date64": lambda: parquet(table(day=_raw(pa.date64(), 86_400_000 * 20_000))),
    "decimal256": lambda: parquet(table(price=all_of(Decimal("9" * 60), pa.decimal256(76, 3)))),
    "finer decimal": lambda: parquet(table(price=all_of(Decimal("1.105"), pa.decimal128(20, 3)))),
    "not a number": lambda: parquet(table(price=all_of(float("nan"), pa.float64()))),
    "infinite": lambda: parquet(table(share=all_of(float("inf"), pa.float32()))),
    "half floats": lambda: parquet(table(share=all_of(1.5, pa.float16()))),
    "unsigned": lambda: parquet(table(id=all_of(2**64 - 1, pa.uint64()))),
    "null": lambda: parquet(table(note=pa.nulls(ROWS), id=pa.nulls(ROWS))),
    "nested list": lambda: parquet(table(note=all_of(["a"], pa.list_(pa.string())))),
    "nested struct": lambda: parquet(table(note=all_of({"a": 1}, pa.struct([("a", pa.int64())])))),
    "nested map": lambda: parquet(table(note=all_of([("a", 1)], pa.map_(pa.string(), pa.int32())))),
    "binary": lambda: parquet(table(note=all_of(b"\xff\xfe", pa.binary()))),
    "no UTF-8": lambda: parquet(table(note=all_of(b"\xff", pa.binary()).view(pa.string()))),
    "no UTF-8 in a dictionary": lambda: parquet(
        table(note=all_of(b"\xff", pa.binary()).view(pa.string()).dictionary_encode())
    ),
    "dictionary of numbers": lambda: parquet(table(id=pa.array([7] * ROWS).dictionary_encode())),
    "time": lambda: parquet(table(at=all_of(1, pa.time64("us")))),
    "duration": lambda: parquet(table(at=all_of(1, pa.duration("us")))),
    "twice": lambda: parquet(table().append_column("id", pa.array(range(ROWS)))),
    "no column": lambda: parquet(pa.table({})),
    "no row": lambda: parquet(table().slice(0, 0)),
    "odd name": lambda: parquet(table().append_column("x.y\n\0", pa.array(range(ROWS)))),
    "many columns": lambda: parquet(pa.table({f"c{n}": [1] for n in range(3_000)})),
    "empty": lambda: b"",
    "only a magic": lambda: b"PAR1",
    "twice a magic": lambda: b"PAR1PAR1",
    "giant footer": lambda: b"PAR1" + b"\0" * 64 + b"\xff\xff\xff\x7fPAR1",
}
"""Files as other programs write them, and data that only looks like a file."""

_LAYOUTS: list[dict[str, object]] = [
    {},
    {"compression": "zstd", "use_dictionary": False},
    {"compression": "none", "row_group_size": 30, "data_page_size": 64},
    {"compression": "gzip", "data_page_version": "2.0", "store_schema": False},
    {"compression": "none", "write_page_checksum": True},
]


def damaged_parquet(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Good files with bytes changed, missing or doubled: the label of each, and its bytes."""
    chance = random.Random(seed)  # noqa: S311 - files for tests
    good = [parquet(table(), **layout) for layout in _LAYOUTS]
    for number in range(count):
        layout = chance.randrange(len(good))
        yield f"{seed}/{number}/layout {layout}", _damaged(chance, good[layout])


def damaged_csv(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """The same for CSV: a third plain, the rest gzip, damaged before or after compression."""
    chance = random.Random(seed)  # noqa: S311 - files for tests
    lines = ["id,price,share,good,day,at,note"]
    lines += [
        f'{row},{row}.25,0.5,yes,2024-01-02,2024-01-02 03:04:05,"a ""n"", {row}"'
        for row in range(ROWS)
    ]
    text = "\n".join(lines).encode() + b"\n"
    for number in range(count):
        match chance.randrange(3):
            case 0:
                content = _damaged(chance, text, tail=0)
            case 1:
                content = gzip.compress(_damaged(chance, text, tail=0), mtime=0)
            case _:
                content = _damaged(chance, gzip.compress(text, mtime=0), tail=8)
        yield f"{seed}/{number}", content


def _damaged(chance: random.Random, good: bytes, tail: int = 600) -> bytes:
    data = bytearray(good)
    for _ in range(chance.choice([1, 1, 1, 2, 5, 30])):
        # The end of a Parquet file is its table of contents, where damage does most.
        low = max(len(data) - tail, 0) if tail and chance.random() < 0.5 else 0
        place = chance.randrange(low, len(data)) if low < len(data) else 0
        match chance.randrange(6):
            case 0 | 1:
                data[place : place + 1] = bytes([chance.randrange(256)])
            case 2 | 3:
                if place < len(data):
                    data[place] ^= 1 << chance.randrange(8)
            case 4:
                del data[place : place + chance.choice([1, 4, 100])]
            case _:
                data[place:place] = data[place : place + chance.choice([1, 16])]
    return bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.1 else data)
