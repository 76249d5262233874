"""Values on their way: bound ones from a client, results to a client."""

from __future__ import annotations

import datetime
import json
from base64 import b64encode
from decimal import Decimal
from typing import Any

import pyarrow as pa
from fakesnow import arrow
from fakesnow.rowtype import ColumnInfo

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
NO_OFFSET = 1440  # minutes; the protocol adds a day, so that every offset is positive
READABLE = {
    pa.float32(): pa.float64(),
    pa.uint8(): pa.int64(),
    pa.uint16(): pa.int64(),
    pa.uint32(): pa.int64(),
}


def bound(binding: dict[str, Any]) -> Any:
    """The Python value of one bound parameter, which travels as a type and a text."""
    kind, text = binding["type"], binding["value"]
    if text is None:
        return None
    match kind:
        case "FIXED":
            return int(text) if text.lstrip("+-").isdigit() else Decimal(text)
        case "REAL":
            return float(text)
        case "BOOLEAN":
            return text.lower() == "true"
        case "BINARY":
            return bytes.fromhex(text)
        case "DATE":
            return (EPOCH + datetime.timedelta(milliseconds=int(text))).date()
        case "TIME":
            return _moment(text).time()
        case "TIMESTAMP_NTZ":
            return _moment(text).replace(tzinfo=None)
        case "TIMESTAMP_LTZ":
            return _moment(text)
        case "TIMESTAMP_TZ":
            nanoseconds, _, offset = text.partition(" ")
            minutes = datetime.timedelta(minutes=int(offset or NO_OFFSET) - NO_OFFSET)
            return _moment(nanoseconds).astimezone(datetime.timezone(minutes))
        case _:
            return text


def _moment(nanoseconds: str) -> datetime.datetime:
    return EPOCH + datetime.timedelta(microseconds=int(nanoseconds) // 1000)


def encoded(table: pa.Table, rowtype: list[ColumnInfo]) -> str:
    """A result as the clients read it: an Arrow stream in base64."""
    sent = arrow.to_sf(_readable(table), rowtype)
    for position, field in enumerate(sent.schema):
        if pa.types.is_struct(field.type):
            sent = sent.set_column(position, field, _with_nulls(sent.column(position)))
    return b64encode(arrow.to_ipc(sent)).decode("ascii")


def _readable(table: pa.Table) -> pa.Table:
    """Only Arrow types that the Snowflake clients can read."""
    for position, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            values = [
                None if value is None else json.dumps(value, default=str, separators=(",", ":"))
                for value in table.column(position).to_pylist()
            ]
            table = table.set_column(position, field.name, pa.array(values, pa.string()))
            continue
        kind = READABLE.get(field.type)
        if pa.types.is_timestamp(field.type) and field.type.unit != "us":
            kind = pa.timestamp("us", field.type.tz)
        elif pa.types.is_dictionary(field.type) or pa.types.is_interval(field.type):
            kind = pa.string()
        if kind is not None:
            column = table.column(position).cast(kind, safe=False)
            table = table.set_column(position, field.name, column)
    return table


def _with_nulls(timestamps: pa.ChunkedArray) -> pa.Array:
    """A missing timestamp as a missing structure; with missing parts alone it reads as 1970."""
    whole = timestamps.combine_chunks()
    parts = [whole.field(position) for position in range(whole.type.num_fields)]
    fields = [whole.type.field(position) for position in range(whole.type.num_fields)]
    return pa.StructArray.from_arrays(parts, fields=fields, mask=parts[0].is_null())
