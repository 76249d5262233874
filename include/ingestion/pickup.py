"""Deliveries that land in a stage, such as an S3 bucket: brought into the landing folder.

A source that declares ``stage`` has its files taken from there before each load. The warehouse
copies them into its own stage, for GET reads no bucket; from there they come into the landing
folder, and only then they leave the stage. A file is in one of the two places at any moment, so
that what ends the loader loses none; one that is in both is the same file, and counts once.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from snowflake.connector.errors import Error as SnowflakeError
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from include.core.logs import event
from include.ingestion.errors import IngestionError, shown
from include.ingestion.landing import Delivery, discover
from include.ingestion.raw import STAGE
from include.ingestion.sources import Source
from include.warehouse.connection import ConnectionSettings, connect, get_settings

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

POLL_SECONDS = 5.0
MOST_FILES = 1_000  # that one COPY FILES may name
# They stand in SQL: neither COPY FILES nor REMOVE takes a bound value.
_NAME = re.compile(r"[A-Za-z0-9 _.=+-]+")


@dataclass(frozen=True)
class _Staged:
    """A file as the stage lists it; another content of the name has another checksum or time."""

    name: str
    size: int
    checksum: str
    modified: str

    @property
    def modified_at(self) -> float:
        """As a Unix time."""
        return parsedate_to_datetime(self.modified).timestamp()


@dataclass(frozen=True)
class Taken:
    """What became of the files of a stage.

    Attributes:
        files: the paths of files that were moved into the landing folder.
        unusable: the names of files that stay in the stage until they are renamed.
    """

    files: tuple[Path, ...] = ()
    unusable: tuple[str, ...] = ()


def is_in_stage(source: Source, *, settings: ConnectionSettings | None = None) -> bool:
    """Whether a file of the source that can be taken waits in its stage; False if it has none.

    Raises:
        IngestionError: the stage cannot be read.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    if source.stage is None:
        return False
    try:
        with connect(settings or get_settings(), database="RAW", as_loader=True) as connection:
            usable, _ = _listed(connection.cursor(), source)
            return bool(usable)
    except SnowflakeError as error:
        raise _failed(source, error) from error


def take_from_stage(
    source: Source, root: Path, *, settings: ConnectionSettings | None = None
) -> Taken:
    """Bring the files of a source's stage into the landing folder; none if it has no stage.

    A file stays in the stage while another file with its name waits in the landing folder. A file
    whose name cannot be used also stays in the stage, and does not delay the others.

    Args:
        source: the source.
        root: the landing folder.
        settings: read from the environment if not given.

    Raises:
        IngestionError: the stage cannot be read.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    taken = _take(source, root, settings)
    for name in taken.unusable:
        event(
            "load.name_unusable",
            level="warning",
            domain=source.domain,
            source=source.name,
            file=shown(name),
        )
    return taken


def name_unusable(source: Source, name: str) -> str:
    """What to do about a file whose name cannot be used, as one sentence."""
    return (
        f"{source.title}: {shown(name)} in @{source.stage} cannot be taken: give it a name of "
        "letters without accents, digits, blanks and any of _ . = + - there."
    )


def _take(source: Source, root: Path, settings: ConnectionSettings | None) -> Taken:
    if source.stage is None:
        return Taken()
    folder = root / PurePosixPath(source.patterns[0]).parent
    spare = root / f".taken-{secrets.token_hex(6)}"
    try:
        with connect(settings or get_settings(), database="RAW", as_loader=True) as connection:
            cursor = connection.cursor()
            listed, unusable = _listed(cursor, source)
            there = {file for file in listed if (folder / file.name).exists()}
            wanted = [file for file in listed if file not in there][:MOST_FILES]
            # Taken by a run that ended before it could remove it from the stage.
            done = [file for file in there if _is_same(folder / file.name, file)]
            if wanted:
                folder.mkdir(parents=True, exist_ok=True)
                spare.mkdir()
                _fetch(cursor, source, wanted, spare)
                for file in wanted:
                    _move(spare / file.name, folder / file.name, file)
            still = set(_listed(cursor, source)[0])
            for file in (*wanted, *done):
                # What has changed since it was listed is a new delivery.
                if file in still:
                    _remove(cursor, source, file)
    except SnowflakeError as error:
        raise _failed(source, error) from error
    except OSError as error:
        raise IngestionError(
            f"{source.title}: what is in @{source.stage} cannot be brought to {folder} "
            f"({error.strerror or error}): run again when that is repaired; nothing is lost."
        ) from error
    finally:
        shutil.rmtree(spare, ignore_errors=True)
    return Taken(tuple(folder / file.name for file in wanted), tuple(unusable))


def wait_for(
    source: Source,
    root: Path,
    seconds: float,
    *,
    settings: ConnectionSettings | None = None,
    poll_seconds: float = POLL_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Delivery]:
    """Like `discover`, but waits up to some seconds for a first file, also in a stage."""

    def look() -> list[Delivery]:
        _take(source, root, settings)
        return discover(source, root)

    retrying = Retrying(
        stop=stop_after_delay(seconds),
        wait=wait_fixed(poll_seconds),
        retry=retry_if_result(lambda found: not found),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else [],
        sleep=sleep,
    )
    return list(retrying(look))


def _listed(cursor: SnowflakeCursor, source: Source) -> tuple[list[_Staged], list[str]]:
    """The source's files in its stage, oldest first, and the names that cannot be used."""
    assert source.stage is not None  # noqa: S101 - whoever calls has looked
    cursor.execute(f"list @{source.stage}/")
    folder = PurePosixPath(*PurePosixPath(source.stage).parts[1:])
    found, unusable = [], []
    for path, size, checksum, modified, *_ in cursor.fetchall():
        # A stage lists its own name in front, a bucket its address, and either lists subfolders.
        place = PurePosixPath(str(path))
        if not place.parent.as_posix().endswith(f"/{folder}"):
            continue
        if not any(place.match(PurePosixPath(pattern).name) for pattern in source.patterns):
            continue
        if not _NAME.fullmatch(place.name) or place.name.startswith("."):
            unusable.append(place.name)
            continue
        found.append(_Staged(place.name, int(size), str(checksum), str(modified)))
    return sorted(found, key=lambda file: (file.modified_at, file.name)), sorted(unusable)


def _fetch(cursor: SnowflakeCursor, source: Source, files: Sequence[_Staged], folder: Path) -> None:
    """Copy files out of the stage; another run may do the same with the same files."""
    between = f"{STAGE}/taken/{source.domain}/{source.name}/{folder.name[1:]}"
    names = ", ".join(f"'{file.name}'" for file in files)
    try:
        cursor.execute(f"copy files into @{between}/ from @{source.stage}/ files = ({names})")
        cursor.execute(f"get @{between}/ 'file://{folder}/'")
    finally:
        cursor.execute(f"remove @{between}/")
    if missing := [file.name for file in files if not (folder / file.name).is_file()]:
        raise IngestionError(
            f"{source.title}: {shown(missing[0])} did not arrive from @{source.stage}: run again; "
            "nothing is lost."
        )


def _move(fetched: Path, target: Path, file: _Staged) -> None:
    """Into the landing folder, with the time of its delivery."""
    os.utime(fetched, (file.modified_at, file.modified_at))
    fetched.replace(target)


def _is_same(path: Path, file: _Staged) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return (found.st_size, found.st_mtime) == (file.size, file.modified_at)


def _remove(cursor: SnowflakeCursor, source: Source, file: _Staged) -> None:
    # A path is only the beginning of names, which the pattern ends.
    exactly = file.name.replace(".", "[.]").replace("+", "[+]")
    cursor.execute(f"remove '@{source.stage}/{file.name}' pattern = '.*{exactly}'")


def _failed(source: Source, error: SnowflakeError) -> IngestionError:
    said = shown(str(error.raw_msg or error), 300)
    return IngestionError(
        f"{source.title}: the stage @{source.stage} cannot be read ({said}): create it, and give "
        "the loader's role USAGE on it, or READ and WRITE if it is an internal one."
    )
