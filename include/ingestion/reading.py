"""Files as chunks of bounded size: columns under their declared names, rows with their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from include.ingestion.csv_text import CheckedCsv
from include.ingestion.errors import RefusedError, shown
from include.ingestion.sources import Column, CsvFormat, Source

CHUNK_BYTES = 32 * 1024 * 1024
RAW_TEXT_LIMIT = 10_000
"""Most characters of a bad row that are kept."""

MOST_COLUMNS = 2_000
"""A raw table with more is not what anybody meant."""

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,99}")


@dataclass(frozen=True)
class Malformed:
    """A row that has no columns to speak of.

    Attributes:
        row: its number in the file.
        reason: what is wrong with it.
        text: the row as it is written, cut off where it is very long.
    """

    row: int
    reason: str
    text: str


@dataclass
class Chunk:
    """Some consecutive rows of a file.

    Attributes:
        table: the rows that could be read, by column.
        rows: the number of each in the file; the header of a CSV file is row 1.
        malformed: the rows between them that could not.
    """

    table: pa.Table
    rows: np.ndarray
    malformed: list[Malformed] = field(default_factory=list)

    @property
    def delivered(self) -> int:
        """Rows of the file that this chunk stands for."""
        return len(self.rows) + len(self.malformed)


@dataclass(frozen=True)
class Opened:
    """A file whose columns are known to be right.

    Attributes:
        columns: what it holds, in its order; new columns among them.
        new_columns: those that the source does not declare.
        typed: whether values have their types already, or are text.
        chunks: the rows, read as they are asked for.
    """

    columns: list[Column]
    new_columns: list[str]
    typed: bool
    chunks: Iterator[Chunk]


@contextmanager
def open_file(source: Source, path: Path) -> Iterator[Opened]:
    """Open a delivered file and check its columns.

    Raises:
        RefusedError: now or while the chunks are read, if the file cannot be loaded.
        OSError: the file cannot be read.
    """
    if isinstance(source.format, CsvFormat):
        with closing(CheckedCsv(path, source.format, source.max_row_bytes)) as text:
            columns, new = _match(source, text.header)
            yield Opened(columns, new, False, _csv_chunks(source, columns, text))
    else:
        with _parquet(path) as file:
            columns, new = _match(source, file.schema_arrow.names, file.schema_arrow)
            yield Opened(columns, new, True, _parquet_chunks(source, columns, file))


def snake_case(header: str) -> str:
    """A header as a column name: `CountryCode`, `country code` and `countryCode` are one."""
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", header.strip())
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words)
    return re.sub(r"[\s\-.]+", "_", words).lower()


def _match(
    source: Source, headers: list[str], schema: pa.Schema | None = None
) -> tuple[list[Column], list[str]]:
    """The columns behind the headers, and the names of the new ones among them."""
    csv = isinstance(source.format, CsvFormat)
    line = 1 if csv else None
    declared = {column.name: column for column in source.columns}
    if csv and len(headers) == 1 and len(declared) > 1:
        _refuse_delimiter(source, headers[0])
    if len(headers) > MOST_COLUMNS:
        raise RefusedError(
            f"there are {len(headers):,} columns where {len(declared)} are declared, and at most "
            f"{MOST_COLUMNS:,} are possible: check the delimiter and the line ends.",
            line=line,
        )
    names = [source.headers.get(header.strip()) or snake_case(header) for header in headers]
    names = [source.headers.get(name, name) for name in names]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise RefusedError(
                f"{shown(name)} stands twice in the header: keep one of them.",
                line=line,
                column=place + 1,
            )
    missing = [c.name for c in source.columns if not c.optional and c.name not in names]
    unknown = [name for name in names if name not in declared]
    if missing:
        hint = f" (there is {', '.join(map(shown, unknown[:5]))} instead)" if unknown else ""
        raise RefusedError(
            f"column {', '.join(missing)} is missing{hint}: deliver it, declare its new header "
            "as an alias, or declare it optional.",
            line=line,
        )
    if unknown and not source.allow_new_columns:
        raise RefusedError(
            f"column {', '.join(map(shown, unknown[:5]))} is unknown: remove it, declare it, or "
            "set allow_new_columns: true.",
            line=line,
            column=names.index(unknown[0]) + 1,
        )
    for name in unknown:
        if not _IDENTIFIER.fullmatch(name):
            raise RefusedError(
                f"{shown(name)!r} cannot be the name of a new column: use letters, digits and "
                "underscores, beginning with a letter.",
                line=line,
                column=names.index(name) + 1,
            )
    columns = []
    for place, name in enumerate(names):
        kind = schema.field(place).type if schema is not None else None
        column = declared.get(name) or Column(name=name, type=_type_of(kind))
        if kind is not None and not _holds(column, kind):
            raise RefusedError(
                f"the column is {kind} where {column.type} is declared: deliver it as "
                f"{column.type}, or declare its new type.",
                column=name,
            )
        columns.append(column)
    return columns, unknown


def _refuse_delimiter(source: Source, header: str) -> None:
    counts = {mark: header.count(mark) for mark in ",;\t|"}
    likely = max(counts, key=lambda mark: counts[mark])
    if counts[likely] and isinstance(source.format, CsvFormat):
        raise RefusedError(
            f"the columns are separated by {likely!r} where {source.format.delimiter!r} is "
            f"declared: deliver it with {source.format.delimiter!r}, or declare "
            f"delimiter: {likely!r}.",
            line=1,
        )


def _type_of(kind: pa.DataType | None) -> str:
    """The type of a new column; text wherever nothing better is certain."""
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


def _holds(column: Column, kind: pa.DataType) -> bool:
    """Whether a Parquet type can hold what is declared."""
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    numeric = types.is_integer(kind) or types.is_decimal(kind)
    match column.type:
        case "text":
            return bool(types.is_string(kind) or types.is_large_string(kind))
        case "integer":
            return bool(types.is_integer(kind))
        case "float":
            return bool(numeric or types.is_floating(kind))
        case "boolean":
            return bool(types.is_boolean(kind))
        case "date":
            return bool(types.is_date(kind))
        case "timestamp":
            return bool(types.is_timestamp(kind))
        case _:
            return bool(numeric or types.is_floating(kind))


def _csv_chunks(source: Source, columns: list[Column], text: CheckedCsv) -> Iterator[Chunk]:
    layout = source.format
    assert isinstance(layout, CsvFormat)  # noqa: S101 - the caller looked
    names = [column.name for column in columns]
    malformed: list[Malformed] = []

    def keep(row: pacsv.InvalidRow) -> str:
        malformed.append(
            Malformed(
                row.number,
                f"the row has {row.actual_columns:,} columns where the header has "
                f"{row.expected_columns:,}",
                row.text[:RAW_TEXT_LIMIT],
            )
        )
        if len(malformed) > source.max_rejected_rows:
            return "error"
        return "skip"

    try:
        reader = pacsv.open_csv(
            pa.PythonFile(text, mode="r"),
            read_options=pacsv.ReadOptions(
                # A row must fit into a block, and the parser reads up to 32 of them ahead.
                # One thread, as only then rows have numbers.
                block_size=max(1024 * 1024, source.max_row_bytes + 2),
                column_names=names,
                use_threads=False,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=layout.delimiter,
                quote_char=layout.quote or False,
                double_quote=True,
                newlines_in_values=layout.newlines_in_values,
                ignore_empty_lines=False,
                invalid_row_handler=keep,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                null_values=layout.null_values,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )
        with reader:
            yield from _numbered(source, reader, text, malformed)
    except pa.ArrowInvalid as error:
        raise _why(source, text, malformed, error) from None


def _why(
    source: Source, text: CheckedCsv, malformed: list[Malformed], error: pa.ArrowInvalid
) -> RefusedError:
    if text.failure:
        return text.failure
    if len(malformed) > source.max_rejected_rows:
        return too_many_rejected(source)
    if "Empty CSV file" in str(error):
        return _no_rows()
    return RefusedError(f"the file cannot be read as CSV ({shown(str(error))}): deliver it again.")


def too_many_rejected(source: Source) -> RefusedError:
    """The refusal of a file most of whose rows are bad."""
    return RefusedError(
        f"more than {source.max_rejected_rows:,} rows are bad, so that the whole file looks wrong: "
        "correct it, or raise max_rejected_rows."
    )


def _no_rows() -> RefusedError:
    return RefusedError("there is a header and no row: deliver at least one row.", line=2)


def _numbered(
    source: Source,
    reader: pacsv.CSVStreamingReader,
    text: CheckedCsv,
    malformed: list[Malformed],
) -> Iterator[Chunk]:
    """Join blocks into chunks, and give each row the number of its record in the file."""
    record, delivered = 1, 0
    waiting: list[pa.RecordBatch] = []
    for batch in _with_end(reader):
        if batch is not None:
            waiting.append(batch)
            rows = sum(part.num_rows for part in waiting)
            size = sum(part.nbytes for part in waiting)
            if rows < source.chunk_rows and size < CHUNK_BYTES:
                continue
        if not waiting and not malformed:
            break
        table = pa.Table.from_batches(waiting, reader.schema)
        waiting = []
        while table.num_rows or (batch is None and malformed):
            count = min(source.chunk_rows, table.num_rows)
            if batch is not None and count < source.chunk_rows and table.nbytes < CHUNK_BYTES:
                waiting = table.to_batches()
                break
            part, table = table.slice(0, count), table.slice(count)
            gaps = np.array([bad.row for bad in malformed], np.int64)
            numbers = _skipping(record, count, gaps)
            last = int(numbers[-1]) if count else int(gaps[-1])
            if batch is None and not table.num_rows:
                last = max([last, *gaps.tolist()])
            here = [bad for bad in malformed if bad.row <= last]
            del malformed[: len(here)]
            record = last + 1
            chunk = _without_blank(part, numbers, text)
            chunk.malformed = [Malformed(b.row + 1, b.reason, b.text) for b in here]
            chunk.rows = chunk.rows + 1
            delivered += chunk.delivered
            if chunk.delivered:
                yield chunk
    if not delivered:
        raise _no_rows()


def _with_end(reader: pacsv.CSVStreamingReader) -> Iterator[pa.RecordBatch | None]:
    yield from reader
    yield None


def _skipping(first: int, count: int, gaps: np.ndarray) -> np.ndarray:
    """`count` increasing numbers from `first` on that are none of the sorted `gaps`."""
    places = np.arange(count)
    passed = np.searchsorted(gaps - first - np.arange(len(gaps)), places, side="right")
    return first + places + passed


def _without_blank(part: pa.Table, numbers: np.ndarray, text: CheckedCsv) -> Chunk:
    """Without the empty lines, which are no rows."""
    if not text.blank or not len(numbers):
        return Chunk(part, numbers)
    blank = np.isin(numbers, np.array(text.blank))
    text.blank = [record for record in text.blank if record > numbers[-1]]
    if not blank.any():
        return Chunk(part, numbers)
    return Chunk(part.filter(pa.array(~blank)), numbers[~blank])


@contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    if path.stat().st_size == 0:
        raise RefusedError("the file is empty: deliver a Parquet file with at least one row.")
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowException, ValueError):
        raise RefusedError(
            "the file is not Parquet, or is cut off: deliver it again, or declare format: csv."
        ) from None
    with file:
        if file.metadata.num_rows == 0:
            raise RefusedError("the file has columns and no row: deliver at least one row.")
        yield file


def text_chunks(file: pq.ParquetFile, rows: int) -> Iterator[Chunk]:
    """The chunks of a Parquet file whose columns are text."""
    first = 1
    for batch in file.iter_batches(batch_size=rows, use_threads=False):
        yield Chunk(pa.Table.from_batches([batch]), np.arange(first, first + batch.num_rows))
        first += batch.num_rows


def _parquet_chunks(source: Source, columns: list[Column], file: pq.ParquetFile) -> Iterator[Chunk]:
    row = 1
    try:
        for batch in file.iter_batches(batch_size=source.chunk_rows, use_threads=False):
            table = pa.Table.from_batches([batch]).rename_columns([c.name for c in columns])
            for place, kind in enumerate(table.schema.types):
                if pa.types.is_dictionary(kind):
                    plain = pc.cast(table.column(place), kind.value_type)
                    table = table.set_column(place, columns[place].name, plain)
            yield Chunk(table, np.arange(row, row + table.num_rows))
            row += table.num_rows
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):
            raise  # the disk's failure, not the file's
        raise RefusedError(
            f"the Parquet data is damaged ({shown(str(error))}): deliver the file again."
        ) from None
