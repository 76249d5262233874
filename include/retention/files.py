"""Files on this machine that are kept for a time: deliveries, leftovers, logs."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.core.logs import event
from include.core.settings import Retention
from include.ingestion.landing import ARCHIVE, REJECTED, STAMP, landing_folder
from include.retention.tables import Removed
from include.warehouse.connection import ConnectionSettings
from include.warehouse.export import VERSIONS, exports_folder

LEFTOVER_DAYS = 2
"""No load and no export takes so long: what is unfinished and older is left over."""


@dataclass(frozen=True)
class RetainedFiles:
    """A folder whose old files go.

    Attributes:
        folder: where they are.
        days: how old they may be.
        find: the old ones, given the folder and the moment that they are older than; folders
            among them go with all that is in them.
    """

    folder: Path
    days: int
    find: Callable[[Path, datetime], Iterator[Path]]


def retained_files(retention: Retention, settings: ConnectionSettings) -> list[RetainedFiles]:
    """The folders that maintenance clears."""
    landing = landing_folder(settings)
    return [
        RetainedFiles(landing / ARCHIVE, retention.firn_keep_files_days, _moved_before),
        RetainedFiles(landing / REJECTED, retention.firn_keep_files_days, _moved_before),
        RetainedFiles(landing / ".chunks", LEFTOVER_DAYS, _entries),
        RetainedFiles(landing, LEFTOVER_DAYS, _unfinished_pickups),
        RetainedFiles(exports_folder(settings), LEFTOVER_DAYS, _unfinished_exports),
        RetainedFiles(settings.dbt_home / "builds", retention.firn_keep_logs_days, _changed_before),
        RetainedFiles(settings.dbt_home / "logs", retention.firn_keep_logs_days, _changed_before),
        RetainedFiles(settings.logs_home, retention.firn_keep_logs_days, _changed_before),
        RetainedFiles(
            settings.airflow_home / "logs", retention.firn_keep_logs_days, _changed_before
        ),
    ]


def remove_files(rules: list[RetainedFiles], *, dry_run: bool) -> list[Removed]:
    """Delete the old files of each folder; how many there were."""
    found = []
    for rule in rules:
        moment = datetime.now(UTC) - timedelta(days=rule.days)
        paths = list(rule.find(rule.folder, moment)) if rule.folder.is_dir() else []
        if not dry_run:
            for path in paths:
                _remove(path, rule.folder)
            event("retention.files", folder=str(rule.folder), files=len(paths), days=rule.days)
        found.append(Removed(str(rule.folder), len(paths), rule.days))
    return found


def _moved_before(folder: Path, moment: datetime) -> Iterator[Path]:
    """Deliveries by the time in their name: that of their last change is the deliverer's."""
    latest = moment.strftime(STAMP)
    for path in _files(folder):
        stamp = path.name.partition("-")[0]
        with contextlib.suppress(ValueError):
            datetime.strptime(stamp, STAMP)  # noqa: DTZ007 - a name without a time is left alone
            if stamp < latest:
                yield path


def _changed_before(folder: Path, moment: datetime) -> Iterator[Path]:
    for path in _files(folder):
        if _is_older(path, moment):
            yield path


def _entries(folder: Path, moment: datetime) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if _is_older(Path(entry.path), moment):
            yield Path(entry.path)


def _unfinished_pickups(folder: Path, moment: datetime) -> Iterator[Path]:
    """Where files from a stage were put before they were complete."""
    for path in folder.glob(".taken-*"):
        if _is_older(path, moment):
            yield path


def _unfinished_exports(folder: Path, moment: datetime) -> Iterator[Path]:
    """Half an export, and a link that was to be moved into place."""
    for path in [*folder.glob(f"{VERSIONS}/*/*/.*"), *folder.glob("*/.*")]:
        # What readers open has a name without a dot.
        if path.parent.name != VERSIONS and path.name != VERSIONS and _is_older(path, moment):
            yield path


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name)


def _is_older(path: Path, moment: datetime) -> bool:
    try:
        return path.lstat().st_mtime < moment.timestamp()
    except FileNotFoundError:
        return False


def _remove(path: Path, folder: Path) -> None:
    """Delete a file or a folder, and the folders above it that are empty then."""
    # Somebody else may have been there.
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for parent in path.parents:
        if parent == folder:
            break
        try:
            parent.rmdir()
        except OSError:
            break
