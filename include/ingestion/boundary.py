"""Tell the faults of a file from the faults of the machine."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from include.core.logs import event
from include.ingestion.errors import IngestionError, RefusedError, shown
from include.ingestion.sources import Source

_OF_A_FILE = {
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTSUP,
    errno.ENXIO,
    errno.EOVERFLOW,
}
"""Error numbers that the file itself causes. Any other number is a fault of the machine."""


@contextmanager
def reading(source: Source, name: str) -> Iterator[None]:
    """Refuse the file for whatever goes wrong in this block, which reads and validates it.

    The libraries that decode files fail in more ways than anybody can list: with their own errors,
    system errors, Python errors, and Rust panics, which are not an `Exception`. So every failure
    counts as the file's fault, except those that certainly are not: failures with a system error
    number (a full disk, a folder without permission), a requested exit, and errors that this
    package has already explained. The block must do nothing else; above all, it must not use the
    warehouse.

    Args:
        source: the source that the file is delivered for.
        name: the file's name, for the log.

    Raises:
        RefusedError: the file cannot be read.
    """
    try:
        yield
    except IngestionError:
        raise
    except BaseException as error:
        if not _is_files_fault(error):
            raise
        said = next(iter(str(error).splitlines()), "").strip()
        event(
            "load.file_unreadable",
            level="error",
            domain=source.domain,
            source=source.name,
            file=shown(name),
            error=f"{type(error).__module__}.{type(error).__qualname__}",
            # Only the stack frames: a message may contain a row of the file.
            trace="".join(traceback.format_tb(error.__traceback__)),
        )
        raise RefusedError(
            f"the file cannot be read ({shown(said or type(error).__name__)}): it is damaged, or "
            "holds what cannot be loaded; deliver it again."
        ) from error


def _is_files_fault(error: BaseException) -> bool:
    if isinstance(error, TimeoutError):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _OF_A_FILE
    return isinstance(error, (Exception, pl.exceptions.PanicException))
