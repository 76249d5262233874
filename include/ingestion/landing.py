"""The landing folder: what has been delivered, and where files go when they are done."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Self

from include.core.settings import Folders
from include.ingestion.errors import IngestionError, RefusedError, shown
from include.ingestion.sources import Source
from include.warehouse.connection import ConnectionSettings, get_settings

ARCHIVE = "archive"
REJECTED = "rejected"
STAMP = "%Y%m%dT%H%M%S"
"""How the name of an archived file begins: when that was, in UTC."""


def landing_folder(settings: ConnectionSettings | None = None) -> Path:
    """Where files are delivered: ``$FIRN_LANDING``, else ``landing`` in Firn's home."""
    return Folders().firn_landing or (settings or get_settings()).home / "landing"


@dataclass(frozen=True)
class Stamp:
    """What tells a file from one that replaced it under the same name."""

    device: int
    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The stamp of a file as it is now."""
        found = path.lstat()
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class Delivery:
    """One delivered file.

    Attributes:
        path: where it is.
        root: the landing folder.
        stamp: what it was when it was discovered.
    """

    path: Path
    root: Path
    stamp: Stamp

    @property
    def name(self) -> str:
        """Its name, which identifies it in the warehouse."""
        return self.path.name

    def require_readable(self) -> None:
        """Look before reading.

        Raises:
            RefusedError: it is no file that may be read.
        """
        try:
            self.name.encode()
        except UnicodeEncodeError:
            raise RefusedError("its name is not UTF-8: give it another name.") from None
        try:
            self._require_file()
        except PermissionError:
            raise RefusedError(
                "it may not be read: give the loader's user permission for it (chmod a+r) and for "
                "its folder (chmod a+rx), and deliver it again."
            ) from None

    def _require_file(self) -> None:
        if self.path.is_symlink() and not self._resolves_inside():
            raise RefusedError(
                "it is a link that leads to nothing in the landing folder: deliver the file itself."
            )
        if self.path.is_dir():
            raise RefusedError(
                "it is a folder where a file is expected: deliver the files inside it, one by one."
            )
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise RefusedError("it is not an ordinary file: deliver a file.")
        with self.path.open("rb"):
            pass

    def require_dated(self, source: Source) -> None:
        """Look at the name, where it must tell a day.

        Raises:
            RefusedError: it tells none.
        """
        if source.file_date is None:
            return
        try:
            day = datetime.strptime(self.name, source.file_date)  # noqa: DTZ007
        except ValueError:
            day = None
        # Python also takes 2024-1-5, which would be a second name for one day.
        if day is None or f"{day:{source.file_date}}" != self.name:
            raise RefusedError(
                f"its name must tell its day as {source.file_date}: deliver it under such a name."
            )

    def _resolves_inside(self) -> bool:
        try:
            return self.path.resolve(strict=True).is_relative_to(self.root.resolve())
        except (OSError, RuntimeError):  # RuntimeError: the link leads to itself.
            return False

    def content_id(self, source: Source) -> str:
        """What identifies the delivery: a hash of source, name and bytes.

        Raises:
            OSError: the file cannot be read.
        """
        digest = hashlib.sha256(f"{source.title}\0{self.name}\0".encode())
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        return digest.hexdigest()

    def changed(self) -> bool:
        """Whether another file, or more of this one, has arrived under the name."""
        try:
            return Stamp.of(self.path) != self.stamp
        except (FileNotFoundError, PermissionError):
            return True


def discover(source: Source, root: Path) -> list[Delivery]:
    """What has landed for a source, in the order of delivery: by time of change, then by name.

    Files that changed less than `settle_seconds` ago are left out. Nothing is opened.

    Raises:
        IngestionError: the folder cannot be looked into.
    """
    found: dict[Path, Delivery] = {}
    settled_ns = time.time_ns() - int(source.settle_seconds * 1e9)
    for pattern in source.patterns:
        folder = root / PurePosixPath(pattern).parent
        name = PurePosixPath(pattern).name
        try:
            paths = [
                Path(entry.path)
                for entry in os.scandir(folder)
                if not entry.name.startswith(".") and PurePosixPath(entry.name).match(name)
            ]
        except FileNotFoundError:
            continue
        except OSError as error:
            raise IngestionError(
                f"{folder} cannot be looked into ({error.strerror}): make it a folder that the "
                "loader's user may read."
            ) from None
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                try:
                    delivery = Delivery(path, root, Stamp.of(path))
                except PermissionError:
                    # The folder may be listed but not entered: each file in it is refused by name.
                    delivery = Delivery(path, root, Stamp(0, 0, 0, 0))
                if delivery.stamp.modified_ns <= settled_ns or not source.settle_seconds:
                    found[path] = delivery
    return sorted(found.values(), key=lambda one: (one.stamp.modified_ns, one.name))


def archive(source: Source, delivery: Delivery, load_id: str) -> Path | None:
    """Move a loaded file out of the landing folder; None if that is a newer file by now.

    Raises:
        IngestionError: it cannot be moved.
    """
    return _move(delivery, _target(ARCHIVE, source, delivery, load_id))


def taken_since(source: Source, root: Path, moment: datetime) -> bool:
    """Whether a file of the source was loaded and archived at that moment or later.

    Raises:
        IngestionError: the archive cannot be looked into.
    """
    folder = root / ARCHIVE / source.domain / source.name
    earliest = moment.astimezone(UTC).strftime(STAMP)
    try:
        return any(entry.name >= earliest for entry in os.scandir(folder))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise IngestionError(
            f"{folder} cannot be looked into ({error.strerror}): make it a folder that the "
            "loader's user may read."
        ) from None


def set_aside(source: Source, delivery: Delivery, load_id: str, reason: str) -> Path | None:
    """Move a refused file to the rejected area, with the reason in a text file beside it.

    Raises:
        IngestionError: it cannot be moved.
    """
    target = _target(REJECTED, source, delivery, load_id)
    moved = _move(delivery, target)
    if moved:
        with contextlib.suppress(OSError):
            note = moved.with_name(f"{moved.name[:200]}.reason.txt")
            note.write_text(f"{reason}\n", "utf-8", errors="backslashreplace")
    return moved


def _target(area: str, source: Source, delivery: Delivery, load_id: str) -> Path:
    """A name that tells when, and that two deliveries never share."""
    now = datetime.now(UTC)
    name = f"{now:{STAMP}}-{load_id[-12:]}{secrets.token_hex(3)}-{delivery.name}"
    # File systems take 255 bytes.
    while len(os.fsencode(name)) > 240:
        name = name[:-1]
    return delivery.root / area / source.domain / source.name / name


def _move(delivery: Delivery, target: Path) -> Path | None:
    try:
        if delivery.changed():
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        delivery.path.rename(target)
        moved = Stamp.of(target)
        if moved != delivery.stamp:
            # A newer file came in between: it goes back to where it is looked for.
            target.rename(delivery.path)
            return None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IngestionError(
            f"{shown(delivery.name)} cannot be moved to {target.parent} ({error.strerror}): make "
            "room there and give the loader's user permission, then run again; nothing is loaded "
            "twice."
        ) from None
    return target
