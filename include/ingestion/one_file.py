"""One file, or extract, from its claim to the archive."""

from __future__ import annotations

import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from snowflake.connector.errors import Error as SnowflakeError

from include.ingestion.boundary import reading
from include.ingestion.database import (
    Extract,
    open_extract,
)
from include.ingestion.errors import (
    IngestionError,
    RefusedError,
    TakenOverError,
    shown,
)
from include.ingestion.landing import Delivery, archive, set_aside
from include.ingestion.raw import Accounts, Claim, Raw, as_parquet, load_table
from include.ingestion.reading import Opened, open_file, too_many_rejected
from include.ingestion.results import Checkpoint, FileResult, file_told
from include.ingestion.sources import Column, DatabaseFormat, Source
from include.ingestion.validation import Validated, validate

UPLOADS_AHEAD = 1


def load_file(
    raw: Raw, delivery: Delivery, checkpoint: Checkpoint, *, again: bool = False
) -> FileResult:
    """Load a file, and log what became of it; `again` is as in `Raw.claim`."""
    began = time.monotonic()
    return file_told(raw.source, _load(raw, delivery, checkpoint, again=again), began)


def _load(raw: Raw, delivery: Delivery, checkpoint: Checkpoint, *, again: bool) -> FileResult:
    claim = None
    try:
        claim = claim_file(raw, delivery, checkpoint, again=again)
        if claim is None:
            return unchanged(raw, delivery, checkpoint)
        committed = _stage_and_commit(raw, delivery, claim, checkpoint)
    except RefusedError as error:
        if claim is None:
            return refuse_unread(raw, delivery, error)
        return refuse(raw, delivery, claim, error)
    except TakenOverError as error:
        return taken_over(raw, delivery, claim, str(error))
    except FileNotFoundError:
        if delivery.path.exists():
            raise
        return taken_over(raw, delivery, claim, "the file is gone: another loader has moved it.")
    except (SnowflakeError, IngestionError):
        # Whoever takes a file over removes the load table and staged rows of the one who had it.
        if claim is None or _still_ours(raw, claim):
            raise
        return taken_over(raw, delivery, claim, "another loader took the file over.")
    return tidy_up(raw, delivery, claim, committed, checkpoint)


def _still_ours(raw: Raw, claim: Claim) -> bool:
    try:
        return raw.is_claimed(claim)
    except SnowflakeError:
        return True


def taken_over(raw: Raw, delivery: Delivery, claim: Claim | None, reason: str) -> FileResult:
    """Leave the file to the loader that has it now."""
    if claim is not None:
        raw.forget(claim.attempt_id)
    return FileResult(
        delivery.name, "taken over", reason=reason, load_id=claim.load_id if claim else None
    )


def tidy_up(
    raw: Raw,
    delivery: Delivery,
    claim: Claim,
    committed: _Committed,
    checkpoint: Checkpoint,
    *,
    in_chunks: bool = False,
) -> FileResult:
    """After the commit: nothing here matters to the data, and the next run does it otherwise."""
    if in_chunks:
        raw.forget(claim.attempt_id)
    else:
        raw.discard(claim, *committed.tables)
    checkpoint("tidied")
    if isinstance(raw.source.format, DatabaseFormat):
        # An extract is a copy of what the database has.
        delivery.path.unlink(missing_ok=True)
        moved = None
    else:
        moved = archive(raw.source, delivery, claim.load_id) if raw.source.archive else None
    checkpoint("archived")
    return FileResult(
        delivery.name,
        "loaded",
        accounts=committed.accounts,
        added_columns=committed.added,
        moved_to=moved,
        load_id=claim.load_id,
    )


def unchanged(
    raw: Raw, delivery: Delivery, checkpoint: Checkpoint, *, chunks: Path | None = None
) -> FileResult:
    """The content is loaded already; an earlier run may have ended before it archived the file."""
    load_id = raw.committed_before(delivery.name) or ""
    for attempt in raw.attempts_of(load_id):
        _forget(raw, attempt, chunks)
    moved = archive(raw.source, delivery, load_id) if raw.source.archive else None
    checkpoint("archived")
    return FileResult(delivery.name, "unchanged", moved_to=moved, load_id=load_id)


def refuse_unread(raw: Raw, delivery: Delivery, error: RefusedError) -> FileResult:
    """Without content that can be read there is no load to record."""
    reason = error.sentence(delivery.name)
    moved = set_aside(raw.source, delivery, secrets.token_hex(6), reason)
    return FileResult(delivery.name, "refused", reason=reason, moved_to=moved)


def _forget(raw: Raw, attempt_id: str, chunks: Path | None) -> None:
    """Remove what an attempt has left: in the warehouse, and the chunks that it cut."""
    raw.forget(attempt_id)
    if chunks is not None:
        shutil.rmtree(chunks / attempt_id, ignore_errors=True)


def claim_file(
    raw: Raw,
    delivery: Delivery,
    checkpoint: Checkpoint,
    *,
    again: bool = False,
    chunks: Path | None = None,
) -> Claim | None:
    """Claim the file and remove what earlier attempts at it left; None if it is loaded."""
    with reading(raw.source, delivery.name):
        delivery.require_readable()
        delivery.require_dated(raw.source)
        content_id = delivery.content_id(raw.source)
    checkpoint("fingerprinted")
    # Before the claim, which takes an earlier attempt's name out of the book.
    left, latest = raw.loads_before(delivery.name, content_id)
    for attempt in left:
        _forget(raw, attempt, chunks)
    checkpoint("cleaned")
    size = delivery.stamp.size
    claim = raw.claim(delivery.name, content_id, size, _attempt_id(), latest, again=again)
    if claim is not None and left:
        raw.abandon_others(delivery.name, claim)
    checkpoint("claimed")
    return claim


def _attempt_id() -> str:
    """A name for load tables and stage folders, which begins with a letter."""
    return f"a{secrets.token_hex(12)}"


def refuse(raw: Raw, delivery: Delivery, claim: Claim, error: RefusedError) -> FileResult:
    """Record why a file is refused, remove what was staged, and set the file aside."""
    reason = error.sentence(delivery.name)
    raw.refuse(claim, reason)
    raw.forget(claim.attempt_id)
    moved = set_aside(raw.source, delivery, claim.load_id, reason)
    return FileResult(
        delivery.name, "refused", reason=reason, moved_to=moved, load_id=claim.load_id
    )


@dataclass(frozen=True)
class _Committed:
    accounts: Accounts
    added: tuple[str, ...]
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Staged:
    """What lies in a load's tables, ready to be committed.

    Attributes:
        columns: of the rows.
        new_columns: those of them that the declaration does not have.
        tally: how many rows there are.
        merged: whether the rows are in the raw table already.
        extracted: how far an extract has read; None of a file.
    """

    columns: Sequence[Column]
    new_columns: Sequence[str]
    tally: Tally
    merged: bool = False
    extracted: Extract | None = None


def _stage_and_commit(
    raw: Raw, delivery: Delivery, claim: Claim, checkpoint: Checkpoint
) -> _Committed:
    require_redelivery_allowed(raw, delivery)
    load = load_table(claim.attempt_id)
    rejects = load_table(claim.attempt_id, "_REJECTS")
    tally = Tally()
    with (
        open_delivery(raw.source, delivery.path) as (opened, extracted),
        _Uploader(raw) as uploader,
    ):
        raw.create_load_table(load, opened.columns)
        for number, part in enumerate(validated(raw.source, delivery, opened, tally), start=1):
            if part.good.num_rows:
                uploader.put(f"{claim.attempt_id}/rows", f"chunk-{number:06}.parquet", part.good)
            if part.rejects.num_rows:
                uploader.put(
                    f"{claim.attempt_id}/rejects", f"chunk-{number:06}.parquet", part.rejects
                )
            checkpoint("chunk staged")
    require_unchanged(delivery)
    checkpoint("staged")
    if tally.good:
        require_rows(raw.copy(load, f"{claim.attempt_id}/rows"), tally.good, claim)
    if tally.reasons:
        raw.create_reject_table(rejects)
        require_rows(raw.copy(rejects, f"{claim.attempt_id}/rejects"), tally.reasons, claim)
    checkpoint("copied")
    staged = Staged(opened.columns, opened.new_columns, tally, extracted=extracted)
    return commit_rows(raw, delivery.name, claim, staged, checkpoint)


@contextmanager
def open_delivery(source: Source, path: Path) -> Iterator[tuple[Opened, Extract | None]]:
    """A delivered file, or an extract with its own metadata."""
    with ExitStack() as stack:
        with reading(source, path.name):
            if isinstance(source.format, DatabaseFormat):
                found: tuple[Opened, Extract | None] = stack.enter_context(
                    open_extract(source, path)
                )
            else:
                found = stack.enter_context(open_file(source, path)), None
        yield found


def commit_rows(
    raw: Raw, name: str, claim: Claim, staged: Staged, checkpoint: Checkpoint
) -> _Committed:
    """The one transaction: rows, rejects, accounts and the entry in the ledger."""
    columns, new_columns = staged.columns, staged.new_columns
    tally, extracted = staged.tally, staged.extracted
    load, rejects = load_table(claim.attempt_id), load_table(claim.attempt_id, "_REJECTS")
    added = tuple(sorted(set(raw.prepare_table(columns)) & set(new_columns)))
    checkpoint("table ready")
    with raw.transaction():
        checkpoint("transaction begun")
        removed = 0
        if extracted is not None:
            if extracted.replaces is not None:
                removed = raw.remove_missing(load, columns, extracted.replaces)
            raw.add(load, columns, claim, name)
        elif raw.source.load != "merge":
            removed = raw.append(load, columns, claim, name)
        elif not staged.merged:
            raw.merge(load, columns, claim, name)
        checkpoint("rows merged")
        if tally.reasons:
            raw.record_rejects(rejects, claim, name)
        checkpoint("rejects recorded")
        accounts = raw.account(load, columns, claim, tally.delivered)
        checkpoint("accounted")
        raw.commit_load(claim, accounts, added, removed, extracted)
    checkpoint("committed")
    return _Committed(accounts, added, (load, rejects) if tally.reasons else (load,))


def require_redelivery_allowed(raw: Raw, delivery: Delivery) -> None:
    """Refuse another content under a name that was loaded, where that is declared."""
    if raw.source.redelivery_rule != "refuse":
        return
    if before := raw.committed_before(delivery.name):
        raise RefusedError(
            f"a file of this name with other content was loaded before (load {before}): give it a "
            "new name, or declare another redelivery rule."
        )


def require_unchanged(delivery: Delivery) -> None:
    """Go on only if the file is still the one that was read."""
    if not delivery.path.exists():
        raise TakenOverError("the file is gone: another loader has moved it.")
    if delivery.changed():
        raise IngestionError(
            f"{shown(delivery.name)} changed while it was read: it is loaded by the next run; "
            "deliver files under another name and rename them when they are complete."
        )


def require_rows(copied: int, staged: int, claim: Claim) -> None:
    """Go on only if the warehouse has copied all that was staged."""
    if copied != staged:
        raise IngestionError(
            f"The load {claim.load_id} staged {staged:,} rows and the warehouse copied "
            f"{copied:,}: nothing is committed, run again."
        )


@dataclass
class Tally:
    """Rows counted on the way."""

    delivered: int = 0
    good: int = 0
    rejected: int = 0
    reasons: int = 0


def validated(
    source: Source, delivery: Delivery, opened: Opened, tally: Tally
) -> Iterator[Validated]:
    """The chunks of a file, checked and counted."""
    columns = tuple(opened.columns)
    while True:
        with reading(source, delivery.name):
            chunk = next(opened.chunks, None)
            if chunk is None:
                return
            part = validate(source, columns, chunk, typed=opened.typed)
        tally.delivered += part.delivered
        tally.good += part.good.num_rows
        tally.rejected += part.rejected
        tally.reasons += part.rejects.num_rows
        if tally.rejected > source.max_rejected_rows:
            raise too_many_rejected(source)
        yield part


class _Uploader:
    """Uploads in the background, so that the next chunk is read meanwhile."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> _Uploader:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            while self._pending and kind is None:
                self._pending.popleft().result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def put(self, folder: str, name: str, table: pa.Table) -> None:
        """Upload a table as Parquet, soon."""
        while len(self._pending) >= UPLOADS_AHEAD:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._put, folder, name, table))

    def _put(self, folder: str, name: str, table: pa.Table) -> None:
        self._raw.put(folder, name, as_parquet(table))
