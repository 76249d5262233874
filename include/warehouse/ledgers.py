"""The tables in ``RAW.META`` that loads, runs and builds are recorded in, and what makes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

SCHEMA = "META"
STAGE = f"RAW.{SCHEMA}.LANDING"

Columns = dict[str, str]
"""The type of each column by its name, both in upper case, as the catalogue has them."""


@dataclass(frozen=True)
class Ledger:
    """A table of ``RAW.META``.

    A column that an earlier version of Firn did not have must allow null: it is added to the tables
    that are there.

    Attributes:
        name: in upper case, without database and schema.
        columns: what each column is declared as.
    """

    name: str
    columns: Mapping[str, str]

    @property
    def table(self) -> str:
        """The full name."""
        return f"RAW.{SCHEMA}.{self.name}"

    @property
    def create(self) -> str:
        """The statement that makes it, in a schema that is there."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        return f"create table if not exists {self.table} ({columns})"


LOADS = Ledger(
    "LOADS",
    {
        "load_id": "varchar not null",
        "content_id": "varchar not null",
        "attempt_id": "varchar not null",
        "domain": "varchar not null",
        "source": "varchar not null",
        "source_file": "varchar not null",
        "file_bytes": "number(38, 0) not null",
        "load_mode": "varchar not null",
        "status": "varchar not null",
        "reason": "varchar",
        "added_columns": "varchar",
        "delivered": "number(38, 0)",
        "loaded": "number(38, 0)",
        "rejected": "number(38, 0)",
        "superseded": "number(38, 0)",
        "started_at": "timestamp_ntz not null",
        "finished_at": "timestamp_ntz",
        # Of an extract from a database: how far it has read, and a hash of those of its rows that
        # the next extract reads again.
        "watermark": "timestamp_ntz",
        "overlap": "varchar",
        # Rows of the raw table that the load deleted or replaced.
        "removed": "number(38, 0)",
    },
)
REJECTED_ROWS = Ledger(
    "REJECTED_ROWS",
    {
        "load_id": "varchar not null",
        "domain": "varchar not null",
        "source": "varchar not null",
        "source_file": "varchar not null",
        "row_number": "number(38, 0) not null",
        "column_name": "varchar",
        "reason": "varchar not null",
        "raw_text": "varchar",
        "rejected_at": "timestamp_ntz not null",
    },
)
COMPARISONS = Ledger(
    "COMPARISONS",
    {
        "domain": "varchar not null",
        "source": "varchar not null",
        "compared_at": "timestamp_ntz not null",
        "first_day": "varchar",
        "days": "number(38, 0) not null",
        "days_extracted": "number(38, 0) not null",
        "rows_found": "number(38, 0) not null",
        "only_in_source": "number(38, 0) not null",
        "only_in_raw": "number(38, 0) not null",
        "days_apart": "number(38, 0) not null",
        "differences": "varchar not null",
        "problem": "varchar",
    },
)
RUN_SUMMARY = Ledger(
    "RUN_SUMMARY",
    {
        "dag_id": "varchar not null",
        "run_id": "varchar not null",
        "domain": "varchar not null",
        "target": "varchar not null",
        "layer": "varchar not null",
        "position": "number(38, 0) not null",
        "status": "varchar not null",
        "began_at": "timestamp_ntz",
        "ended_at": "timestamp_ntz",
        "seconds": "number(38, 3)",
        "table_count": "number(38, 0) not null",
        "row_count": "number(38, 0)",
        "delivered": "number(38, 0)",
        "loaded": "number(38, 0)",
        "rejected": "number(38, 0)",
        "superseded": "number(38, 0)",
        "tests_passed": "number(38, 0) not null",
        "tests_warned": "number(38, 0) not null",
        "tests_failed": "number(38, 0) not null",
        "tests_skipped": "number(38, 0) not null",
        "problems": "varchar",
        "recorded_at": "timestamp_ntz not null",
    },
)
BUILDS = Ledger(
    "BUILDS",
    {
        "dag_id": "varchar not null",
        # Database and prefix of the schemas.
        "place": "varchar not null",
        "domain": "varchar not null",
        # What it was made of, and what it made; see `include.project.changes`.
        "code": "varchar not null",
        "loads": "varchar not null",
        "tables": "varchar not null",
        "built_at": "timestamp_ntz not null",
    },
)

LEDGERS = (LOADS, REJECTED_ROWS, COMPARISONS, RUN_SUMMARY, BUILDS)


def prepare(
    cursor: SnowflakeCursor, schema: str = "", tables: Collection[str] = ()
) -> dict[str, Columns]:
    """Create the ledgers and columns of them that are missing.

    When all are there, this is one query of the catalogue.

    Args:
        cursor: of a session that may write the database RAW.
        schema: a schema of RAW whose tables are looked up in the same query.
        tables: their names.

    Returns:
        Those of the tables that there are, by name in upper case.
    """
    cursor.execute(
        "select table_schema, table_name, column_name, data_type"
        " from RAW.INFORMATION_SCHEMA.COLUMNS"
        " where (table_schema = %(meta)s and table_name in (%(ledgers)s))"
        " or (table_schema = %(schema)s and table_name in (%(tables)s))",
        {
            "meta": SCHEMA,
            "ledgers": [ledger.name for ledger in LEDGERS],
            "schema": schema.upper(),
            "tables": [table.upper() for table in tables] or [""],
        },
    )
    found: dict[tuple[str, str], Columns] = {}
    for in_schema, table, column, kind in cursor.fetchall():
        found.setdefault((in_schema, table), {})[column] = kind
    there = {table: columns for (of, table), columns in found.items() if of == SCHEMA}
    if len(there) < len(LEDGERS):
        cursor.execute(f"create schema if not exists RAW.{SCHEMA}")
        cursor.execute(f"create stage if not exists {STAGE}")
    for ledger in LEDGERS:
        if ledger.name not in there:
            cursor.execute(ledger.create)
            continue
        for name, kind in ledger.columns.items():
            if name.upper() not in there[ledger.name]:
                cursor.execute(f"alter table {ledger.table} add column if not exists {name} {kind}")
    return {table: columns for (of, table), columns in found.items() if of == schema.upper()}
