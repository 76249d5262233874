"""What the warehouse knows of past runs and deliveries, in bounded queries.

Of each table that is not there yet, there is nothing to tell: no query fails because of it.
"""

# ruff: noqa: S608 - relations are ours; every value is bound.
from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.monitoring.run_summary import FAILED, SUCCESS, WARNING, WHOLE, Layer
from include.warehouse import ledgers
from include.warehouse.catalogue import databases
from include.warehouse.connection import ConnectionSettings, connect

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

RUNS = 30
"""Runs of each DAG that are charted."""

DAYS = 7
"""Days of deliveries that are told of."""

MOST = 20
"""Of rejected rows, files and columns, so many lines a domain."""

QUALITY_LOADS = 60
"""Deliveries of each table whose quality is charted."""

_COUNTS = (
    "table_count", "row_count", "delivered", "loaded", "rejected", "superseded",
    "tests_passed", "tests_warned", "tests_failed", "tests_skipped",
)  # fmt: skip


@dataclass(frozen=True)
class PastRun:
    """A run as its summary recorded it.

    Attributes:
        dag_id: its DAG.
        run_id: Airflow's id of it.
        recorded_at: when the summary was written, in UTC.
        layers: by name, in the order it worked through them; `run` is all of it together.
    """

    dag_id: str
    run_id: str
    recorded_at: datetime
    layers: Mapping[str, Layer]

    @property
    def status(self) -> str:
        """success, warning or failed."""
        statuses = {layer.status for layer in self.layers.values()}
        return next((one for one in (FAILED, WARNING) if one in statuses), SUCCESS)

    @property
    def began_at(self) -> datetime:
        """When it began, in UTC; when it was recorded if it says no more."""
        began = (layer.began_at for layer in self.layers.values() if layer.began_at)
        return min(began, default=self.recorded_at)

    @property
    def ended_at(self) -> datetime:
        """When its last step ended, in UTC."""
        ended = (layer.ended_at for layer in self.layers.values() if layer.ended_at)
        return max(ended, default=self.recorded_at)

    @property
    def seconds(self) -> float:
        """How long it took."""
        whole = self.layers.get(WHOLE)
        if whole and whole.seconds is not None:
            return whole.seconds
        return (self.ended_at - self.began_at).total_seconds()


@dataclass(frozen=True)
class Rejects:
    """Rows of a source that failed one check in the last days.

    Attributes:
        column: the column, or empty if the row as a whole was wrong.
        rows: how many.
        files: of how many deliveries.
        latest_file: the last of them.
        latest_at: when that was, in UTC.
    """

    source: str
    column: str
    reason: str
    rows: int
    files: int
    latest_file: str
    latest_at: datetime


@dataclass(frozen=True)
class Refused:
    """A file that was refused and has not been loaded since."""

    source: str
    file: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class AddedColumns:
    """Columns that a delivery brought with it."""

    source: str
    file: str
    columns: str
    at: datetime


@dataclass(frozen=True)
class Compared:
    """What comparisons of a database with its raw table found.

    Attributes:
        found: rows that had come too late and were loaded in the last days.
        only_in_source, only_in_raw, days_apart: what still differed after the last comparison.
        problem: why the last comparison failed.
        at: when the last comparison took place, in UTC.
    """

    source: str
    found: int
    only_in_source: int
    only_in_raw: int
    days_apart: int
    problem: str
    at: datetime


@dataclass(frozen=True)
class Measured:
    """How much of a column was missing in one delivery.

    Attributes:
        null_rate: missing values by rows, from 0 to 1.
    """

    loaded_at: datetime
    file: str
    rows: int
    null_rate: float


@dataclass(frozen=True)
class History:
    """What the warehouse tells; empty where it knows nothing.

    Attributes:
        runs: of each DAG the last runs, oldest first.
        rejects: of each domain what was rejected in the last days, most rows first.
        refused: of each domain the files that still wait to be corrected, newest first.
        added_columns: of each domain the columns that came in the last days, newest first.
        compared: for each domain, the sources that differed from their raw tables.
        created: when a table was created or built anew, in UTC, by its whole name in upper case.
        quality: of each retail table its columns, in their order, with a measurement a delivery,
            oldest first.
    """

    runs: Mapping[str, list[PastRun]] = field(default_factory=dict)
    rejects: Mapping[str, list[Rejects]] = field(default_factory=dict)
    refused: Mapping[str, list[Refused]] = field(default_factory=dict)
    added_columns: Mapping[str, list[AddedColumns]] = field(default_factory=dict)
    compared: Mapping[str, list[Compared]] = field(default_factory=dict)
    created: Mapping[str, datetime] = field(default_factory=dict)
    quality: Mapping[str, Mapping[str, list[Measured]]] = field(default_factory=dict)


def read_history(settings: ConnectionSettings, tables: Collection[str] = ()) -> History:
    """Ask the warehouse.

    Args:
        settings: which one.
        tables: those of which it is asked when they were created, by their whole names.

    Raises:
        WarehouseUnreachableError: it takes no connection.
        snowflake.connector.errors.Error: it fails.
    """
    with _cursor(settings) as cursor:
        book = _tables(cursor, "RAW", "META")
        mart = f"{settings.schema_prefix}mart".upper()
        quality = "MART_RETAIL__DATA_QUALITY"
        loads = "LOADS" in book
        return History(
            runs=_runs(cursor, settings.target) if "RUN_SUMMARY" in book else {},
            rejects=_rejects(cursor) if "REJECTED_ROWS" in book else {},
            refused=_refused(cursor) if loads else {},
            added_columns=_added_columns(cursor) if loads else {},
            compared=_compared(cursor) if "COMPARISONS" in book else {},
            created=_created(cursor, settings.database, tables) if tables else {},
            quality=(
                _quality(cursor, f"{settings.database}.{mart}.{quality}")
                if quality in _tables(cursor, settings.database, mart)
                else {}
            ),
        )


@contextmanager
def _cursor(settings: ConnectionSettings) -> Iterator[SnowflakeCursor]:
    tag = {"task": "report"}
    with connect(settings, query_tag=tag) as connection, connection.cursor() as cursor:
        yield cursor


def _rows(
    cursor: SnowflakeCursor, sql: str, values: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows by the names of their columns in lower case."""
    cursor.execute(sql, dict(values) if values else None)
    names = [column.name.lower() for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _tables(cursor: SnowflakeCursor, database: str, schema: str) -> set[str]:
    """The tables of a schema; none if there is no such schema or database."""
    if database not in databases(cursor):
        return set()
    found = _rows(
        cursor,
        f"select upper(table_name) as name from {database}.information_schema.tables"
        " where upper(table_schema) = %(schema)s",
        {"schema": schema},
    )
    return {str(row["name"]) for row in found}


def _runs(cursor: SnowflakeCursor, target: str) -> dict[str, list[PastRun]]:
    rows = _rows(
        cursor,
        f"""
        with stamped as (
            select
                *,
                max(recorded_at) over (partition by dag_id, run_id) as run_recorded_at
            from {ledgers.RUN_SUMMARY.table}
            where target = %(target)s
        )

        select
            dag_id, run_id, layer, status, began_at, ended_at, problems, run_recorded_at,
            {", ".join(_COUNTS)}
        from stamped
        qualify
            dense_rank() over (partition by dag_id order by run_recorded_at desc, run_id) <= {RUNS}
        order by dag_id, run_recorded_at, run_id desc, position
        """,
        {"target": target},
    )
    by_run: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_run[row["dag_id"], row["run_id"]].append(row)
    found: dict[str, list[PastRun]] = defaultdict(list)
    for (dag_id, run_id), layers in by_run.items():
        recorded = _utc(layers[0]["run_recorded_at"])
        run = PastRun(dag_id, run_id, recorded, {one["layer"]: _layer(one) for one in layers})
        found[dag_id].append(run)
    return found


def _layer(row: Mapping[str, Any]) -> Layer:
    counts: dict[str, Any] = {
        name: None if row[name] is None else int(row[name]) for name in _COUNTS
    }
    return Layer(
        layer=row["layer"],
        status=row["status"],
        began_at=_utc(row["began_at"]) if row["began_at"] else None,
        ended_at=_utc(row["ended_at"]) if row["ended_at"] else None,
        problems=tuple((row["problems"] or "").splitlines()),
        **counts,
    )


def _rejects(cursor: SnowflakeCursor) -> dict[str, list[Rejects]]:
    rows = _rows(
        cursor,
        f"""
        select
            domain, source, coalesce(column_name, '') as column_name, reason,
            count(*) as row_count,
            count(distinct source_file) as file_count,
            max_by(source_file, rejected_at) as latest_file,
            max(rejected_at) as latest_at
        from RAW.META.REJECTED_ROWS
        where rejected_at >= dateadd(day, -{DAYS}, sysdate())
        group by domain, source, coalesce(column_name, ''), reason
        qualify row_number() over (partition by domain order by count(*) desc, reason) <= {MOST}
        order by domain, row_count desc, reason
        """,
    )
    found: dict[str, list[Rejects]] = defaultdict(list)
    for row in rows:
        found[row["domain"]].append(
            Rejects(
                row["source"],
                row["column_name"],
                row["reason"],
                int(row["row_count"]),
                int(row["file_count"]),
                row["latest_file"],
                _utc(row["latest_at"]),
            )
        )
    return found


def _refused(cursor: SnowflakeCursor) -> dict[str, list[Refused]]:
    rows = _rows(
        cursor,
        f"""
        with attempts as (
            select
                *,
                max(case when status = 'committed' then finished_at end) over (
                    partition by domain, source, source_file
                ) as committed_at,
                row_number() over (
                    partition by domain, source, source_file, status order by finished_at desc
                ) as newest
            from RAW.META.LOADS
        )

        select domain, source, source_file, reason, finished_at
        from attempts
        where
            status = 'refused'
            and newest = 1
            and (committed_at is null or committed_at < finished_at)
        qualify row_number() over (partition by domain order by finished_at desc) <= {MOST}
        order by domain, finished_at desc
        """,
    )
    found: dict[str, list[Refused]] = defaultdict(list)
    for row in rows:
        refused = Refused(
            row["source"], row["source_file"], row["reason"] or "", _utc(row["finished_at"])
        )
        found[row["domain"]].append(refused)
    return found


def _added_columns(cursor: SnowflakeCursor) -> dict[str, list[AddedColumns]]:
    rows = _rows(
        cursor,
        f"""
        select domain, source, source_file, added_columns, finished_at
        from RAW.META.LOADS
        where
            status = 'committed'
            and added_columns is not null
            and finished_at >= dateadd(day, -{DAYS}, sysdate())
        qualify row_number() over (partition by domain order by finished_at desc) <= {MOST}
        order by domain, finished_at desc
        """,
    )
    found: dict[str, list[AddedColumns]] = defaultdict(list)
    for row in rows:
        added = AddedColumns(
            row["source"], row["source_file"], row["added_columns"], _utc(row["finished_at"])
        )
        found[row["domain"]].append(added)
    return found


def _compared(cursor: SnowflakeCursor) -> dict[str, list[Compared]]:
    rows = _rows(
        cursor,
        f"""
        select
            domain, source,
            sum(iff(compared_at >= dateadd(day, -{DAYS}, sysdate()), rows_found, 0)) as found,
            max_by(only_in_source, compared_at) as only_in_source,
            max_by(only_in_raw, compared_at) as only_in_raw,
            max_by(days_apart, compared_at) as days_apart,
            max_by(coalesce(problem, ''), compared_at) as problem,
            max(compared_at) as latest_at
        from RAW.META.COMPARISONS
        group by domain, source
        order by domain, source
        """,
    )
    found: dict[str, list[Compared]] = defaultdict(list)
    for row in rows:
        compared = Compared(
            row["source"],
            found=int(row["found"]),
            only_in_source=int(row["only_in_source"]),
            only_in_raw=int(row["only_in_raw"]),
            days_apart=int(row["days_apart"]),
            problem=row["problem"],
            at=_utc(row["latest_at"]),
        )
        if compared.found or compared.days_apart or compared.problem:
            found[row["domain"]].append(compared)
    return found


def _created(
    cursor: SnowflakeCursor, database: str, tables: Collection[str]
) -> dict[str, datetime]:
    schemas = sorted({one.upper().split(".")[1] for one in tables})
    rows = _rows(
        cursor,
        f"""
        select upper(table_schema) || '.' || upper(table_name) as name, created
        from {database}.information_schema.tables
        where upper(table_schema) in (%(schemas)s)
        """,
        {"schemas": schemas},
    )
    created = {f"{database}.{row['name']}": _utc(row["created"]) for row in rows}
    wanted = {one.upper() for one in tables}
    return {name: at for name, at in created.items() if name in wanted}


def _quality(cursor: SnowflakeCursor, relation: str) -> dict[str, dict[str, list[Measured]]]:
    rows = _rows(
        cursor,
        f"""
        select table_name, column_name, source_file, loaded_at, row_count, null_rate
        from {relation}
        qualify
            dense_rank() over (partition by table_name order by loaded_at desc, load_id)
            <= {QUALITY_LOADS}
        order by table_name, column_position, loaded_at, load_id desc
        """,
    )
    found: dict[str, dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        measured = Measured(
            _utc(row["loaded_at"]),
            row["source_file"],
            int(row["row_count"]),
            float(row["null_rate"]),
        )
        found[row["table_name"]][row["column_name"]].append(measured)
    return found


def _utc(moment: datetime) -> datetime:
    """Our columns are UTC without a zone; those of the catalogue have one."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
