"""From a delivered file to its raw table, so that nothing is lost and nothing comes twice.

A file is claimed, read and validated in chunks, staged, copied into a load table, and brought into
the raw table by one transaction, which also enters the load in ``RAW.META.LOADS``. Only then the
file is archived. Whatever ends the loader, and wherever, the next run finds the claim without its
end, removes what the attempt left, and begins the file again.

``load_source`` does all of it in one process. ``split_file``, ``load_chunk`` and ``finish_split``
do the same for one file in tasks of their own, so that chunks load in parallel.
"""

from __future__ import annotations

import errno
import secrets
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from snowflake.connector.errors import Error as SnowflakeError
from snowflake.connector.errors import OperationalError

from include.core.logs import event
from include.ingestion.boundary import reading
from include.ingestion.comparison import (
    UNFINISHED,
    Comparison,
    Difference,
    Differences,
    Scope,
    differences,
    due,
    is_day,
    require_comparable,
    within,
)
from include.ingestion.database import (
    Extract,
    Extraction,
    Span,
    extract,
    only_loader,
    open_extract,
    rows_hash,
)
from include.ingestion.errors import (
    IngestionError,
    MissingDeliveryError,
    RefusedError,
    TakenOverError,
    shown,
)
from include.ingestion.landing import Delivery, Stamp, archive, discover, landing_folder, set_aside
from include.ingestion.pickup import name_unusable, take_from_stage
from include.ingestion.raw import Accounts, Claim, Raw, as_parquet, load_table
from include.ingestion.reading import Opened, open_file, too_many_rejected
from include.ingestion.sources import Column, DatabaseFormat, Source
from include.ingestion.validation import Validated, validate
from include.warehouse.connection import (
    ConnectionSettings,
    WarehouseUnreachableError,
    connect,
    get_settings,
)

Status = Literal["loaded", "unchanged", "refused", "taken over"]

STEPS = (
    "discovered",
    "fingerprinted",
    "cleaned",
    "claimed",
    "chunk staged",
    "staged",
    "copied",
    "table ready",
    "transaction begun",
    "rows merged",
    "rejects recorded",
    "accounted",
    "committed",
    "tidied",
    "archived",
)
"""The boundaries at which a load may be interrupted, in order."""

Checkpoint = Callable[[str], None]
"""Called with the name of each step that is done."""

UPLOADS_AHEAD = 1
PATIENCE_SECONDS = 60.0
"""How long a warehouse that does not answer is asked again."""


def _no_checkpoint(_: str) -> None:
    pass


@dataclass(frozen=True)
class FileResult:
    """What became of one file.

    Attributes:
        file: its name.
        status: loaded, unchanged (the same content was loaded before), refused, or taken over by
            another loader.
        accounts: the rows, if it was loaded.
        added_columns: columns that the raw table got because of it.
        reason: why it was refused, as one sentence with file, line and column.
        moved_to: where the file is now, if it left the landing folder.
        load_id: the load in ``RAW.META.LOADS``.
    """

    file: str
    status: Status
    accounts: Accounts | None = None
    added_columns: tuple[str, ...] = ()
    reason: str | None = None
    moved_to: Path | None = None
    load_id: str | None = None


@dataclass(frozen=True)
class SourceResult:
    """What became of a source's deliveries, in the order of delivery.

    Attributes:
        source: the domain and name of the source.
        files: one result per delivery.
        comparison: for a database, the result of a comparison with the raw table, if it was due.
    """

    source: str
    files: tuple[FileResult, ...]
    comparison: Comparison | None = None

    @property
    def accounts(self) -> Accounts:
        """The rows of all files together."""
        known = [file.accounts for file in self.files if file.accounts]
        return Accounts(
            delivered=sum(one.delivered for one in known),
            loaded=sum(one.loaded for one in known),
            rejected=sum(one.rejected for one in known),
            superseded=sum(one.superseded for one in known),
        )

    @property
    def refused(self) -> list[FileResult]:
        """The files that were refused."""
        return [file for file in self.files if file.status == "refused"]


def load_source(
    source: Source,
    *,
    settings: ConnectionSettings | None = None,
    landing: Path | None = None,
    span: Span | None = None,
    compare_all: bool = False,
    checkpoint: Checkpoint = _no_checkpoint,
) -> SourceResult:
    """Load everything that has landed for a source; safe to run again after anything.

    A bad file is refused and moved to the rejected area, and the others load. Of a database what
    has changed since the last load is extracted first.

    Args:
        source: what to load.
        settings: read from the environment if not given.
        landing: the landing folder; read from the environment if not given.
        span: of a database, extract this range of event time instead and let it replace what the
            raw table has of that range.
        compare_all: for a database, compare all of it with the raw table after the load, even if
            no comparison is due and whatever earlier ones found.
        checkpoint: told of each step.

    Raises:
        MissingDeliveryError: nothing has landed, and the source must deliver.
        IngestionError: the warehouse or the disk does not work; run again when it does.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    settings = settings or get_settings()
    root = landing or landing_folder(settings)
    if compare_all:
        require_comparable(source)
    if isinstance(source.format, DatabaseFormat):
        return _load_from_database(source, settings, root, span, compare_all, checkpoint)
    taken = take_from_stage(source, root, settings=settings)
    files = refuse_names(source, taken.unusable)
    deliveries = discover(source, root)
    checkpoint("discovered")
    if not deliveries and not files:
        if source.if_missing == "skip":
            return SourceResult(source.title, ())
        where = " or ".join(str(root / pattern) for pattern in source.patterns)
        if source.stage is not None:
            where += f" or in @{source.stage}/"
        raise MissingDeliveryError(
            f"{source.title}: nothing has been delivered: put a file at {where}, or declare "
            "if_missing: skip."
        )
    if deliveries:
        files += _load_files(source, settings, deliveries, checkpoint)
    return _told(source, SourceResult(source.title, tuple(files)))


def _load_files(
    source: Source,
    settings: ConnectionSettings,
    deliveries: Sequence[Delivery],
    checkpoint: Checkpoint,
) -> list[FileResult]:
    files = []
    with _raw(source, settings) as raw:
        raw.prepare()
        held = _held(raw, deliveries)
        for place, delivery in enumerate(deliveries):
            # What a replacing source holds is the last of its deliveries, be it an old content.
            again = source.load == "replace" and place > held
            result = _load_file(raw, delivery, checkpoint, again=again)
            held = place if result.status == "loaded" else held
            files.append(result)
    return files


def refuse_names(source: Source, names: Sequence[str]) -> list[FileResult]:
    """The results of files in a stage whose names cannot be used; they stay there."""
    return [FileResult(name, "refused", reason=name_unusable(source, name)) for name in names]


def _load_from_database(
    source: Source,
    settings: ConnectionSettings,
    root: Path,
    span: Span | None,
    compare_all: bool,
    checkpoint: Checkpoint,
) -> SourceResult:
    with only_loader(source, root), _raw(source, settings) as raw:
        raw.prepare()
        raw.prepare_table(source.columns)
        since = scope = overlap = None
        known: dict[str, Difference] = {}
        if span is None:
            so_far = raw.progress()
            since, overlap, known = so_far.watermark, so_far.overlap, so_far.differences
            scope = Scope() if compare_all else due(source, so_far.last, so_far.everything, since)
        read = extract(source, root, since=since, span=span, count=scope, settings=settings)
        checkpoint("discovered")
        if read.delivery and overlap and rows_hash(read.delivery.path) == overlap:
            # Only what the last load has read already: there is nothing new.
            read.delivery.path.unlink(missing_ok=True)
            files = []
        else:
            files = [_load_file(raw, read.delivery, checkpoint)] if read.delivery else []
        compared = None
        if scope is not None and all(file.status == "loaded" for file in files):
            seen = {} if compare_all else known
            if read.days is not None or read.problem:
                # Recorded before it starts, so that after a kill not every load tries it again.
                begun = raw.begin_comparison(Comparison(scope, problem=UNFINISHED).after(known))
                compare = partial(
                    _compare, raw, root, settings, scope, read, seen, checkpoint, files
                )
                compared = _compare_safely(source, scope, compare).after(known)
                with suppress(SnowflakeError) if compared.problem else nullcontext():
                    raw.end_comparison(begun, compared)
            elif compare_all:
                compared = Comparison(scope, problem="databases of this kind cannot be compared.")
    return _told(source, SourceResult(source.title, tuple(files), compared))


def _compare_safely(source: Source, scope: Scope, compare: Callable[[], Comparison]) -> Comparison:
    """Compare; if the comparison fails, what was loaded stays loaded."""
    try:
        return compare()
    except SnowflakeError as error:
        said = shown(str(error.raw_msg or error), 300)
        return Comparison(scope, problem=f"the warehouse failed ({said}).")
    except IngestionError as error:
        return Comparison(scope, problem=str(error).removeprefix(f"{source.title}: "))


def _compare(
    raw: Raw,
    root: Path,
    settings: ConnectionSettings,
    scope: Scope,
    read: Extraction,
    known: Differences,
    checkpoint: Checkpoint,
    files: list[FileResult],
) -> Comparison:
    """Compare what was read with the raw table, and extract again the days that differ.

    Days on which the source has no rows are not extracted again. Nor are days that differ as they
    did before: their rejected rows would only be rejected again. Rows that only the raw table has
    stay there. The result of loading the days is added to `files`.
    """
    if read.days is None:
        return Comparison(scope, problem=read.problem)
    there, here = within(read.days, scope), within(raw.days(scope), scope)
    apart = differences(there, here)
    again = tuple(
        day
        for day, one in apart.items()
        if one.source_rows and (day not in known or known[day].apart != one.apart)
    )
    found = 0
    if again:
        more = extract(raw.source, root, days=again, count=scope, settings=settings)
        if more.delivery:
            file = _load_file(raw, more.delivery, checkpoint)
            files.append(file)
            if file.accounts is None:
                return Comparison(scope, problem=file.reason)
            found = file.accounts.loaded
        if more.days is None:
            return Comparison(scope, problem=more.problem)
        left = differences(more.days, raw.days(scope))
        apart = {day: one for day, one in apart.items() if day not in again}
        apart |= {day: left[day] for day in again if day in left}
    days = len({*there, *here})
    return Comparison(scope, days, extracted=again, found=found, differences=apart)


def _told(source: Source, result: SourceResult) -> SourceResult:
    event(
        "load.source",
        level="warning" if result.refused else "info",
        domain=source.domain,
        source=source.name,
        files=len(result.files),
        refused=len(result.refused),
        **asdict(result.accounts),
    )
    if compared := result.comparison:
        event(
            "load.compared",
            level="warning" if compared.is_news else "info",
            domain=source.domain,
            source=source.name,
            first_day=compared.scope.first and compared.scope.first.isoformat(),
            days=compared.days,
            extracted=len(compared.extracted),
            found=compared.found,
            days_apart=len(compared.differences),
            only_in_source=compared.only_in_source,
            only_in_raw=compared.only_in_raw,
            new=list(filter(is_day, compared.new))[:10] or None,
            problem=compared.problem,
        )
    return result


def _file_told(source: Source, result: FileResult, began: float) -> FileResult:
    """What became of a file, of whose rows the counts alone are told."""
    event(
        "load.file",
        level="warning" if result.status == "refused" else "info",
        domain=source.domain,
        source=source.name,
        file=shown(result.file),
        status=result.status,
        load_id=result.load_id,
        **(asdict(result.accounts) if result.accounts else {}),
        added_columns=list(result.added_columns) or None,
        reason=result.reason,
        seconds=round(time.monotonic() - began, 3),
    )
    return result


def prepare_sources(
    sources: Sequence[Source], *, settings: ConnectionSettings | None = None
) -> None:
    """Create what sources of a domain are loaded into, so that it can be read before a delivery.

    When all of it is there, this is one query.

    Raises:
        IngestionError: a column of a raw table has another type than is declared.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    first, *others = sources
    with _raw(first, settings or get_settings()) as raw:
        raws = [raw, *(Raw(raw.connection, source) for source in others)]
        raw.prepare(raws[1:])
        for one in raws:
            one.prepare_table([column for column in one.source.columns if not column.optional])


def _patience() -> Iterator[float]:
    """The pauses between two tries of a request, until it is given up."""
    waited, pause = 0.0, 0.5
    while waited < PATIENCE_SECONDS:
        yield pause
        waited += pause
        pause = min(2 * pause, 10.0)
    raise OperationalError(msg=f"no answer for {waited:.0f} seconds, tried again and again")


@contextmanager
def _raw(source: Source, settings: ConnectionSettings) -> Iterator[Raw]:
    """The raw database, whose failures become one sentence."""
    try:
        with connect(
            settings, database="RAW", as_loader=True, query_tag={"load": source.title}
        ) as connection:
            # The connector would ask a warehouse that is gone for ever, and its network_timeout
            # would cancel long statements as well.
            connection.__dict__["_backoff_policy"] = _patience
            yield Raw(connection, source)
    except SnowflakeError as error:
        said = shown(str(error.raw_msg or error), 300)
        raise IngestionError(
            f"{source.title}: the warehouse failed ({said}). What was committed stays, the rest "
            "is loaded by running again."
        ) from error
    except (WarehouseUnreachableError, IngestionError):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            cure = "the disk is full: make room and run again"
        else:
            cure = f"{error.strerror or error}: run again when that is repaired"
        raise IngestionError(f"{source.title}: {cure}; nothing is loaded twice.") from error


def _held(raw: Raw, deliveries: Sequence[Delivery]) -> int:
    """The place of the delivery that a replacing source holds; behind all if it is not there."""
    if raw.source.load == "replace" and (content_id := raw.held()):
        for place, delivery in reversed(list(enumerate(deliveries))):
            with suppress(OSError, RefusedError), reading(raw.source, delivery.name):
                delivery.require_readable()
                if delivery.content_id(raw.source) == content_id:
                    return place
    return len(deliveries)


def _load_file(
    raw: Raw, delivery: Delivery, checkpoint: Checkpoint, *, again: bool = False
) -> FileResult:
    began = time.monotonic()
    return _file_told(raw.source, _load(raw, delivery, checkpoint, again=again), began)


def _load(raw: Raw, delivery: Delivery, checkpoint: Checkpoint, *, again: bool) -> FileResult:
    claim = None
    try:
        claim = _claim(raw, delivery, checkpoint, again=again)
        if claim is None:
            return _unchanged(raw, delivery, checkpoint)
        committed = _stage_and_commit(raw, delivery, claim, checkpoint)
    except RefusedError as error:
        if claim is None:
            return _refuse_unread(raw, delivery, error)
        return _refuse(raw, delivery, claim, error)
    except TakenOverError as error:
        return _taken_over(raw, delivery, claim, str(error))
    except FileNotFoundError:
        if delivery.path.exists():
            raise
        return _taken_over(raw, delivery, claim, "the file is gone: another loader has moved it.")
    except (SnowflakeError, IngestionError):
        # Whoever takes a file over removes the load table and staged rows of the one who had it.
        if claim is None or _still_ours(raw, claim):
            raise
        return _taken_over(raw, delivery, claim, "another loader took the file over.")
    return _tidy_up(raw, delivery, claim, committed, checkpoint)


def _still_ours(raw: Raw, claim: Claim) -> bool:
    try:
        return raw.is_claimed(claim)
    except SnowflakeError:
        return True


def _taken_over(raw: Raw, delivery: Delivery, claim: Claim | None, reason: str) -> FileResult:
    """Leave the file to the loader that has it now."""
    if claim is not None:
        raw.forget(claim.attempt_id)
    return FileResult(
        delivery.name, "taken over", reason=reason, load_id=claim.load_id if claim else None
    )


def _tidy_up(
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


def _unchanged(
    raw: Raw, delivery: Delivery, checkpoint: Checkpoint, *, chunks: Path | None = None
) -> FileResult:
    """The content is loaded already; an earlier run may have ended before it archived the file."""
    load_id = raw.committed_before(delivery.name) or ""
    for attempt in raw.attempts_of(load_id):
        _forget(raw, attempt, chunks)
    moved = archive(raw.source, delivery, load_id) if raw.source.archive else None
    checkpoint("archived")
    return FileResult(delivery.name, "unchanged", moved_to=moved, load_id=load_id)


def _refuse_unread(raw: Raw, delivery: Delivery, error: RefusedError) -> FileResult:
    """Without content that can be read there is no load to record."""
    reason = error.sentence(delivery.name)
    moved = set_aside(raw.source, delivery, secrets.token_hex(6), reason)
    return FileResult(delivery.name, "refused", reason=reason, moved_to=moved)


def _forget(raw: Raw, attempt_id: str, chunks: Path | None) -> None:
    """Remove what an attempt has left: in the warehouse, and the chunks that it cut."""
    raw.forget(attempt_id)
    if chunks is not None:
        shutil.rmtree(chunks / attempt_id, ignore_errors=True)


def _claim(
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


def _refuse(raw: Raw, delivery: Delivery, claim: Claim, error: RefusedError) -> FileResult:
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


def _stage_and_commit(
    raw: Raw, delivery: Delivery, claim: Claim, checkpoint: Checkpoint
) -> _Committed:
    _require_redelivery_allowed(raw, delivery)
    load = load_table(claim.attempt_id)
    rejects = load_table(claim.attempt_id, "_REJECTS")
    tally = _Tally()
    with _open(raw.source, delivery.path) as (opened, extracted), _Uploader(raw) as uploader:
        raw.create_load_table(load, opened.columns)
        for number, part in enumerate(_validated(raw.source, delivery, opened, tally), start=1):
            if part.good.num_rows:
                uploader.put(f"{claim.attempt_id}/rows", f"chunk-{number:06}.parquet", part.good)
            if part.rejects.num_rows:
                uploader.put(
                    f"{claim.attempt_id}/rejects", f"chunk-{number:06}.parquet", part.rejects
                )
            checkpoint("chunk staged")
    _require_unchanged(delivery)
    checkpoint("staged")
    if tally.good:
        _require_rows(raw.copy(load, f"{claim.attempt_id}/rows"), tally.good, claim)
    if tally.reasons:
        raw.create_reject_table(rejects)
        _require_rows(raw.copy(rejects, f"{claim.attempt_id}/rejects"), tally.reasons, claim)
    checkpoint("copied")
    return _commit(
        raw,
        delivery.name,
        claim,
        opened.columns,
        opened.new_columns,
        load,
        rejects,
        tally,
        checkpoint,
        extracted=extracted,
    )


@contextmanager
def _open(source: Source, path: Path) -> Iterator[tuple[Opened, Extract | None]]:
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


def _commit(
    raw: Raw,
    name: str,
    claim: Claim,
    columns: Sequence[Column],
    new_columns: Sequence[str],
    load: str,
    rejects: str,
    tally: _Tally,
    checkpoint: Checkpoint,
    *,
    merged: bool = False,
    extracted: Extract | None = None,
) -> _Committed:
    """The one transaction: rows, rejects, accounts and the entry in the book."""
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
        elif not merged:
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


def _require_redelivery_allowed(raw: Raw, delivery: Delivery) -> None:
    if raw.source.redelivery_rule != "refuse":
        return
    if before := raw.committed_before(delivery.name):
        raise RefusedError(
            f"a file of this name with other content was loaded before (load {before}): give it a "
            "new name, or declare another redelivery rule."
        )


def _require_unchanged(delivery: Delivery) -> None:
    if not delivery.path.exists():
        raise TakenOverError("the file is gone: another loader has moved it.")
    if delivery.changed():
        raise IngestionError(
            f"{shown(delivery.name)} changed while it was read: it is loaded by the next run; "
            "deliver files under another name and rename them when they are complete."
        )


def _require_rows(copied: int, staged: int, claim: Claim) -> None:
    if copied != staged:
        raise IngestionError(
            f"The load {claim.load_id} staged {staged:,} rows and the warehouse copied "
            f"{copied:,}: nothing is committed, run again."
        )


@dataclass
class _Tally:
    """Rows counted on the way."""

    delivered: int = 0
    good: int = 0
    rejected: int = 0
    reasons: int = 0


def _validated(
    source: Source, delivery: Delivery, opened: Opened, tally: _Tally
) -> Iterator[Validated]:
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


# -- one file in parallel parts ----------------------------------------------------------------


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
    checkpoint: Checkpoint = _no_checkpoint,
) -> Split | FileResult:
    """Check a file whole and cut it into Parquet files; nothing is in the raw table yet.

    Run again, it makes the same chunks under the same load. Chunks of different files, and of one
    file, may then be loaded in any order and at the same time.

    Args:
        source: it must be declared with ``load: merge``.
        delivery: the file.
        folder: where the chunks go, in a folder of their own.
        settings: read from the environment if not given.
        checkpoint: told of each step.

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
    with _raw(source, settings or get_settings()) as raw:
        raw.prepare()
        try:
            claim = _claim(raw, delivery, checkpoint, chunks=folder)
        except RefusedError as error:
            return _file_told(source, _refuse_unread(raw, delivery, error), began)
        except TakenOverError as error:
            return _file_told(source, _taken_over(raw, delivery, None, str(error)), began)
        if claim is None:
            return _file_told(source, _unchanged(raw, delivery, checkpoint, chunks=folder), began)
        parts = folder / claim.attempt_id
        tally = _Tally()
        number = 0
        try:
            _require_redelivery_allowed(raw, delivery)
            parts.mkdir(parents=True)
            with _open(source, delivery.path) as (opened, _):
                for part in _validated(source, delivery, opened, tally):
                    number += 1
                    _write(parts / f"{number}.rows.parquet", part.good)
                    _write(parts / f"{number}.rejects.parquet", part.rejects)
                    checkpoint("chunk written")
            _require_unchanged(delivery)
            raw.prepare_table(opened.columns)
        except BaseException as error:
            shutil.rmtree(parts, ignore_errors=True)
            if isinstance(error, RefusedError):
                return _file_told(source, _refuse(raw, delivery, claim, error), began)
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
    with _raw(source, settings or get_settings()) as raw:
        if not raw.is_claimed(split.claim):
            return 0
        rows = int(pq.ParquetFile(file).metadata.num_rows)
        raw.create_load_table(table, columns)
        if rows:
            raw.put(folder, f"{number}.parquet", file.read_bytes())
            _require_rows(raw.copy(table, folder), rows, split.claim)
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
    checkpoint: Checkpoint = _no_checkpoint,
) -> FileResult:
    """When every chunk is loaded: rejects, accounts, the entry in the book, the archive.

    Raises:
        IngestionError: a chunk is missing, or see `load_source`.
    """
    columns = [Column.model_validate(column) for column in split.columns]
    claim, delivery = split.claim, split.delivery
    tally = _Tally(split.delivered, split.good, split.rejected, split.reasons)
    began = time.monotonic()
    with _raw(source, settings or get_settings()) as raw:
        if not raw.is_claimed(claim):
            if raw.committed_before(delivery.name) != claim.load_id:
                gone = FileResult(delivery.name, "taken over", load_id=claim.load_id)
                return _file_told(source, gone, began)
            beside = Path(split.folder).parent
            return _file_told(source, _unchanged(raw, delivery, checkpoint, chunks=beside), began)
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
        _require_rows(raw.count(load), tally.good, claim)
        if tally.reasons:
            raw.create_reject_table(rejects)
            for number in range(1, split.chunks + 1):
                file = Path(split.folder) / f"{number}.rejects.parquet"
                if pq.ParquetFile(file).metadata.num_rows:
                    folder = f"{claim.attempt_id}/rejects"
                    raw.put(folder, f"{number}.parquet", file.read_bytes())
            _require_rows(raw.copy(rejects, f"{claim.attempt_id}/rejects"), tally.reasons, claim)
        checkpoint("copied")
        committed = _commit(
            raw,
            delivery.name,
            claim,
            columns,
            split.new_columns,
            load,
            rejects,
            tally,
            checkpoint,
            merged=True,
        )
        # Before the file is archived: as long as it is there, the next run finds what is left.
        shutil.rmtree(split.folder, ignore_errors=True)
        result = _tidy_up(raw, delivery, claim, committed, checkpoint, in_chunks=True)
    return _file_told(source, result, began)


def _chunk_table(split: Split, number: int) -> str:
    return load_table(split.attempt_id, f"_{number}")


def _write(file: Path, table: pa.Table) -> None:
    file.write_bytes(as_parquet(table))
