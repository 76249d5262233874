"""Tables of an operational database as files in the landing folder, streamed in chunks.

An extract is a Parquet file of text that says of itself what it is: how far the table has been
read, and which rows of the raw table it stands for. So it is loaded as any other delivery is. A
process that ends between extraction and load costs nothing but the extraction: the next run reads
the watermark of the last load that was committed and extracts again.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from dotenv import dotenv_values
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from include.ingestion.errors import IngestionError, RefusedError, shown
from include.ingestion.landing import Delivery, Stamp
from include.ingestion.reading import Opened, text_chunks
from include.ingestion.sources import DatabaseFormat, Source
from include.ingestion.validation import parsed
from include.logs import event
from include.warehouse.connection import ConnectionSettings, env_file, get_settings

NOTE = b"firn.extract"
LEFT_BEHIND_SECONDS = 86_400.0


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
    """

    watermark: datetime | None
    replaces: Span | None

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
    text = os.environ.get(name) or dotenv_values(env_file()).get(name)
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
    try:
        return sa.create_engine(url, poolclass=NullPool, hide_parameters=True)
    except (SQLAlchemyError, ImportError) as error:
        raise IngestionError(
            f"{url_setting(domain)} asks for {url.drivername}, and its driver is not installed "
            f"({shown(type(error).__name__)}): use postgresql+psycopg or sqlite."
        ) from None


def extract(
    source: Source,
    root: Path,
    *,
    since: datetime | None = None,
    span: Span | None = None,
    settings: ConnectionSettings | None = None,
) -> Delivery | None:
    """Write what the source's table holds into the landing folder; None if that is nothing.

    Args:
        source: declared with ``format: {type: database}``.
        root: the landing folder.
        since: the watermark of the last load; rows changed since then, less the overlap, are
            extracted. None for all rows.
        span: extract this range of event time instead, whatever has changed in it.
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(folder)
        with _reading(source, url) as connection:
            query = _query(source, database, connection.dialect.name, since, span)
            rows = _write(source, database, connection.execute(query), unfinished, began, span)
        event(
            "load.extract",
            domain=source.domain,
            source=source.name,
            rows=rows,
            since=_text(since),
            start=_text(span.start) if span else None,
            end=_text(span.end) if span else None,
            seconds=round(time.monotonic() - clock, 3),
        )
        if not rows and span is None:
            return None
        unfinished.rename(final)
    except OSError as error:
        raise IngestionError(
            f"{source.title}: the extract cannot be written below {folder} "
            f"({error.strerror or error}): make room and give permission, then run again."
        ) from None
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return Delivery(final, root, Stamp.of(final))


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
        chunks = text_chunks(file, source.chunk_rows)
        yield Opened(list(source.columns), [], False, chunks), extracted


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
            f"or make a sample with `python -m include.sample_data {source.domain}`."
        )
    engine = open_engine(url, source.domain)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("set transaction read only")
                connection.exec_driver_sql("set local time zone 'UTC'")
            yield connection.execution_options(yield_per=source.chunk_rows)
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or type(error).__name__).strip()
        raise IngestionError(
            f"{source.title}: the operational database cannot be read "
            f"({shown(said.splitlines()[0] if said else type(error).__name__, 200)}): check "
            f"{setting} and the table {_format(source).table}; nothing is loaded."
        ) from None
    finally:
        engine.dispose()


def _query(
    source: Source,
    database: DatabaseFormat,
    dialect: str,
    since: datetime | None,
    span: Span | None,
) -> sa.Select[Any]:
    """One statement, so that an extract shows the table at one moment."""
    schema, name = database.schema_and_table
    if dialect == "sqlite":
        schema = None  # A file has no schemas.
    table = sa.table(name, *(sa.column(column.name) for column in source.columns), schema=schema)
    query = sa.select(*table.columns)
    if span is not None:
        if span == Span():
            return query
        if database.event_time is None:
            raise IngestionError(
                f"{source.title} declares no event_time, so that no range of it can be extracted: "
                "declare it, or extract everything."
            )
        event_time = table.columns[database.event_time]
        if span.start is not None:
            query = query.where(event_time >= _bound(span.start, dialect))
        if span.end is not None:
            query = query.where(event_time < _bound(span.end, dialect))
    elif since is not None:
        changed = table.columns[database.watermark]
        first = since - timedelta(minutes=database.overlap_minutes)
        query = query.where(sa.or_(changed >= _bound(first, dialect), changed.is_(None)))
    return query


def _bound(moment: datetime, dialect: str) -> sa.BindParameter[Any]:
    # SQLite compares texts, and one without a fraction sorts before the same one with zeros.
    return sa.literal(_text(moment) if dialect == "sqlite" else moment)


def _write(
    source: Source,
    database: DatabaseFormat,
    result: sa.CursorResult[Any],
    path: Path,
    began: datetime,
    span: Span | None,
) -> int:
    """Stream the rows into a file; how many there are."""
    schema = pa.schema([(column.name, pa.string()) for column in source.columns])
    changed = next(column for column in source.columns if column.name == database.watermark)
    rows, latest = 0, None
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for part in result.partitions():
            table = _as_text(part, schema)
            writer.write_table(table)
            rows += table.num_rows
            frame = pl.DataFrame(pl.from_arrow(table.select([changed.name])))
            newest = frame.select(parsed(pl.col(changed.name), changed).max()).item()
            latest = max(filter(None, [latest, newest]), default=None)
        # A change dated into the future must not hide those that come until then.
        latest = min(latest, began) if latest else None
        complete = span is None or span == Span()
        note = Extract(latest if complete else None, span).as_note()
        writer.add_key_value_metadata({NOTE: note.encode()})
    return rows


def _as_text(rows: Sequence[Any], schema: pa.Schema) -> pa.Table:
    """Rows as columns of text: times in UTC with six decimals, numbers as short as is exact."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table([_column_as_text(list(values)) for values in columns], schema=schema)


def _column_as_text(values: list[Any]) -> pa.Array:
    if any(isinstance(value, datetime) and value.tzinfo for value in values):
        # Arrow takes such times by their clock, in whatever zone it shows, once pandas is loaded.
        values = [value and value.astimezone(UTC).replace(tzinfo=None) for value in values]
    try:
        array = pa.array(values)
    except (pa.ArrowException, TypeError):
        # SQLite keeps values of several types in one column.
        array = pa.array([None if value is None else str(value) for value in values], pa.string())
    if pa.types.is_null(array.type):
        return array.cast(pa.string())
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("us"))
    return array.cast(pa.string())


def _remove_left_behind(folder: Path) -> None:
    """Extracts of processes that ended long ago; what they held is extracted again."""
    oldest = time.time() - LEFT_BEHIND_SECONDS
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            if entry.name.endswith(".parquet") and entry.stat().st_mtime < oldest:
                Path(entry.path).unlink()


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(sep=" ") if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
