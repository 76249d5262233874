"""From a delivered file to its raw table, so that nothing is lost and nothing comes twice.

A file is claimed, read and validated in chunks, staged, copied into a load table, and brought into
the raw table by one transaction, which also enters the load in ``RAW.META.LOADS``. Only then the
file is archived. Whatever ends the loader, and wherever, the next run finds the claim without its
end, removes what the attempt left, and begins the file again.

``load_source`` does all of it in one process. ``split_file``, ``load_chunk`` and ``finish_split``
do the same for one file in tasks of their own, so that chunks load in parallel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from snowflake.connector.errors import Error as SnowflakeError

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
    Extraction,
    Span,
    extract,
    only_loader,
    rows_hash,
)
from include.ingestion.errors import (
    IngestionError,
    MissingDeliveryError,
    RefusedError,
    shown,
)
from include.ingestion.landing import Delivery, discover, landing_folder
from include.ingestion.one_file import load_file
from include.ingestion.pickup import name_unusable, take_from_stage
from include.ingestion.raw import Raw
from include.ingestion.results import Checkpoint, FileResult, SourceResult, no_checkpoint
from include.ingestion.session import open_raw
from include.ingestion.sources import DatabaseFormat, Source
from include.warehouse.connection import (
    ConnectionSettings,
    get_settings,
)


def load_source(
    source: Source,
    *,
    settings: ConnectionSettings | None = None,
    landing: Path | None = None,
    span: Span | None = None,
    compare_all: bool = False,
    checkpoint: Checkpoint = no_checkpoint,
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
        checkpoint: called with the name of each step that is done.

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
    with open_raw(source, settings) as raw:
        raw.prepare()
        held = _held(raw, deliveries)
        for place, delivery in enumerate(deliveries):
            # What a replacing source holds is the last of its deliveries, be it an old content.
            again = source.load == "replace" and place > held
            result = load_file(raw, delivery, checkpoint, again=again)
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
    with only_loader(source, root), open_raw(source, settings) as raw:
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
            files = [load_file(raw, read.delivery, checkpoint)] if read.delivery else []
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
            file = load_file(raw, more.delivery, checkpoint)
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
    with open_raw(first, settings or get_settings()) as raw:
        raws = [raw, *(Raw(raw.connection, source) for source in others)]
        raw.prepare(raws[1:])
        for one in raws:
            one.prepare_table([column for column in one.source.columns if not column.optional])


def _held(raw: Raw, deliveries: Sequence[Delivery]) -> int:
    """The place of the delivery that a replacing source holds; behind all if it is not there."""
    if raw.source.load == "replace" and (content_id := raw.held()):
        for place, delivery in reversed(list(enumerate(deliveries))):
            with suppress(OSError, RefusedError), reading(raw.source, delivery.name):
                delivery.require_readable()
                if delivery.content_id(raw.source) == content_id:
                    return place
    return len(deliveries)
