"""Files as chunks of bounded size: columns under their declared names, rows with their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from include.ingestion.csv_text import CheckedCsv
from include.ingestion.errors import RefusedError, shown
from include.ingestion.sources import Column, CsvFormat, Source
from include.ingestion.typed import holds, type_of

BYTES = 32 * 1024 * 1024
"""Roughly how many bytes are decoded at a time."""

RAW_TEXT_LIMIT = 10_000
"""Most characters of a bad row that are kept."""

MANY_BAD_ROWS, SHORT_TEXT_LIMIT = 2_000, 250
"""After so many consecutive bad rows, only so many characters of each further one are kept."""

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
            yield Opened(columns, new, True, _parquet_chunks(source, columns, file, path))


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
        if not name:
            ends = "the header ends with a delimiter, so that " if place == len(names) - 1 else ""
            raise RefusedError(
                f"{ends}column {place + 1} has no name: name it, or remove the column.", line=line
            )
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
        column = declared.get(name) or Column(name=name, type=type_of(kind))
        if kind is not None and not holds(column, kind):
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


def _csv_chunks(source: Source, columns: list[Column], text: CheckedCsv) -> Iterator[Chunk]:
    layout = source.format
    assert isinstance(layout, CsvFormat)  # noqa: S101 - the caller looked
    names = [column.name for column in columns]
    malformed: list[Malformed] = []

    def keep(row: pacsv.InvalidRow) -> str:
        # Bad rows wait here for the good rows before them, and there may be no good rows.
        most = RAW_TEXT_LIMIT if len(malformed) < MANY_BAD_ROWS else SHORT_TEXT_LIMIT
        malformed.append(
            Malformed(
                row.number,
                f"the row has {row.actual_columns:,} columns where the header has "
                f"{row.expected_columns:,}",
                row.text[:most],
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
            if rows < source.chunk_rows and size < BYTES:
                continue
        if not waiting and not malformed:
            break
        table = pa.Table.from_batches(waiting, reader.schema)
        waiting = []
        while table.num_rows or (batch is None and malformed):
            count = min(source.chunk_rows, table.num_rows)
            if batch is not None and count < source.chunk_rows and table.nbytes < BYTES:
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
    if not len(numbers):
        return Chunk(part, numbers)
    blank = np.isin(numbers, text.blank_up_to(int(numbers[-1])))
    if not blank.any():
        return Chunk(part, numbers)
    return Chunk(part.filter(pa.array(~blank)), numbers[~blank])


# -- Parquet ---------------------------------------------------------------------------------------


@contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    if path.stat().st_size == 0:
        raise RefusedError("the file is empty: deliver a Parquet file with at least one row.")
    try:
        file = _parquet_file(path)
    except (pa.ArrowException, ValueError):
        raise RefusedError(
            "the file is not Parquet, or is cut off: deliver it again, or declare format: csv."
        ) from None
    with file:
        if file.metadata.num_rows == 0:
            raise RefusedError("the file has columns and no row: deliver at least one row.")
        yield file


def _parquet_file(path: Path, **options: Any) -> pq.ParquetFile:
    # With a buffer, a column is read piece by piece instead of a whole row group at once.
    return pq.ParquetFile(
        path,
        pre_buffer=False,
        buffer_size=1024 * 1024,
        page_checksum_verification=True,
        **options,
    )


def text_chunks(file: pq.ParquetFile, rows: int) -> Iterator[Chunk]:
    """The chunks of a Parquet file whose columns are text."""
    first = 1
    for batch in file.iter_batches(batch_size=rows, use_threads=False):
        yield Chunk(pa.Table.from_batches([batch]), np.arange(first, first + batch.num_rows))
        first += batch.num_rows


def _parquet_chunks(
    source: Source, columns: list[Column], file: pq.ParquetFile, path: Path
) -> Iterator[Chunk]:
    """Chunks whose decoded size is bounded, however small the file is."""
    names = [column.name for column in columns]
    row, rows, size = 1, 0, 0
    waiting: list[pa.RecordBatch] = []
    try:
        for batch in _decoded(source, file, path):
            if rows and (rows + batch.num_rows > source.chunk_rows or size + batch.nbytes > BYTES):
                yield _chunk(waiting, names, row)
                waiting, row, rows, size = [], row + rows, 0, 0
            waiting.append(batch)
            rows += batch.num_rows
            size += batch.nbytes
        if waiting:
            yield _chunk(waiting, names, row)
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):
            raise  # the disk's failure, not the file's
        raise RefusedError(
            f"the Parquet data is damaged ({shown(str(error))}): deliver the file again."
        ) from None


def _chunk(batches: list[pa.RecordBatch], names: list[str], row: int) -> Chunk:
    table = pa.Table.from_batches(batches).rename_columns(names)
    return Chunk(table, np.arange(row, row + table.num_rows))


def _decoded(source: Source, file: pq.ParquetFile, path: Path) -> Iterator[pa.RecordBatch]:
    """The rows in batches of plain columns, each of which has been validated."""
    row = 1
    with _Layout(source, file, path) as layout:
        for count, groups in groupby(range(file.num_row_groups), layout.rows_at_once):
            for encoded in file.iter_batches(count, list(groups), use_threads=False):
                # Lengths, offsets and dictionary indices may point anywhere, and texts may not be
                # valid UTF-8. Later steps trust them, so they are checked here.
                encoded.validate(full=True)
                for batch in _plain(encoded):
                    _require_short_rows(source, batch, row)
                    yield batch
                    row += batch.num_rows


class _Layout:
    """How many rows of a row group may be decoded at once, judging by what its columns hold.

    A text that a dictionary holds once may be the value of every row, so every row may be as long
    as the longest text there. Apart from compression, other texts take as much room in the file as
    in memory, so their mean length counts. In a large group the longest rows may be adjacent.
    """

    def __init__(self, source: Source, file: pq.ParquetFile, path: Path) -> None:
        schema = file.schema_arrow
        self._source, self._path, self._metadata = source, path, file.metadata
        texts = [field for field in schema if _is_text(field.type)]
        self._texts = [field.name for field in texts]
        self._dense = any(not pa.types.is_dictionary(field.type) for field in texts)
        self._fixed = 16 * len(schema)
        self._stack = ExitStack()
        self._file: pq.ParquetFile | None = None

    def __enter__(self) -> _Layout:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def rows_at_once(self, number: int) -> int:
        """The number of rows for the row group `number`: a power of two, or `chunk_rows`.

        Raises:
            RefusedError: rows are longer than the source allows.
        """
        # Never ask for the metadata of a single column: if it is damaged, Arrow aborts the process.
        group, most = self._metadata.row_group(number), self._source.chunk_rows
        total = max(group.total_byte_size, 0)
        rows = BYTES // (self._fixed + total)
        if self._texts and rows < min(most, group.num_rows):
            mean = total // max(group.num_rows, 1)
            # The file holds a text at most twice: in a dictionary and in a page.
            self._require_short((mean - 4 * self._fixed) // 2)
            longest = self._longest(number)
            rows = BYTES // (self._fixed + mean + sum(longest.values()))
            if total > 2 * BYTES and self._dense:
                rows = min(rows, 2 * BYTES // self._source.max_row_bytes)
        elif not self._texts:
            rows = BYTES // self._fixed
        return most if rows >= most else 1 << max(rows, 1).bit_length() - 1

    def _longest(self, number: int) -> dict[str, int]:
        """The bytes of the longest text in each dictionary, without decoding the rows."""
        if self._file is None:
            file = _parquet_file(self._path, read_dictionary=self._texts)
            self._file = self._stack.enter_context(file)
        found: dict[str, int] = {}
        for batch in self._file.iter_batches(1, [number], self._texts, use_threads=False):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                column.validate(full=True)
                found[name] = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
                self._require_short(found[name], name)
            break
        return found

    def _require_short(self, length: int, column: str | None = None) -> None:
        if length > self._source.max_row_bytes:
            raise RefusedError(
                f"it holds a text of {length:,} bytes or more: shorten it, or raise max_row_bytes, "
                f"which is {self._source.max_row_bytes:,}.",
                column=shown(column) if column else None,
            )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch without dictionaries, halved as often as needed to bound its size."""
    size = batch.nbytes
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and _is_text(column.type):
            lengths = pc.binary_length(column.dictionary).take(column.indices)
            size += pc.sum(lengths).as_py() or 0
    if size > 2 * BYTES and batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _plain(batch.slice(0, half))
        yield from _plain(batch.slice(half))
        return
    columns = [
        pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _require_short_rows(source: Source, batch: pa.RecordBatch, row: int) -> None:
    texts = [column for column in batch.columns if _is_text(column.type)]
    if sum(column.nbytes for column in texts) <= source.max_row_bytes:
        return
    lengths = np.zeros(batch.num_rows, np.int64)
    for column in texts:
        lengths += pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    if lengths.max() > source.max_row_bytes:
        place = int(np.argmax(lengths > source.max_row_bytes))
        raise RefusedError(
            f"row {row + place:,} holds {lengths[place]:,} bytes of text: shorten it, or raise "
            f"max_row_bytes, which is {source.max_row_bytes:,}."
        )
