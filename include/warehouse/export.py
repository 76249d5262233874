"""Tables as Parquet files: unloaded by the warehouse, downloaded, put in place as a whole.

`COPY INTO @stage` writes the files and GET fetches them; no row goes through Python. What readers
open, `<folder>/<layer>/<table>`, is a link to a folder that is complete and never changed again: an
export writes a new folder and then moves the link, so that a reader finds all of the old files or
all of the new ones. Files of two exports have different names and cannot be mixed up.
"""

# ruff: noqa: S608 - relations come from the dbt manifest and columns from the warehouse, quoted.
from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from snowflake.connector.constants import FIELD_ID_TO_NAME
from snowflake.connector.errors import Error as SnowflakeError

from include.core.errors import UserError
from include.core.logs import event
from include.core.settings import Folders
from include.warehouse.connection import ConnectionSettings, connect, get_settings

if TYPE_CHECKING:
    from snowflake.connector.cursor import ResultMetadata, SnowflakeCursor

Medal = Literal["bronze", "silver", "gold"]

FILE_BYTES = 256 * 1024 * 1024
"""How large a file gets at most, about: few files, and none too large for one worker of Spark."""

VERSIONS = ".versions"
ABANDONED_SECONDS = 24 * 3600


class ExportError(UserError):
    """Tables cannot be exported; the message says why and what to do."""


@dataclass(frozen=True)
class Relation:
    """A table or view to export.

    Attributes:
        medal: bronze, silver or gold.
        table: its name in the export, in lower case.
        relation: database, schema and name, as SQL.
    """

    medal: Medal
    table: str
    relation: str


@dataclass(frozen=True)
class Exported:
    """What was exported of one relation.

    Attributes:
        rows: in all files together.
        files: how many.
        bytes: their size.
        folder: what a reader opens.
        began: when the unload started, in UTC as ISO text.
        ended: when the files were in place.
    """

    medal: Medal
    table: str
    rows: int
    files: int
    bytes: int
    folder: str
    began: str
    ended: str

    def as_json(self) -> dict[str, Any]:
        """For an XCom."""
        return asdict(self)


def exports_folder(settings: ConnectionSettings | None = None) -> Path:
    """Where exports go: ``$FIRN_EXPORTS``, else ``data/exports`` in Firn's home."""
    return Folders().firn_exports or (settings or get_settings()).home / "data" / "exports"


def export(
    relations: Sequence[Relation],
    *,
    settings: ConnectionSettings | None = None,
    folder: Path | None = None,
) -> list[Exported]:
    """Export relations one after the other; what is exported already stays if a later one fails.

    Args:
        relations: what to export; the last one's schema must allow a temporary stage.
        settings: read from the environment if not given.
        folder: where to; read from the environment if not given.

    Raises:
        ExportError: the warehouse or the disk fails, or a relation cannot be written as Parquet.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    if not relations:
        return []
    settings = settings or get_settings()
    root = (folder or exports_folder(settings)).resolve()
    if "'" in str(root) or "\\" in str(root):
        raise ExportError(f"{root} has a quote or backslash in its name: set FIRN_EXPORTS.")
    schema = relations[-1].relation.rpartition(".")[0]
    stage = f"{schema}.EXPORT_{secrets.token_hex(8).upper()}"
    with (
        connect(settings, query_tag={"export": str(len(relations))}) as connection,
        connection.cursor() as cursor,
    ):
        with _sentence("the stage", root):
            cursor.execute(f"create temporary stage {stage}")
        return [_export(cursor, stage, relation, root) for relation in relations]


@contextmanager
def _sentence(what: str, root: Path) -> Iterator[None]:
    try:
        yield
    except SnowflakeError as error:
        said = " ".join(str(error.raw_msg or error).split()).rstrip(".")
        raise ExportError(
            f"{what} cannot be exported ({said}); the files of before stay."
        ) from error
    except OSError as error:
        raise ExportError(
            f"{what} cannot be written to {root} ({error.strerror or error}): make room, give "
            "permission, or set FIRN_EXPORTS to another folder; the files of before stay."
        ) from error


def _export(cursor: SnowflakeCursor, stage: str, relation: Relation, root: Path) -> Exported:
    began, clock = datetime.now(UTC), time.monotonic()
    version = f"{began:%Y%m%dT%H%M%S%f}_{secrets.token_hex(2)}"
    place = f"@{stage}/{relation.medal}/{relation.table}"
    versions = root / VERSIONS / relation.medal / relation.table
    unfinished = versions / f".{version}"
    with _sentence(relation.relation, root):
        unfinished.mkdir(parents=True)
        try:
            columns = cursor.describe(f"select * from {relation.relation}")
            query = _query(columns, relation)
            cursor.execute(
                f"copy into {place}/{relation.table}_{version} from ({query})"
                " file_format = (type = parquet compression = snappy)"
                f" header = true max_file_size = {FILE_BYTES}"
            )
            unloaded = int(cursor.fetchall()[0][0])
            if unloaded:
                cursor.execute(f"get {place}/ 'file://{unfinished}/'")
                cursor.execute(f"remove {place}/")
            else:
                # Nothing is unloaded of no rows, and a reader wants the columns all the same.
                empty = _schema(columns).empty_table()
                pq.write_table(empty, unfinished / f"{relation.table}_{version}.parquet")
            files = sorted(unfinished.glob("*.parquet"))
            rows = sum(int(pq.read_metadata(file).num_rows) for file in files)
            if rows != unloaded:
                raise ExportError(
                    f"{relation.relation}: {unloaded:,} rows were unloaded and {rows:,} arrived; "
                    "the files of before stay, run again."
                )
            size = sum(file.stat().st_size for file in files)
            complete = unfinished.rename(versions / version)
            _publish(root / relation.medal / relation.table, complete)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        _clear(versions, complete)
    event(
        "export.table",
        medal=relation.medal,
        table=relation.table,
        rows=rows,
        files=len(files),
        bytes=size,
        seconds=round(time.monotonic() - clock, 3),
    )
    return Exported(
        relation.medal,
        relation.table,
        rows,
        len(files),
        size,
        str(root / relation.medal / relation.table),
        began.isoformat(),
        datetime.now(UTC).isoformat(),
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", name.lower())


def _query(columns: Sequence[ResultMetadata], relation: Relation) -> str:
    """All columns under plain names, in types that Parquet and its readers have."""
    chosen, names = [], []
    for column in columns:
        quoted = '"{}"'.format(column.name.replace('"', '""'))
        kind = FIELD_ID_TO_NAME[column.type_code]
        if kind in ("TIMESTAMP_TZ", "TIMESTAMP_LTZ"):
            value = f"convert_timezone('UTC', {quoted})::timestamp_ntz"
        elif kind in ("VARIANT", "OBJECT", "ARRAY"):
            value = f"to_json({quoted})"
        else:
            value = quoted
        name = _plain(column.name)
        chosen.append(f'{value} as "{name}"')
        names.append(name)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ExportError(
            f"{relation.relation} has columns that differ only in case or signs "
            f"({', '.join(twice)}): give them other names."
        )
    return f"select {', '.join(chosen)} from {relation.relation}"


def _schema(columns: Sequence[ResultMetadata]) -> pa.Schema:
    """What the files of these columns would have been, had there been a row."""
    kinds = {
        "REAL": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "DATE": pa.date32(),
        "TIME": pa.time64("us"),
        "BINARY": pa.binary(),
    }

    def kind(column: ResultMetadata) -> pa.DataType:
        name = FIELD_ID_TO_NAME[column.type_code]
        if name == "FIXED":
            scale = column.scale or 0
            return pa.decimal128(column.precision or 38, scale) if scale else pa.int64()
        if name.startswith("TIMESTAMP"):
            return pa.timestamp("us")
        return kinds.get(name, pa.string())

    return pa.schema([(_plain(column.name), kind(column)) for column in columns])


def _publish(link: Path, complete: Path) -> None:
    """Let readers find another folder from now on, in one step."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_dir() and not link.is_symlink():
        raise ExportError(
            f"{link} is a folder that no export has made: move it away, then run again."
        )
    fresh = link.with_name(f".{link.name}.{complete.name}")
    # Relative, so that all exports together may be moved.
    fresh.symlink_to(Path("..", *complete.parts[-4:]), target_is_directory=True)
    fresh.replace(link)


def _clear(versions: Path, current: Path) -> None:
    """Remove old versions, except for the one before, which somebody may still be reading."""
    complete = sorted(path for path in versions.iterdir() if not path.name.startswith("."))
    before = [path for path in complete if path != current][-1:]
    for path in versions.iterdir():
        unfinished = path.name.startswith(".")
        abandoned = time.time() - path.stat().st_mtime > ABANDONED_SECONDS
        if path != current and path not in before and (not unfinished or abandoned):
            shutil.rmtree(path, ignore_errors=True)
