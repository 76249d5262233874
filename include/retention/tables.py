"""Rows that are kept for a time: which tables, and what makes a row stay for longer.

`retained_tables` is the one list. Each table is cleared by one statement, whose condition is the
one by which a dry run counts.
"""

# ruff: noqa: S608 - names and conditions are those written here; days are bound.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.core.logs import event
from include.core.settings import Retention
from include.warehouse import ledgers
from include.warehouse.catalogue import existing

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

    from include.warehouse.connection import ConnectionSettings

LOADS, REJECTED_ROWS = ledgers.LOADS.table, ledgers.REJECTED_ROWS.table
COMPARISONS, RUN_SUMMARY = ledgers.COMPARISONS.table, ledgers.RUN_SUMMARY.table


@dataclass(frozen=True)
class RetainedTable:
    """A table whose old rows go.

    Attributes:
        name: database, schema and table.
        moment: SQL for the UTC time that a row's age counts from.
        days: how old a row may be.
        unless: SQL that is true of rows that stay however old they are; empty if none do.
    """

    name: str
    moment: str
    days: int
    unless: str = ""

    @property
    def condition(self) -> str:
        """What is true of the rows that go; `days` is to be bound."""
        old = f"{self.moment} < dateadd(day, -%(days)s, sysdate())"
        return f"{old} and not ({self.unless})" if self.unless else old


@dataclass(frozen=True)
class Removed:
    """What goes, or has gone.

    Attributes:
        what: a table, a stage, or a folder.
        count: rows, attempts or files.
        days: how old they may be.
    """

    what: str
    count: int
    days: int


_STILL_READ = f"""
    load_id in (
        -- A delivery that comes again is recognised by the last load of its name, for ever. An
        -- extract of a database never comes again under its name.
        select max(load_id) from {LOADS}
        where status = 'committed' and load_mode <> 'add'
        group by domain, source, source_file
        union all
        -- What a replacing source holds, and what the next load has to be greater than.
        select max(load_id) from {LOADS} where status = 'committed' group by domain, source
        union all
        select max(load_id) from {LOADS} group by domain, source
        union all
        -- Up to where a database has been read.
        select l.load_id
        from {LOADS} as l
        join (
            select domain, source, max(watermark) as watermark
            from {LOADS}
            where status = 'committed'
            group by domain, source
        ) as read_until
            on l.domain = read_until.domain
            and l.source = read_until.source
            and l.watermark = read_until.watermark
        where l.status = 'committed'
    )
"""


ELEMENTARY = (
    "alerts_v2",
    "data_monitoring_metrics",
    "dbt_invocations",
    "dbt_run_results",
    "dbt_source_freshness_results",
    "elementary_test_results",
    "test_result_rows",
)
"""Tables of Elementary's that grow with every run; the others describe the project as it is."""


def retained_tables(retention: Retention, settings: ConnectionSettings) -> list[RetainedTable]:
    """The tables that maintenance clears, in its order."""
    elementary = f"{settings.database}.{settings.schema_prefix}elementary"
    return [
        RetainedTable(REJECTED_ROWS, "rejected_at", retention.firn_keep_rejected_rows_days),
        RetainedTable(
            LOADS,
            "coalesce(finished_at, started_at)",
            retention.firn_keep_loads_days,
            unless=_STILL_READ,
        ),
        RetainedTable(RUN_SUMMARY, "recorded_at", retention.firn_keep_runs_days),
        RetainedTable(
            COMPARISONS,
            "compared_at",
            retention.firn_keep_runs_days,
            # The next comparison needs to know what differed the last time.
            unless=f"(domain, source, compared_at) in (select domain, source, max(compared_at)"
            f" from {COMPARISONS} group by domain, source)",
        ),
        *(
            RetainedTable(f"{elementary}.{name}", "created_at", retention.firn_keep_monitoring_days)
            for name in ELEMENTARY
        ),
    ]


def plan(cursor: SnowflakeCursor, tables: Sequence[RetainedTable]) -> list[Removed]:
    """How many rows of each table would go now; tables that are not there are left out."""
    found = []
    for table in _existing(cursor, tables):
        cursor.execute(
            f"select count(*) from {table.name} where {table.condition}", {"days": table.days}
        )
        [(rows,)] = cursor.fetchall()
        found.append(Removed(table.name, int(rows), table.days))
    return found


def apply(cursor: SnowflakeCursor, tables: Sequence[RetainedTable]) -> list[Removed]:
    """Delete the old rows, with one statement a table; how many went."""
    found = []
    for table in _existing(cursor, tables):
        cursor.execute(f"delete from {table.name} where {table.condition}", {"days": table.days})
        removed = Removed(table.name, int(cursor.rowcount or 0), table.days)
        event("retention.table", table=table.name, rows=removed.count, days=table.days)
        found.append(removed)
    return found


def _existing(cursor: SnowflakeCursor, tables: Sequence[RetainedTable]) -> list[RetainedTable]:
    there = existing(cursor, [table.name for table in tables])
    if LOADS in there:
        # Those of an earlier version lack columns.
        ledgers.prepare(cursor)
    return [table for table in tables if table.name.upper() in there]
