"""Files that hold a secret: it is made once, and every program that needs it reads it.

This module imports little, because it also runs while Airflow parses DAG files.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


def make_once(file: Path, content: Callable[[], bytes]) -> None:
    """Make the file if it is missing. If several programs try at once, one makes it for all.

    Only its owner can read it, from the start. It gets its name only once it is complete.

    Raises:
        OSError: it cannot be written; `strerror` says why.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.") as fresh:
            fresh.write(content())
            fresh.flush()
            os.fsync(fresh.fileno())
            with suppress(FileExistsError):
                _link(fresh.name, file)
    # A file that was copied, or restored from a backup, may be open to others.
    if file.stat().st_mode & 0o077:
        file.chmod(0o600)


def _link(fresh: str, file: Path) -> None:
    try:
        os.link(fresh, file)
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise OSError(error.errno, "its disk has no hard links") from None
        raise
