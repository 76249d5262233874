"""Tables of an operational database as files in the landing folder, streamed in chunks.

An extract is a Parquet file of text that says of itself what it is: how far the table has been
read, and which rows of the raw table it stands for. So it is loaded as any other delivery is. A
process that ends between extraction and load costs nothing but the extraction: the next run reads
the watermark of the last load that was committed and extracts again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from functools import singledispatch
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from psycopg import Connection as PsycopgConnection
from psycopg.adapt import Buffer, Loader
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from include.core.logs import event
from include.core.settings import written
from include.ingestion.comparison import (
    DIALECTS,
    Days,
    Scope,
    bound,
    day_of,
    source_days,
    teach_sqlite,
)
from include.ingestion.errors import IngestionError, RefusedError, shown
from include.ingestion.landing import Delivery, Stamp
from include.ingestion.reading import Opened, text_chunks
from include.ingestion.sources import DatabaseFormat, Source
from include.ingestion.validation import parsed
from include.warehouse.connection import ConnectionSettings, get_settings

NOTE = b"firn.extract"
LOCK = ".lock"


@dataclass(frozen=True)
class Span:
    """A range of event time, which an extract stands for completely.

    Attributes:
        start: the first moment included, UTC; None for no lower bound.
        end: the first moment left out, UTC; None for no upper bound.
    """

    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class Extract:
    """What an extract says of itself.

    Attributes:
        watermark: up to where the table has been read; None if the extract says nothing of that.
        replaces: rows of the raw table in this range that are not in the extract are gone.
        overlap: a hash of those rows that the next extract reads again, unless they change.
    """

    watermark: datetime | None
    replaces: Span | None
    overlap: str | None = None

    def as_note(self) -> str:
        """As it stands in the file."""
        span = self.replaces
        bounds = [_text(span.start), _text(span.end)] if span else None
        return json.dumps({"watermark": _text(self.watermark), "replaces": bounds})

    @classmethod
    def from_note(cls, note: str) -> Self:
        """As it was written into a file."""
        values = json.loads(note)
        bounds = values["replaces"]
        span = Span(_moment(bounds[0]), _moment(bounds[1])) if bounds is not None else None
        return cls(_moment(values["watermark"]), span)


def database_url(domain: str, settings: ConnectionSettings | None = None) -> URL:
    """Where the domain's operational database is: ``FIRN_<DOMAIN>_DATABASE_URL``.

    From the environment, else from the settings' file, else SQLite in Firn's home. Do not print
    it: it may hold a password.

    Raises:
        IngestionError: the setting is not a URL. The message does not repeat it.
    """
    name = url_setting(domain)
    text = written().get(name)
    if not text:
        home = (settings or get_settings()).home
        return URL.create("sqlite", database=str(home / "operational" / f"{domain}.db"))
    try:
        return sa.make_url(text)
    except (ArgumentError, ValueError):
        raise IngestionError(
            f"{name} is not a database URL: write it as "
            "postgresql+psycopg://user:password@host:5432/database."
        ) from None


def url_setting(domain: str) -> str:
    """The name of the setting."""
    return f"FIRN_{domain.upper()}_DATABASE_URL"


def open_engine(url: URL, domain: str) -> Engine:
    """An engine that keeps no connection and puts no value into a message.

    Raises:
        IngestionError: no driver for the URL is installed.
    """
    # A database without an encoding would report its version as bytes, which SQLAlchemy cannot
    # read.
    utf8 = {"client_encoding": "UTF8"} if url.drivername == "postgresql+psycopg" else {}
    try:
        return sa.create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=utf8)
    except (SQLAlchemyError, ImportError) as error:
        raise IngestionError(
            f"{url_setting(domain)} asks for {url.drivername}, and its driver is not installed "
            f"({shown(type(error).__name__)}): use postgresql+psycopg or sqlite."
        ) from None


@dataclass(frozen=True)
class Extraction:
    """What was read of a table.

    Attributes:
        delivery: the extract; None if there is nothing to load.
        days: the table's counts by day, at the moment of the extract; None if nobody asked for
            them, if this kind of database cannot be counted, or if counting failed.
        problem: why counting failed, in a sentence.
    """

    delivery: Delivery | None
    days: Days | None = None
    problem: str | None = None


@contextlib.contextmanager
def only_loader(source: Source, root: Path) -> Iterator[None]:
    """Hold the lock for extracting and loading a source on this machine; wait until it is free.

    Under the lock, any extract in the folder was left behind by a process that has ended. Its rows
    are extracted again, so the file is removed.

    Raises:
        IngestionError: the landing folder cannot be written.
    """
    folder = root / source.domain / source.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise _unwritable(source, folder, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            event("load.waits", domain=source.domain, source=source.name)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise _unwritable(source, folder, error) from None
        for left in folder.glob("*.parquet"):
            with contextlib.suppress(OSError):
                left.unlink()
        yield


def extract(
    source: Source,
    root: Path,
    *,
    since: datetime | None = None,
    span: Span | None = None,
    days: Sequence[str] | None = None,
    count: Scope | None = None,
    settings: ConnectionSettings | None = None,
) -> Extraction:
    """Write what the source's table holds into the landing folder.

    Args:
        source: declared with ``format: {type: database}``.
        root: the landing folder.
        since: the watermark of the last load; rows changed since then, less the overlap, are
            extracted. None for all rows.
        span: extract this range of event time instead, whatever has changed in it.
        days: extract these days of event time instead; the extract says nothing about other days.
        count: also count by day what the table holds, in this scope.
        settings: read from the environment if not given.

    Raises:
        IngestionError: the database cannot be read, or the landing folder not written.
    """
    database = _format(source)
    settings = settings or get_settings()
    url = database_url(source.domain, settings)
    folder = root / source.domain / source.name
    began = datetime.now(UTC).replace(tzinfo=None)
    clock = time.monotonic()
    final = folder / f"{source.name}-{began:%Y%m%dT%H%M%S%f}-{os.getpid()}.parquet"
    unfinished = final.with_name(f".{final.name}")
    counted, problem = None, None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _reading(source, url) as connection:
            columns = _columns(connection, source, database)
            query = _query(source, database, columns, since, span, days, connection.dialect.name)
            watermarked = days is None and span in (None, Span())
            rows = _write(
                source, database, connection.execute(query), unfinished, began, span, watermarked
            )
            if count is not None:
                # In the same transaction as the extract, which shows the table at one moment.
                counted, problem = _counted(connection, source, columns, count)
        event(
            "load.extract",
            domain=source.domain,
            source=source.name,
            rows=rows,
            since=_text(since),
            start=_text(span.start) if span else None,
            end=_text(span.end) if span else None,
            days=len(days) if days is not None else None,
            seconds=round(time.monotonic() - clock, 3),
        )
        if not rows and span is None:
            return Extraction(None, counted, problem)
        unfinished.rename(final)
    except OSError as error:
        raise _unwritable(source, folder, error) from None
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return Extraction(Delivery(final, root, Stamp.of(final)), counted, problem)


def _unwritable(source: Source, folder: Path, error: OSError) -> IngestionError:
    return IngestionError(
        f"{source.title}: the extract cannot be written below {folder} "
        f"({error.strerror or error}): make room and give permission, then run again."
    )


def _counted(
    connection: sa.Connection,
    source: Source,
    columns: Mapping[str, sa.ColumnClause[Any]],
    scope: Scope,
) -> tuple[Days | None, str | None]:
    """The days of the table, or why they cannot be counted; the extract is loaded either way.

    Both are None if this kind of database cannot be compared.
    """
    if connection.dialect.name not in DIALECTS:
        return None, None
    try:
        return source_days(connection, source, columns, scope), None
    except SQLAlchemyError as error:
        return None, f"the operational database cannot count its days ({_said(error)})."


@contextlib.contextmanager
def open_extract(source: Source, path: Path) -> Iterator[tuple[Opened, Extract]]:
    """An extract as the loader reads a file, and what it says of itself.

    Raises:
        RefusedError: it is not an extract.
    """
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
        extracted = Extract.from_note(file.metadata.metadata[NOTE].decode())
    except (pa.ArrowException, ValueError, KeyError, TypeError):
        raise RefusedError(
            "this is no extract of a database, or it is cut off: remove it and run again."
        ) from None
    with file:
        if file.schema_arrow.names != [column.name for column in source.columns]:
            raise RefusedError("its columns are not those that are declared: run again.")
        if extracted.watermark is not None:
            extracted = replace(extracted, overlap=_overlap(source, path, extracted.watermark))
        chunks = text_chunks(file, source.chunk_rows)
        yield Opened(list(source.columns), [], False, chunks), extracted


def rows_hash(path: Path, rows: pl.Expr | None = None) -> str:
    """A hash of an extract's rows, whatever their order; of some of them if `rows` says which."""
    table = pl.scan_parquet(path).filter(pl.lit(True) if rows is None else rows)
    row = pl.struct(pl.all()).hash()
    # In halves, whose sums do not overflow.
    halves = (row // 2**32).sum().alias("high"), (row % 2**32).sum().alias("low")
    parts = table.select(pl.len().alias("rows"), *halves).collect(engine="streaming").row(0)
    # Another version of Polars hashes in another way.
    return "-".join([pl.__version__, *(f"{part:x}" for part in parts)])


def _overlap(source: Source, path: Path, watermark: datetime) -> str:
    database = _format(source)
    changed = next(column for column in source.columns if column.name == database.watermark)
    first = watermark - timedelta(minutes=database.overlap_minutes)
    moment = parsed(pl.col(changed.name), changed)
    return rows_hash(path, (moment >= first) | pl.col(changed.name).is_null())


def _format(source: Source) -> DatabaseFormat:
    if not isinstance(source.format, DatabaseFormat):
        raise IngestionError(
            f"{source.title} is delivered as files: only a source with format: {{type: database}} "
            "can be extracted."
        )
    return source.format


@contextlib.contextmanager
def _reading(source: Source, url: URL) -> Iterator[sa.Connection]:
    """A connection that streams its rows; failures become one sentence without the URL."""
    setting = url_setting(source.domain)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise IngestionError(
            f"{source.title}: there is no operational database at {url.database}: set {setting}, "
            f"or make a sample with `firn sample {source.domain}`."
        )
    engine = open_engine(url, source.domain)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                # Everything is read as of one moment, and a value is always written the same way.
                connection.exec_driver_sql(
                    "set transaction isolation level repeatable read, read only"
                )
                connection.exec_driver_sql(_WRITTEN)
            driver = connection.connection.driver_connection
            if isinstance(driver, PsycopgConnection):
                _take_as_text(driver)
            elif connection.dialect.name == "sqlite":
                connection.exec_driver_sql("begin")
                teach_sqlite(driver)
                driver.text_factory = _decoded  # type: ignore[union-attr]
            yield connection.execution_options(yield_per=source.chunk_rows)
    except SQLAlchemyError as error:
        raise IngestionError(
            f"{source.title}: the operational database cannot be read ({_said(error)}): check "
            f"{setting} and the table {_format(source).table}; nothing is loaded."
        ) from None
    finally:
        engine.dispose()


def _said(error: SQLAlchemyError) -> str:
    """The database's own reason, in one line."""
    said = str(getattr(error, "orig", None) or type(error).__name__).strip()
    return shown(said.splitlines()[0] if said else type(error).__name__, 200)


def _columns(
    connection: sa.Connection, source: Source, database: DatabaseFormat
) -> dict[str, sa.ColumnClause[Any]]:
    """The table's columns by their declared names; a column may have one of its aliases instead."""
    schema, name = database.schema_and_table
    if connection.dialect.name == "sqlite":
        schema = None  # A file has no schemas.
    there: set[str] = set()
    if any(column.aliases for column in source.columns):
        anything = sa.select(sa.text("*")).select_from(sa.table(name, schema=schema)).limit(0)
        there = set(connection.execute(anything).keys())
    names = {
        column.name: next(filter(there.__contains__, (column.name, *column.aliases)), column.name)
        for column in source.columns
    }
    table = sa.table(name, *(sa.column(one) for one in names.values()), schema=schema)
    return {declared: table.columns[one] for declared, one in names.items()}


def _query(
    source: Source,
    database: DatabaseFormat,
    columns: Mapping[str, sa.ColumnClause[Any]],
    since: datetime | None,
    span: Span | None,
    days: Sequence[str] | None,
    dialect: str,
) -> sa.Select[Any]:
    """One statement, so that an extract shows the table at one moment."""
    query = sa.select(*(column.label(name) for name, column in columns.items()))
    if days is not None or span not in (None, Span()):
        if database.event_time is None:
            raise IngestionError(
                f"{source.title} declares no event_time, so that no range of it can be extracted: "
                "declare it, or extract everything."
            )
        event_time = columns[database.event_time]
        if days is not None:
            return query.where(day_of(event_time).in_(days))
        if span is not None and span.start is not None:
            query = query.where(event_time >= bound(span.start))
        if span is not None and span.end is not None:
            query = query.where(event_time < bound(span.end))
    elif span is None and since is not None:
        changed = columns[database.watermark]
        first = since - timedelta(minutes=database.overlap_minutes)
        late = sa.and_(changed >= bound(first), _can_be_read(changed, dialect))
        query = query.where(sa.or_(late, changed.is_(None)))
    return query


def _can_be_read(changed: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[bool]:
    """Leave out values that sort after every real time, and that every load would reject."""
    if dialect == "postgresql":
        # Infinity, years with five digits, and in a text column anything that is not a time.
        return sa.cast(changed, sa.Text).regexp_match("^(?![0-9]{5,}-)[0-9]")
    if dialect == "sqlite":
        return changed < ":"  # which sorts after the digits
    return sa.true()


def _write(
    source: Source,
    database: DatabaseFormat,
    result: sa.CursorResult[Any],
    path: Path,
    began: datetime,
    span: Span | None,
    watermarked: bool,
) -> int:
    """Stream the rows into a file; how many there are."""
    schema = pa.schema([(column.name, pa.string()) for column in source.columns])
    changed = next(column for column in source.columns if column.name == database.watermark)
    rows, latest = 0, None
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for part in result.partitions():
            try:
                table = _as_text(part, schema)
            except NoTextError as error:
                raise IngestionError(f"{source.title}: {database.table}, {error}") from None
            writer.write_table(table)
            rows += table.num_rows
            frame = pl.DataFrame(pl.from_arrow(table.select([changed.name])))
            newest = frame.select(parsed(pl.col(changed.name), changed).max()).item()
            latest = max(filter(None, [latest, newest]), default=None)
        # A change dated into the future must not hide those that come until then.
        latest = min(latest, began) if latest else None
        note = Extract(latest if watermarked else None, span).as_note()
        writer.add_key_value_metadata({NOTE: note.encode()})
    return rows


# -- values as text --------------------------------------------------------------------------------

_WRITTEN = """
select
    set_config('timezone', 'UTC', true),
    set_config('datestyle', 'ISO, YMD', true),
    set_config('intervalstyle', 'postgres', true),
    set_config('extra_float_digits', '1', true),
    set_config('bytea_output', 'hex', true),
    set_config('lc_monetary', 'C', true),
    set_config(
        'client_encoding',
        case current_setting('server_encoding') when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end,
        true
    )
"""
_MOMENT = re.compile(r"((?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d)(\.\d{1,6})?(?:\+00)?")


class NoTextError(Exception):
    """A value whose type has no defined text form; the message names the column and the type."""


def _decoded(data: Buffer) -> str:
    """Text as the database stores it; if it is not valid UTF-8, hexadecimal, like bytes."""
    data = bytes(data)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _of_bytes(data)


def _without_exponent(number: str) -> str:
    """A float as text that every declared type reads as a whole number or a decimal."""
    return format(Decimal(number), "f") if "e" in number else number


class _Text(Loader):
    """A value as PostgreSQL writes it."""

    def load(self, data: Buffer) -> str:
        return _decoded(data)


class _Float(Loader):
    def load(self, data: Buffer) -> str:
        return _without_exponent(bytes(data).decode())


class _Boolean(Loader):
    def load(self, data: Buffer) -> str:
        return "true" if bytes(data) == b"t" else "false"


class _Moment(Loader):
    """A time in UTC with six decimals; a value without that form, such as infinity, unchanged."""

    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        match = _MOMENT.fullmatch(text)
        return f"{match[1]}{(match[2] or '.').ljust(7, '0')}" if match else text


def _take_as_text(driver: PsycopgConnection[Any]) -> None:
    """Take every value as PostgreSQL writes it, whatever its type."""
    adapters = driver.adapters
    adapters.register_loader(0, _Text)  # types that psycopg does not know
    for kind in adapters.types:
        for oid in filter(None, (kind.oid, kind.array_oid)):
            adapters.register_loader(oid, _Text)
    adapters.register_loader("bool", _Boolean)
    for name in ("float4", "float8"):
        adapters.register_loader(name, _Float)
    for name in ("timestamp", "timestamptz", "time"):
        adapters.register_loader(name, _Moment)


@singledispatch
def _text_of(value: object) -> str:
    """The text of a value from a driver; it depends on that value alone."""
    raise NotImplementedError


@_text_of.register(str)
@_text_of.register(int)
@_text_of.register(date)
@_text_of.register(UUID)
def _of_plain(value: object) -> str:
    return str(value)


@_text_of.register
def _of_boolean(value: bool) -> str:
    return "true" if value else "false"


@_text_of.register
def _of_float(value: float) -> str:
    return _without_exponent(repr(value)).removesuffix(".0")


@_text_of.register
def _of_decimal(value: Decimal) -> str:
    return format(value, "f")


@_text_of.register
def _of_moment(value: datetime) -> str:
    if value.tzinfo:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value.isoformat(" ", "microseconds")


@_text_of.register
def _of_time(value: clock_time) -> str:
    return value.isoformat("microseconds")


@_text_of.register(bytes)
@_text_of.register(bytearray)
@_text_of.register(memoryview)
def _of_bytes(value: bytes) -> str:
    return "\\x" + value.hex()


def _as_text(rows: Sequence[Any], schema: pa.Schema) -> pa.Table:
    """Rows as columns of text: times in UTC with six decimals, numbers as short as is exact."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table(
        [_column_as_text(name, values) for name, values in zip(schema.names, columns, strict=True)],
        schema=schema,
    )


def _column_as_text(name: str, values: Sequence[Any]) -> pa.Array:
    kinds = {type(value) for value in values} - {type(None), str}
    for kind in kinds:
        if _text_of.dispatch(kind) is _text_of.dispatch(object):
            raise NoTextError(
                f"column {name} holds a value of the type {kind.__name__}, which has no defined "
                "text form: cast it to text in a view, or leave the column out."
            )
    if kinds:
        values = [None if value is None else _text_of(value) for value in values]
    return pa.array(values, pa.string())


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(sep=" ") if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
