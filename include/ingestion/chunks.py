"""One large file in chunks, each of which is loaded by itself."""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from snowflake.connector.errors import Error as SnowflakeError

from include.core.logs import event
from include.ingestion.errors import (
    IngestionError,
    RefusedError,
    TakenOverError,
    shown,
)
from include.ingestion.landing import Delivery, Stamp
from include.ingestion.one_file import (
    Staged,
    Tally,
    claim_file,
    commit_rows,
    open_delivery,
    refuse,
    refuse_unread,
    require_redelivery_allowed,
    require_rows,
    require_unchanged,
    taken_over,
    tidy_up,
    unchanged,
    validated,
)
from include.ingestion.raw import Claim, as_parquet, load_table
from include.ingestion.results import Checkpoint, FileResult, file_told, no_checkpoint
from include.ingestion.session import open_raw
from include.ingestion.sources import Column, Source
from include.warehouse.connection import (
    ConnectionSettings,
    get_settings,
)


@dataclass(frozen=True)
class Split:
    """A file that was checked and cut into chunks; goes through JSON unharmed.

    Attributes:
        folder: where the chunks are; every task that loads one must see it.
        chunks: how many there are, numbered from 1.
        columns: the names in the file, new ones among them.
    """

    domain: str
    source: str
    path: str
    root: str
    stamp: tuple[int, int, int, int]
    load_id: str
    attempt_id: str
    folder: str
    chunks: int
    columns: list[dict[str, Any]]
    new_columns: list[str]
    delivered: int
    good: int
    rejected: int
    reasons: int

    def as_json(self) -> dict[str, Any]:
        """For an XCom."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Split:
        """Back from an XCom."""
        return cls(**values | {"stamp": tuple(values["stamp"])})

    @property
    def delivery(self) -> Delivery:
        """The file."""
        return Delivery(Path(self.path), Path(self.root), Stamp(*self.stamp))

    @property
    def claim(self) -> Claim:
        """The claim on it."""
        return Claim(self.load_id, self.attempt_id)


def split_file(
    source: Source,
    delivery: Delivery,
    folder: Path,
    *,
    settings: ConnectionSettings | None = None,
    checkpoint: Checkpoint = no_checkpoint,
) -> Split | FileResult:
    """Check a file whole and cut it into Parquet files; nothing is in the raw table yet.

    Run again, it makes the same chunks under the same load. Chunks of different files, and of one
    file, may then be loaded in any order and at the same time.

    Args:
        source: it must be declared with ``load: merge``.
        delivery: the file.
        folder: where the chunks go, in a folder of their own.
        settings: read from the environment if not given.
        checkpoint: called with the name of each step that is done.

    Returns:
        The split, or what became of the file if there is nothing to load: refused, unchanged, or
        taken over by another loader.

    Raises:
        IngestionError: the source cannot be loaded in parts, or see `load_source`.
    """
    if source.load != "merge":
        raise IngestionError(
            f"{source.title}: only a source with load: merge can be loaded in parallel parts, and "
            f"this is {source.load}: use load_source."
        )
    began = time.monotonic()
    with open_raw(source, settings or get_settings()) as raw:
        raw.prepare()
        try:
            claim = claim_file(raw, delivery, checkpoint, chunks=folder)
        except RefusedError as error:
            return file_told(source, refuse_unread(raw, delivery, error), began)
        except TakenOverError as error:
            return file_told(source, taken_over(raw, delivery, None, str(error)), began)
        if claim is None:
            return file_told(source, unchanged(raw, delivery, checkpoint, chunks=folder), began)
        parts = folder / claim.attempt_id
        tally = Tally()
        number = 0
        try:
            require_redelivery_allowed(raw, delivery)
            parts.mkdir(parents=True)
            with open_delivery(source, delivery.path) as (opened, _):
                for part in validated(source, delivery, opened, tally):
                    number += 1
                    _write(parts / f"{number}.rows.parquet", part.good)
                    _write(parts / f"{number}.rejects.parquet", part.rejects)
                    checkpoint("chunk written")
            require_unchanged(delivery)
            raw.prepare_table(opened.columns)
        except BaseException as error:
            shutil.rmtree(parts, ignore_errors=True)
            if isinstance(error, RefusedError):
                return file_told(source, refuse(raw, delivery, claim, error), began)
            raise
    event(
        "load.split",
        domain=source.domain,
        source=source.name,
        file=shown(delivery.name),
        load_id=claim.load_id,
        chunks=number,
        delivered=tally.delivered,
        rejected=tally.rejected,
        seconds=round(time.monotonic() - began, 3),
    )
    return Split(
        domain=source.domain,
        source=source.name,
        path=str(delivery.path),
        root=str(delivery.root),
        stamp=astuple(delivery.stamp),
        load_id=claim.load_id,
        attempt_id=claim.attempt_id,
        folder=str(parts),
        chunks=number,
        columns=[column.model_dump(mode="json") for column in opened.columns],
        new_columns=opened.new_columns,
        delivered=tally.delivered,
        good=tally.good,
        rejected=tally.rejected,
        reasons=tally.reasons,
    )


def load_chunk(
    source: Source, split: Split, number: int, *, settings: ConnectionSettings | None = None
) -> int:
    """Stage one chunk and merge it into the raw table; run again, it changes nothing.

    Returns:
        How many rows the chunk holds.

    Raises:
        IngestionError: see `load_source`.
    """
    columns = [Column.model_validate(column) for column in split.columns]
    # Of its own, as the same chunk may be loaded twice at the same time.
    run = f"{number}_{secrets.token_hex(4)}"
    table = load_table(split.attempt_id, f"_{run.upper()}")
    folder = f"{split.attempt_id}/rows_{run}"
    file = Path(split.folder) / f"{number}.rows.parquet"
    began = time.monotonic()
    with open_raw(source, settings or get_settings()) as raw:
        if not raw.is_claimed(split.claim):
            return 0
        rows = int(pq.ParquetFile(file).metadata.num_rows)
        raw.create_load_table(table, columns)
        if rows:
            raw.put(folder, f"{number}.parquet", file.read_bytes())
            require_rows(raw.copy(table, folder), rows, split.claim)
            raw.merge(table, columns, split.claim, split.delivery.name)
        raw.publish(table, _chunk_table(split, number))
    event(
        "load.chunk",
        domain=source.domain,
        source=source.name,
        file=shown(split.delivery.name),
        load_id=split.load_id,
        chunk=number,
        rows=rows,
        seconds=round(time.monotonic() - began, 3),
    )
    return rows


def finish_split(
    source: Source,
    split: Split,
    *,
    settings: ConnectionSettings | None = None,
    checkpoint: Checkpoint = no_checkpoint,
) -> FileResult:
    """When every chunk is loaded: rejects, accounts, the entry in the book, the archive.

    Raises:
        IngestionError: a chunk is missing, or see `load_source`.
    """
    columns = [Column.model_validate(column) for column in split.columns]
    claim, delivery = split.claim, split.delivery
    tally = Tally(split.delivered, split.good, split.rejected, split.reasons)
    began = time.monotonic()
    with open_raw(source, settings or get_settings()) as raw:
        if not raw.is_claimed(claim):
            if raw.committed_before(delivery.name) != claim.load_id:
                gone = FileResult(delivery.name, "taken over", load_id=claim.load_id)
                return file_told(source, gone, began)
            beside = Path(split.folder).parent
            return file_told(source, unchanged(raw, delivery, checkpoint, chunks=beside), began)
        load = load_table(claim.attempt_id)
        rejects = load_table(claim.attempt_id, "_REJECTS")
        chunks = [_chunk_table(split, number) for number in range(1, split.chunks + 1)]
        try:
            raw.create_union(load, chunks, columns)
        except SnowflakeError as error:
            raise IngestionError(
                f"{source.title}: not every chunk of {shown(delivery.name)} is loaded "
                f"({shown(str(error.raw_msg or error), 200)}): load the missing ones, then finish."
            ) from error
        require_rows(raw.count(load), tally.good, claim)
        if tally.reasons:
            raw.create_reject_table(rejects)
            for number in range(1, split.chunks + 1):
                file = Path(split.folder) / f"{number}.rejects.parquet"
                if pq.ParquetFile(file).metadata.num_rows:
                    folder = f"{claim.attempt_id}/rejects"
                    raw.put(folder, f"{number}.parquet", file.read_bytes())
            require_rows(raw.copy(rejects, f"{claim.attempt_id}/rejects"), tally.reasons, claim)
        checkpoint("copied")
        staged = Staged(columns, split.new_columns, tally, merged=True)
        committed = commit_rows(raw, delivery.name, claim, staged, checkpoint)
        # Before the file is archived: as long as it is there, the next run finds what is left.
        shutil.rmtree(split.folder, ignore_errors=True)
        result = tidy_up(raw, delivery, claim, committed, checkpoint, in_chunks=True)
    return file_told(source, result, began)


def _chunk_table(split: Split, number: int) -> str:
    return load_table(split.attempt_id, f"_{number}")


def _write(file: Path, table: pa.Table) -> None:
    file.write_bytes(as_parquet(table))
