"""What became of deliveries, and the steps of a load."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from include.core.logs import event
from include.ingestion.comparison import (
    Comparison,
)
from include.ingestion.errors import (
    shown,
)
from include.ingestion.raw import Accounts
from include.ingestion.sources import Source

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


def no_checkpoint(_: str) -> None:
    """A checkpoint at which nothing happens."""


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


def file_told(source: Source, result: FileResult, began: float) -> FileResult:
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
