"""What attempts at a load have left on the stage and as load tables, long after they ended.

The next load of a file removes what earlier attempts at it left. Of a file that never comes again
nobody does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from include.core.logs import event
from include.ingestion.raw import LOADS, STAGE
from include.retention.tables import Removed

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

DAYS = 2
"""No load takes so long: what an older attempt has left is left."""

_TABLE = re.compile(r"LOAD_(A[0-9A-F]{24})(_\w+)?")
_FOLDER = re.compile(r"(?:^|/)(a[0-9a-f]{24}|taken/\w+/\w+/taken-[0-9a-f]{12})/")


def remove_staged(cursor: SnowflakeCursor, *, dry_run: bool) -> list[Removed]:
    """Drop the load tables of abandoned attempts and delete their staged files.

    Returns:
        How many attempts had left tables, and how many had left files.
    """
    if not _has_book(cursor):
        return []
    alive = _alive(cursor)
    tables = {name: found for name, found in _tables(cursor).items() if name not in alive}
    folders = [attempt for attempt in _folders(cursor) if attempt.upper() not in alive]
    if not dry_run:
        for names in tables.values():
            for name in names:
                cursor.execute(f'drop table if exists RAW.META."{name}"')
        for attempt in folders:
            cursor.execute(f"remove @{STAGE}/{attempt}/")
        event("retention.stage", tables=sum(map(len, tables.values())), attempts=len(folders))
    return [Removed("RAW.META.LOAD_…", len(tables), DAYS), Removed(f"@{STAGE}", len(folders), DAYS)]


def _has_book(cursor: SnowflakeCursor) -> bool:
    cursor.execute(
        "select count(*) from RAW.INFORMATION_SCHEMA.TABLES"
        " where table_schema = 'META' and table_name = 'LOADS'"
    )
    return bool(cursor.fetchall()[0][0])


def _alive(cursor: SnowflakeCursor) -> set[str]:
    """The attempts that may still go on, in upper case."""
    cursor.execute(
        f"select upper(attempt_id) from {LOADS}"  # noqa: S608 - the table is named by the project
        " where status = 'started' and started_at >= dateadd(day, -%(days)s, sysdate())",
        {"days": DAYS},
    )
    return {str(attempt) for (attempt,) in cursor.fetchall()}


def _tables(cursor: SnowflakeCursor) -> dict[str, list[str]]:
    """The old load tables of each attempt."""
    cursor.execute(
        "select table_name from RAW.INFORMATION_SCHEMA.TABLES"
        " where table_schema = 'META' and startswith(table_name, 'LOAD_A')"
        " and created < dateadd(day, -%(days)s, current_timestamp())",
        {"days": DAYS},
    )
    found = defaultdict(list)
    for (name,) in cursor.fetchall():
        if match := _TABLE.fullmatch(name):
            found[match[1]].append(str(name))
    return found


def _folders(cursor: SnowflakeCursor) -> list[str]:
    """The attempts whose staged files are all old."""
    cursor.execute(f"list @{STAGE}")
    oldest = datetime.now(UTC) - timedelta(days=DAYS)
    ages: dict[str, bool] = {}
    for name, _, _, modified in cursor.fetchall():
        if match := _FOLDER.search(name):
            is_old = parsedate_to_datetime(modified) < oldest
            ages[match[1]] = ages.get(match[1], True) and is_old
    return sorted(attempt for attempt, is_old in ages.items() if is_old)
