"""CSV text on its way from a file to the parser: checked strictly, in bounded pieces.

The parser behind it forgives what loses data: a quote that never closes swallows the rest of a
file, and a wrong encoding surfaces without a place. So every byte is checked here first, with
vector operations, and a failure names line and column.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np

from include.ingestion.errors import RefusedError, shown
from include.ingestion.sources import CsvFormat

PIECE_BYTES = 256 * 1024
"""How much is read and checked at a time; the parser holds up to 32 such pieces."""

_GZIP = b"\x1f\x8b"
_NEWLINE, _RETURN = 10, 13
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class CheckedCsv(io.RawIOBase):
    """A CSV file as UTF-8 without its header: a stream of whole lines, each of them checked.

    Attributes:
        header: the names of the first line, as they are written.
        failure: why reading ended early, as it may reach the caller in another shape.
    """

    def __init__(self, path: Path, layout: CsvFormat, max_line_bytes: int) -> None:
        super().__init__()
        self._layout = layout
        self._limit = max_line_bytes
        self._raw = _open(path)
        self._decoder: codecs.IncrementalDecoder | None = None
        self._utf8 = codecs.lookup(layout.encoding).name in ("utf-8", "utf-8-sig")
        self._tail = b""
        self._ready = bytearray()
        self._ended = False
        self._line = 1
        self._record = 1
        self._record_empty = True
        self._quote_line: int | None = None
        self.header: list[str] = []
        self._blank: list[np.ndarray] = []
        self.failure: RefusedError | None = None
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file as well."""
        self._raw.close()
        super().close()

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes of checked text; nothing at the end.

        Whole lines of one piece, where a line is a row. The parser finds a row in two parts at
        most, so where rows may have line breaks it gets as much as it asks for.

        Raises:
            RefusedError: the text that comes next is broken.
        """
        wanted = 1 if size > 0 and not self._layout.newlines_in_values else size
        try:
            while not self._ended and (size < 0 or len(self._ready) < wanted):
                self._ready += self._next_lines()
        except RefusedError as error:
            self.failure = error
            raise
        size = len(self._ready) if size < 0 else size
        piece = bytes(memoryview(self._ready)[:size])
        del self._ready[:size]
        return piece

    def blank_up_to(self, last: int) -> np.ndarray:
        """The numbers of the records that are empty lines, from the last call up to `last`.

        The first record after the header is number 1.
        """
        found = np.concatenate([np.empty(0, np.int64), *self._blank])
        end = np.searchsorted(found, last, side="right")
        self._blank = [found[end:]] if end < len(found) else []
        return found[:end]

    def _read_header(self) -> None:
        first = self._read_raw()
        if not first:
            raise RefusedError("the file is empty: deliver a header line and at least one row.")
        for mark, encoding in _MARKS:
            if not first.startswith(mark):
                continue
            if codecs.lookup(self._layout.encoding).name.startswith(encoding):
                break
            if mark == codecs.BOM_UTF8 and not self._utf8:
                encoding = "utf-8"
            raise RefusedError(
                f"the file is {encoding.upper()}, and the source is declared as "
                f"{self._layout.encoding}: save it as {self._layout.encoding}, or declare "
                f"encoding: {encoding}.",
                line=1,
            )
        if self._utf8 and first.startswith(codecs.BOM_UTF8):
            first = first[len(codecs.BOM_UTF8) :]
        text = self._converted(first)
        while b"\n" not in text and not self._ended:
            if len(text) > self._limit:
                raise self._too_long(1)
            text += self._converted(self._read_raw())
        line, newline, self._tail = text.partition(b"\n")
        if len(line) > self._limit:
            raise self._too_long(1)
        self._check_text(line)
        self.header = self._names(line.rstrip(b"\r").decode())
        self._line = 2 if newline else 1

    def _names(self, line: str) -> list[str]:
        layout = self._layout
        if not line.strip():
            raise RefusedError("the header is an empty line: put the column names there.", line=1)
        quote = layout.quote
        style: Literal[0, 3] = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        reader = csv.reader(
            [line], delimiter=layout.delimiter, quotechar=quote, quoting=style, strict=True
        )
        try:
            return next(reader)
        except csv.Error:
            raise RefusedError(
                "a quote in the header is not closed: close it or remove it.", line=1
            ) from None

    def _next_lines(self) -> bytes:
        """The whole lines that the next piece of the file completes, checked."""
        text = self._tail + self._converted(self._read_raw())
        if self._ended:
            self._tail, lines = b"", text
        else:
            end = text.rfind(b"\n") + 1
            lines, self._tail = text[:end], text[end:]
        if lines:
            self._check_text(lines)
            self._check_structure(lines)
        if len(self._tail) > self._limit:
            raise self._too_long(self._line)
        if self._ended and self._quote_line is not None:
            raise RefusedError(
                "a quoted value begins here and never ends: close the quote.",
                line=self._quote_line,
            )
        return lines

    def _read_raw(self) -> bytes:
        try:
            piece = self._raw.read(PIECE_BYTES)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise RefusedError(
                "the gzip data is cut off or damaged: deliver the file again.", line=self._line
            ) from None
        self._ended = not piece
        return piece

    def _converted(self, piece: bytes) -> bytes:
        """The piece as UTF-8; what is UTF-8 already is checked later, by whole lines."""
        if self._utf8:
            return piece
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder(self._layout.encoding)()
        try:
            return self._decoder.decode(piece, final=self._ended).encode()
        except UnicodeDecodeError as error:
            before = self._tail + error.object[: error.start]
            raise self._undecodable(before, error) from None

    def _check_text(self, lines: bytes) -> None:
        if (position := lines.find(b"\0")) >= 0:
            raise self._at(
                lines[:position],
                "there is a NUL byte: the file is damaged or is not text; deliver it again.",
            )
        if self._utf8 and not lines.isascii():
            try:
                lines.decode()
            except UnicodeDecodeError as error:
                raise self._undecodable(lines[: error.start], error) from None

    def _check_structure(self, lines: bytes) -> None:
        """Quotes, line ends and line lengths; finds the blank records on the way."""
        array = np.frombuffer(lines, np.uint8)
        newlines = np.flatnonzero(array == _NEWLINE)
        ends = newlines if lines.endswith(b"\n") else np.append(newlines, len(lines))
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = ends - starts
        if lengths.max() > self._limit:
            raise self._too_long(self._line + int(np.argmax(lengths > self._limit)))
        inside = np.zeros(len(ends), bool)
        quotes = np.empty(0, np.int64)
        open_before = self._quote_line is not None
        if self._layout.quote:
            quotes = np.flatnonzero(array == ord(self._layout.quote))
            self._check_quotes(lines, array, quotes)
            inside = (np.searchsorted(quotes, ends) + open_before) % 2 == 1
            self._follow_quotes(lines, quotes, ends, inside)
        if b"\r" in lines:
            self._check_returns(lines, array, quotes, open_before)
            lengths = lengths - ((lengths > 0) & (array[np.maximum(ends - 1, 0)] == _RETURN))
        # A record ends at a line end outside quotes; it is blank if it began there too.
        began_outside = np.concatenate(([not open_before], ~inside[:-1]))
        blank = began_outside & ~inside & (lengths == 0)
        if blank.any():
            before = np.concatenate(([0], np.cumsum(~inside)[:-1]))
            self._blank.append(self._record + before[blank])
        self._record += int((~inside).sum())
        self._line += len(newlines)

    def _check_quotes(self, lines: bytes, array: np.ndarray, quotes: np.ndarray) -> None:
        """A quote opens where a value begins and closes where it ends, or it is doubled."""
        if not len(quotes):
            return
        opening = (np.arange(len(quotes)) + (self._quote_line is not None)) % 2 == 0
        edge = np.zeros(256, bool)
        edge[[ord(self._layout.delimiter), _NEWLINE, _RETURN]] = True
        doubled = np.diff(quotes) == 1
        before = np.where(quotes == 0, _NEWLINE, array[np.maximum(quotes - 1, 0)])
        after = np.where(
            quotes == len(array) - 1, _NEWLINE, array[np.minimum(quotes + 1, len(array) - 1)]
        )
        good_open = edge[before] | np.concatenate(([False], doubled))
        good_close = edge[after] | np.concatenate((doubled, [False]))
        broken = np.where(opening, ~good_open, ~good_close)
        if broken.any():
            position = int(quotes[np.argmax(broken)])
            raise self._at(
                lines[:position],
                "there is a quote inside a value: put the whole value in quotes and double the "
                "quotes inside it.",
            )

    def _follow_quotes(
        self, lines: bytes, quotes: np.ndarray, ends: np.ndarray, inside: np.ndarray
    ) -> None:
        """Refuse values that go over lines where they may not; remember the open one."""
        if not self._layout.newlines_in_values and inside.any():
            end = ends[np.argmax(inside)]
            position = int(quotes[np.searchsorted(quotes, end) - 1])
            raise self._at(
                lines[:position],
                "a quoted value begins here and is still open at the end of the line: close the "
                "quote, or declare newlines_in_values: true.",
            )
        open_after = (len(quotes) + (self._quote_line is not None)) % 2 == 1
        if not open_after:
            self._quote_line = None
        elif len(quotes):
            self._quote_line = self._line + lines.count(b"\n", 0, int(quotes[-1]))

    def _check_returns(
        self, lines: bytes, array: np.ndarray, quotes: np.ndarray, open_before: bool
    ) -> None:
        returns = np.flatnonzero(array == _RETURN)
        following = np.where(
            returns == len(array) - 1, _NEWLINE, array[np.minimum(returns + 1, len(array) - 1)]
        )
        outside = (np.searchsorted(quotes, returns) + open_before) % 2 == 0
        alone = outside & (following != _NEWLINE)
        if alone.any():
            raise self._at(
                lines[: int(returns[np.argmax(alone)])],
                "there is a carriage return that ends no line: end lines with LF or CRLF.",
            )

    def _at(self, before: bytes, message: str) -> RefusedError:
        """A failure after these bytes, with its line and column."""
        line = self._line + before.count(b"\n")
        unfinished = before[before.rfind(b"\n") + 1 :].decode(errors="replace")
        layout = self._layout
        if layout.quote:
            parts = unfinished.split(layout.quote)
            unfinished = "".join(parts[::2])
        place = unfinished.count(layout.delimiter)
        column: str | int = place + 1
        if line > 1 and place < len(self.header):
            column = shown(self.header[place])
        return RefusedError(message, line=line, column=column)

    def _undecodable(self, before: bytes, error: UnicodeDecodeError) -> RefusedError:
        byte = error.object[error.start]
        return self._at(
            before,
            f"byte 0x{byte:02x} is not {self._layout.encoding}: save the file in that encoding, "
            "or declare the encoding it has (Excel often writes cp1252).",
        )

    def _too_long(self, line: int) -> RefusedError:
        return RefusedError(
            f"the line is longer than {self._limit:,} bytes: check its delimiter and line ends, "
            "or raise max_row_bytes.",
            line=line,
        )


def _open(path: Path) -> BinaryIO:
    file = path.open("rb")
    start = file.read(2)
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if start == _GZIP else file
