"""Rejected rows for people: why, and as a file to correct and deliver again."""

# ruff: noqa: S608 - the only text that is put into SQL is that of this file.
from __future__ import annotations

import contextlib
import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.ingestion.errors import IngestionError
from include.ingestion.raw import LOADS, REJECTED_ROWS
from include.ingestion.sources import CsvFormat, Source

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_LAST = f"""
    from {REJECTED_ROWS} as r
    join (
        select source_file, max(load_id) as load_id
        from {LOADS}
        where domain = %(domain)s and source = %(source)s and status = 'committed'
        group by source_file
    ) as l on r.load_id = l.load_id
"""


def open_rejects(
    connection: SnowflakeConnection, source: Source, limit: int
) -> tuple[list[tuple[Any, ...]], int]:
    """Some of the rejects of each file name's last load, newest load first; and how many."""
    names = {"domain": source.domain, "source": source.name}
    with connection.cursor() as cursor:
        if not _recorded(cursor):
            return [], 0
        cursor.execute(f"select count(*) {_LAST}", names)
        [(total,)] = cursor.fetchall()
        cursor.execute(
            "select r.source_file, r.row_number, r.column_name, r.reason, r.raw_text"
            f" {_LAST} order by r.load_id desc, r.row_number, r.column_name limit %(limit)s",
            names | {"limit": limit},
        )
        return cursor.fetchall(), int(total)


def write_rejected(connection: SnowflakeConnection, source: Source, path: Path) -> int:
    """Write the rejected rows as a CSV file with the declared header; how many there are.

    Raises:
        IngestionError: the file is there already, or the rows are not CSV.
    """
    layout = source.format
    if not isinstance(layout, CsvFormat):
        raise IngestionError(
            f"{source.title} is not delivered as CSV: correct its rows where they come from."
        )
    rows = 0
    names = {"domain": source.domain, "source": source.name}
    with _new_file(path, layout) as file, connection.cursor() as cursor:
        header = [column.name for column in source.columns]
        csv.writer(file, delimiter=layout.delimiter, lineterminator="\n").writerow(header)
        if _recorded(cursor):
            cursor.execute(
                f"select distinct r.load_id, r.row_number, r.raw_text {_LAST}"
                " order by r.load_id, r.row_number",
                names,
            )
            while some := cursor.fetchmany(10_000):
                file.writelines(f"{text}\n" for _, _, text in some)
                rows += len(some)
    return rows


@contextlib.contextmanager
def _new_file(path: Path, layout: CsvFormat) -> Any:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists():
            raise IngestionError(f"{path} is there already: name a new file.")
        with unfinished.open("w", encoding=layout.encoding, newline="") as file:
            yield file
        unfinished.rename(path)
    except OSError as error:
        raise IngestionError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _recorded(cursor: Any) -> bool:
    """Whether anything was ever loaded here."""
    cursor.execute(
        "select count(*) from RAW.INFORMATION_SCHEMA.TABLES"
        " where table_schema = 'META' and table_name = 'REJECTED_ROWS'"
    )
    [(found,)] = cursor.fetchall()
    return bool(found)
