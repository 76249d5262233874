"""dbt's artifacts of a commit, kept in the warehouse: what production was built from.

They stand in an internal stage of RAW, because the database that models are built in is swapped.
The manifest is written last and taken away first. So a commit without one has no artifacts, also
when somebody was killed while storing them.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from snowflake.connector.errors import ProgrammingError

from include.core.errors import UserError
from include.core.logs import event
from include.warehouse.catalogue import DOES_NOT_EXIST
from include.warehouse.connection import ConnectionSettings, connect

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

STAGE = "RAW.META.ARTIFACTS"
MANIFEST = "manifest.json"
NAMES = ("run_results.json", "catalog.json", MANIFEST)
"""What is kept of dbt's target folder, in the order in which it is written."""

_SHA = re.compile(r"[0-9a-f]{40}")
_STORED = re.compile(r"(?:^|/)([0-9a-f]{40})/manifest[.]json$")


class ArtifactsError(UserError):
    """The artifacts cannot be stored or found; the message says why and what to do."""


@dataclass(frozen=True)
class Stored:
    """The artifacts of one commit.

    Attributes:
        sha: the commit.
        stored_at: when they were complete, in UTC, to the second.
    """

    sha: str
    stored_at: datetime


def commit(sha: str) -> str:
    """The commit's full name in lower case, fit to stand in a stage's path.

    Raises:
        ArtifactsError: it is not 40 hexadecimal digits.
    """
    checked = sha.strip().lower()
    if not _SHA.fullmatch(checked):
        raise ArtifactsError(
            f"{sha!r} is not the full name of a commit: give 40 hexadecimal digits, such as "
            "`git rev-parse HEAD` prints them."
        )
    return checked


def store(settings: ConnectionSettings, sha: str, folder: Path) -> list[str]:
    """Keep the artifacts of a commit, in place of those that are kept of it already.

    Args:
        settings: which warehouse.
        sha: the commit.
        folder: dbt's target folder; it must hold the manifest.

    Returns:
        The names of the files that were stored.

    Raises:
        ArtifactsError: the commit is malformed, the folder has no manifest, or an upload failed.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    sha = commit(sha)
    if not (folder / MANIFEST).is_file():
        raise ArtifactsError(
            f"{folder} holds no {MANIFEST}: give dbt's target folder, after a run of dbt."
        )
    found = [name for name in NAMES if (folder / name).is_file()]
    with _cursor(settings, "store", writes=True) as cursor:
        if not _exists(cursor):
            # On an account the setup has made it.
            cursor.execute("create schema if not exists RAW.META")
            cursor.execute(f"create stage if not exists {STAGE}")
        cursor.execute(f"remove @{STAGE}/{sha}/{MANIFEST}")
        cursor.execute(f"remove @{STAGE}/{sha}/")
        for name in found:
            with (folder / name).open("rb") as content:
                cursor.execute(
                    f"put 'file://{name}' @{STAGE}/{sha}/ auto_compress = false overwrite = true",
                    file_stream=content,
                )
            if (status := [row[6] for row in cursor.fetchall()]) != ["UPLOADED"]:
                raise ArtifactsError(
                    f"The upload of {name} ended as {status}: look at the warehouse's log and run "
                    "again."
                )
    event("deployment.artifacts", sha=sha, files=len(found))
    return found


def fetch(settings: ConnectionSettings, sha: str, folder: Path) -> bool:
    """Bring the artifacts of a commit into a folder, which is made if it is missing.

    Args:
        settings: which warehouse.
        sha: the commit.
        folder: where they go; files of these names in it are replaced, and those that the commit
            has none of are removed.

    Returns:
        Whether there are any. Without them the folder stays as it was. A role that may not read
        the stage sees none either: Snowflake does not tell the two apart.

    Raises:
        ArtifactsError: the commit is malformed.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    sha = commit(sha)
    with tempfile.TemporaryDirectory() as spare, _cursor(settings, "fetch") as cursor:
        if not _listed(cursor, f"{sha}/{MANIFEST}"):
            return False
        cursor.execute(f"get @{STAGE}/{sha}/ 'file://{spare}/'")
        if not Path(spare, MANIFEST).is_file():
            return False
        folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            if Path(spare, name).is_file():
                shutil.copyfile(Path(spare, name), folder / f".{name}")
                (folder / f".{name}").replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    return True


def known(settings: ConnectionSettings) -> list[Stored]:
    """The commits whose artifacts are kept, the newest first.

    Raises:
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    with _cursor(settings, "list") as cursor:
        return _listed(cursor)


def remove(settings: ConnectionSettings, sha: str) -> None:
    """Delete the artifacts of a commit; nothing happens if there are none.

    Raises:
        ArtifactsError: the commit is malformed.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    sha = commit(sha)
    with _cursor(settings, "remove", writes=True) as cursor:
        if _listed(cursor):
            cursor.execute(f"remove @{STAGE}/{sha}/{MANIFEST}")
            cursor.execute(f"remove @{STAGE}/{sha}/")


def _exists(cursor: SnowflakeCursor) -> bool:
    try:
        cursor.execute(f"list @{STAGE}/none/")
    except ProgrammingError as error:
        if error.errno == DOES_NOT_EXIST:
            return False
        raise
    return True


def _listed(cursor: SnowflakeCursor, path: str = "") -> list[Stored]:
    try:
        cursor.execute(f"list @{STAGE}/{path}")
    except ProgrammingError as error:
        if error.errno == DOES_NOT_EXIST:
            return []
        raise
    found = [
        Stored(match[1], parsedate_to_datetime(str(modified)))
        for name, _, _, modified, *_ in cursor.fetchall()
        if (match := _STORED.search(str(name)))
    ]
    return sorted(found, key=lambda one: (one.stored_at, one.sha), reverse=True)


@contextmanager
def _cursor(
    settings: ConnectionSettings, what: str, *, writes: bool = False
) -> Iterator[SnowflakeCursor]:
    with (
        connect(
            settings, database="RAW", as_loader=writes, query_tag={"artifacts": what}
        ) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor
