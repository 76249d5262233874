"""The warehouse's side of a load: stage, load table, raw table, and the book of loads.

Identifiers come from declarations that allow lower-case letters, digits and underscores only, and
are quoted; every other value is bound.
"""

# ruff: noqa: S608 - identifiers are checked and quoted, values are bound, as said above.
from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from snowflake.connector.errors import Error as SnowflakeError

from include.ingestion.comparison import Comparison, Day, Difference, Scope, as_json, from_json
from include.ingestion.database import Extract, Span
from include.ingestion.errors import IngestionError, RefusedError, TakenOverError
from include.ingestion.sources import Column, DatabaseFormat, Source
from include.ingestion.validation import ROW_NUMBER
from include.warehouse import ledgers

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

LOADS, REJECTED_ROWS = ledgers.LOADS.table, ledgers.REJECTED_ROWS.table
COMPARISONS, STAGE = ledgers.COMPARISONS.table, ledgers.STAGE
PARQUET = "file_format = (type = parquet) match_by_column_name = case_insensitive"

METADATA = {
    "_source_file": "varchar not null",
    "_row_number": "number(38, 0) not null",
    "_loaded_at": "timestamp_ntz not null",
    "_load_id": "varchar not null",
    "_row_hash": "varchar not null",
}
"""What every raw table carries besides its own columns."""


@dataclass(frozen=True)
class Claim:
    """The right to load one delivery, until somebody else claims it.

    Attributes:
        load_id: names the load; a later delivery has a greater one.
        attempt_id: names this attempt, and its load tables and staged files.
    """

    load_id: str
    attempt_id: str


@dataclass(frozen=True)
class Progress:
    """How far a table of a database has been read and compared.

    Attributes:
        watermark: up to where it has been read; None to read all of it.
        overlap: a hash of the rows that the next extract reads again.
        last: minutes since the last comparison; None if there was none.
        everything: minutes since the last one of all days.
        differences: what differed the last time.
    """

    watermark: datetime | None
    overlap: str | None
    last: float | None
    everything: float | None
    differences: dict[str, Difference]


@dataclass(frozen=True)
class Accounts:
    """What became of the rows of a delivery, as counted in the warehouse."""

    delivered: int
    loaded: int
    rejected: int
    superseded: int


def sql_type(column: Column) -> str:
    """The column's type in the raw table."""
    if column.precision_and_scale:
        return "number({}, {})".format(*column.precision_and_scale)
    return {
        "text": "varchar",
        "integer": "number(38, 0)",
        "float": "float",
        "boolean": "boolean",
        "date": "date",
        "timestamp": "timestamp_ntz",
    }[column.type]


def quoted(name: str) -> str:
    """A checked name as an identifier that may be any word of SQL."""
    return f'"{name.upper()}"'


class Raw:
    """The raw database as one source's loads use it, over one connection."""

    def __init__(self, connection: SnowflakeConnection, source: Source) -> None:
        self.connection = connection
        self.source = source
        self.schema = f"RAW.{quoted(source.domain)}"
        self.table = f"{self.schema}.{quoted(source.name)}"
        self._columns: ledgers.Columns | None = None

    # -- plumbing -----------------------------------------------------------------------------

    @contextmanager
    def _cursor(self) -> Iterator[SnowflakeCursor]:
        with self.connection.cursor() as cursor:
            yield cursor

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> int:
        """Run one statement with bound values; the number of rows it touched."""
        with self._cursor() as cursor:
            # Without values there is no binding, and percent signs are what they are.
            cursor.execute(sql, dict(values) if values else None)
            return int(cursor.rowcount or 0)

    def rows(self, sql: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query with bound values."""
        with self._cursor() as cursor:
            cursor.execute(sql, dict(values) if values else None)
            return cursor.fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block's statements or none. No DDL inside: it would commit."""
        self.execute("begin")
        try:
            yield
        except BaseException:
            with suppress(SnowflakeError, OSError):
                self.execute("rollback")
            raise
        self.execute("commit")

    def _of_source(self, **more: object) -> dict[str, object]:
        return {"domain": self.source.domain, "source": self.source.name, **more}

    # -- objects ------------------------------------------------------------------------------

    def prepare(self, beside: Sequence[Raw] = ()) -> None:
        """Create the ledgers that are missing, and read which columns the raw table has.

        Args:
            beside: other sources of the domain, whose columns the same query reads.
        """
        raws = [self, *beside]
        with self._cursor() as cursor:
            found = ledgers.prepare(cursor, self.source.domain, [raw.source.name for raw in raws])
        for raw in raws:
            raw._columns = found.get(raw.source.name.upper())

    def prepare_table(self, columns: Sequence[Column]) -> list[str]:
        """Create the raw table, or add the columns it lacks; returns those.

        Raises:
            RefusedError: a column has another type there than is declared.
        """
        wanted = {column.name: sql_type(column) for column in columns}
        if self._columns is None:
            everything = ", ".join(
                f"{quoted(name)} {kind}" for name, kind in (wanted | METADATA).items()
            )
            self.execute(f"create schema if not exists {self.schema}")
            self.execute(f"create table if not exists {self.table} ({everything})")
            self.prepare()
        existing = self._columns or {}
        for column in columns:
            found = existing.get(column.name.upper())
            if found and found not in _FAMILIES[column.type.partition("(")[0]]:
                raise RefusedError(
                    f"RAW.{self.source.domain}.{self.source.name} has it as {found.lower()} where "
                    f"{column.type} is declared: declare the old type, or change the raw table.",
                    column=column.name,
                )
        added = [name for name in wanted if name.upper() not in existing]
        for name in added:
            self.execute(
                f"alter table {self.table} add column if not exists {quoted(name)} {wanted[name]}"
            )
        if added:
            self.prepare()
        return added

    def create_load_table(self, name: str, columns: Sequence[Column]) -> None:
        """An empty table for staged rows; one of the same name is forgotten."""
        kinds = [f"{quoted(column.name)} {sql_type(column)}" for column in columns]
        kinds.append(f"{quoted(ROW_NUMBER)} number(38, 0)")
        self.execute(f"create or replace transient table {name} ({', '.join(kinds)})")

    def create_union(self, name: str, tables: Sequence[str], columns: Sequence[Column]) -> None:
        """A load table of what several hold; fails if one of them is missing."""
        names = ", ".join([*(quoted(column.name) for column in columns), quoted(ROW_NUMBER)])
        self.create_load_table(name, columns)
        union = " union all ".join(f"select {names} from {table}" for table in tables)
        self.execute(f"insert into {name} ({names}) {union}")

    def publish(self, table: str, name: str) -> None:
        """Give a load table its final name, in place of one that has it already."""
        self.execute(f"create or replace transient table {name} clone {table}")
        self.execute(f"drop table {table}")

    def count(self, table: str) -> int:
        """The rows of a load table."""
        [(rows,)] = self.rows(f"select count(*) from {table}")
        return int(rows)

    def create_reject_table(self, name: str) -> None:
        """An empty table for staged rejects."""
        self.execute(
            f"create or replace transient table {name}"
            " (row_number number(38, 0), column_name varchar, reason varchar, raw_text varchar)"
        )

    # -- staging ------------------------------------------------------------------------------

    def put(self, folder: str, name: str, parquet: bytes) -> None:
        """Upload Parquet to a folder of the stage."""
        with self._cursor() as cursor:
            cursor.execute(
                f"put 'file://{name}' @{STAGE}/{folder}/ auto_compress = false overwrite = true",
                file_stream=io.BytesIO(parquet),
            )
            status = [row[6] for row in cursor.fetchall()]
        if status != ["UPLOADED"]:
            raise IngestionError(
                f"The upload of {name} ended as {status}: look at the warehouse's log and run "
                "again."
            )

    def copy(self, table: str, folder: str) -> int:
        """Load all staged files of a folder; the number of rows."""
        loaded = self.rows(f"copy into {table} from @{STAGE}/{folder}/ {PARQUET}")
        # Without files the result is a row of one column, a sentence.
        return sum(int(row[3]) for row in loaded if row[1:2] == ("LOADED",))

    def remove(self, folder: str) -> None:
        """Delete the staged files of a folder."""
        self.execute(f"remove @{STAGE}/{folder}/")

    # -- the book of loads --------------------------------------------------------------------

    def claim(
        self,
        name: str,
        content_id: str,
        size: int,
        attempt_id: str,
        latest: str | None,
        *,
        again: bool = False,
    ) -> Claim | None:
        """Claim a delivery, also from whoever has claimed it before; None if it is loaded.

        `latest` is the source's last load so far.

        It is loaded if its name was last loaded with this content. `again` asks that of the source
        instead: a file that was loaded before another one has made way and is not loaded any more.

        One statement decides, so that of two loaders that ask at once each knows where it stands.

        Raises:
            TakenOverError: another loader claimed it at the same moment.
        """
        values = self._of_source(
            content_id=content_id,
            name=name,
            size=size,
            attempt_id=attempt_id,
            mode=self.source.load,
            load_id=_next_load_id(latest, content_id),
        )
        of_name = "" if again else "and source_file = %(name)s"
        self.execute(
            f"""
            merge into {LOADS} as l using (
                select %(load_id)s as load_id, %(content_id)s as content_id
                where not exists (
                    select 1 from {LOADS}
                    where domain = %(domain)s and source = %(source)s and source_file = %(name)s
                        and status = 'committed' and content_id = %(content_id)s
                        and load_id = (
                            select max(load_id) from {LOADS}
                            where domain = %(domain)s and source = %(source)s {of_name}
                                and status = 'committed'
                        )
                )
            ) as n
            on l.content_id = n.content_id and l.status <> 'committed'
            when matched then update set
                load_id = case when l.status = 'started' then l.load_id else n.load_id end,
                attempt_id = %(attempt_id)s, status = 'started', reason = null,
                started_at = sysdate(), finished_at = null
            when not matched then insert (
                load_id, content_id, attempt_id, domain, source, source_file, file_bytes,
                load_mode, status, started_at
            ) values (
                n.load_id, n.content_id, %(attempt_id)s, %(domain)s, %(source)s, %(name)s,
                %(size)s, %(mode)s, 'started', sysdate()
            )
            """,
            values,
        )
        claimed = self.rows(
            f"select load_id from {LOADS} where attempt_id = %(attempt_id)s", values
        )
        if claimed:
            return Claim(claimed[0][0], attempt_id)
        # Only a committed load is a reason not to load; a claim may also be lost at once.
        if (self.held() if again else self._committed_content(name)) != content_id:
            raise TakenOverError("another loader took the file over at the same moment.")
        return None

    def _committed_content(self, name: str) -> str | None:
        """The content of the last load of a file of this name."""
        found = self.rows(
            f"select content_id from {LOADS} where domain = %(domain)s and source = %(source)s"
            " and source_file = %(name)s and status = 'committed' order by load_id desc limit 1",
            self._of_source(name=name),
        )
        return cast("str", found[0][0]) if found else None

    def held(self) -> str | None:
        """The content of the source's last load, which is all that a replacing source holds."""
        found = self.rows(
            f"select content_id from {LOADS} where domain = %(domain)s and source = %(source)s"
            " and status = 'committed' order by load_id desc limit 1",
            self._of_source(),
        )
        return cast("str", found[0][0]) if found else None

    def loads_before(self, name: str, content_id: str) -> tuple[list[str], str | None]:
        """What earlier loads may have left, and the source's last load.

        Returns:
            The attempts at this content or name that did not end, with those that ended long ago;
            and the greatest load id.
        """
        found = self.rows(
            f"""
            select attempt_id, left_over, load_id
            from (
                select
                    attempt_id,
                    load_id,
                    (content_id = %(content_id)s and status <> 'committed')
                    or (
                        status = 'started'
                        and (
                            source_file = %(name)s or started_at < dateadd(day, -1, sysdate())
                        )
                    ) as left_over,
                    max(load_id) over () as latest
                from {LOADS}
                where domain = %(domain)s and source = %(source)s
            ) as loads
            where left_over or load_id = latest
            """,
            self._of_source(name=name, content_id=content_id),
        )
        attempts = [attempt for attempt, left_over, _ in found if left_over]
        return attempts, max((load_id for *_, load_id in found), default=None)

    def abandon_others(self, name: str, claim: Claim) -> None:
        """Other contents of this name will not come back: a newer one is here."""
        self.execute(
            f"update {LOADS} set status = 'abandoned', finished_at = sysdate()"
            " where domain = %(domain)s and source = %(source)s and status = 'started'"
            " and load_id <> %(load_id)s"
            " and (source_file = %(name)s or started_at < dateadd(day, -1, sysdate()))",
            self._of_source(name=name, load_id=claim.load_id),
        )

    def committed_before(self, name: str) -> str | None:
        """The last load of a file of this name."""
        [(latest,)] = self.rows(
            f"select max(load_id) from {LOADS} where domain = %(domain)s and source = %(source)s"
            " and source_file = %(name)s and status = 'committed'",
            self._of_source(name=name),
        )
        return cast("str | None", latest)

    def progress(self) -> Progress:
        """How far the source's table has been read and compared."""
        of_source = "where domain = %(domain)s and source = %(source)s"
        [(known, watermark, overlap, last, everything, differences)] = self.rows(
            f"""
            select
                (select count(*) from (select 1 as one from {self.table} limit 1) as first_row),
                l.watermark, l.overlap, c.last, c.everything, c.differences
            from (
                select
                    max(watermark) as watermark,
                    max_by(overlap, iff(watermark is null, null, load_id)) as overlap
                from {LOADS}
                {of_source} and status = 'committed'
            ) as l
            cross join (
                select
                    datediff(second, max(compared_at), sysdate()) as last,
                    datediff(second, max(iff(first_day is null, compared_at, null)), sysdate())
                        as everything,
                    max_by(differences, compared_at) as differences
                from {COMPARISONS}
                {of_source}
            ) as c
            """,
            self._of_source(),
        )
        minutes = [None if one is None else int(one) / 60 for one in (last, everything)]
        return Progress(
            # An empty raw table has nothing to go on from, whatever was loaded once.
            cast("datetime | None", watermark if known else None),
            cast("str | None", overlap if known else None),
            minutes[0],
            minutes[1],
            from_json(differences),
        )

    # -- comparison with a database -----------------------------------------------------------

    def begin_comparison(self, unfinished: Comparison) -> datetime:
        """Record a comparison before it begins; the returned moment identifies it in the ledger."""
        [(moment,)] = self.rows("select sysdate()")
        values = self._of_comparison(unfinished)
        self.execute(
            f"insert into {COMPARISONS} (domain, source, compared_at, {', '.join(values)})"
            " select %(domain)s, %(source)s, %(moment)s::timestamp_ntz,"
            f" {', '.join(f'%({name})s' for name in values)}",
            self._of_source(**values, moment=moment.isoformat(sep=" ")),
        )
        return cast("datetime", moment)

    def end_comparison(self, begun: datetime, comparison: Comparison) -> None:
        """Record what the comparison found that began at that moment."""
        values = self._of_comparison(comparison)
        self.execute(
            f"update {COMPARISONS} set compared_at = sysdate(),"
            f" {', '.join(f'{name} = %({name})s' for name in values)}"
            " where domain = %(domain)s and source = %(source)s"
            " and compared_at = %(moment)s::timestamp_ntz",
            self._of_source(**values, moment=begun.isoformat(sep=" ")),
        )

    @staticmethod
    def _of_comparison(comparison: Comparison) -> dict[str, object]:
        first = comparison.scope.first
        return {
            "first_day": first.isoformat() if first else None,
            "days": comparison.days,
            "days_extracted": len(comparison.extracted),
            "rows_found": comparison.found,
            "only_in_source": comparison.only_in_source,
            "only_in_raw": comparison.only_in_raw,
            "days_apart": len(comparison.differences),
            "differences": as_json(comparison.differences),
            "problem": comparison.problem,
        }

    def days(self, scope: Scope) -> dict[str, Day]:
        """Count the raw table by day of the event, in one query; see `comparison`."""
        database = cast("DatabaseFormat", self.source.format)
        kind = {column.name: column.type for column in self.source.columns}
        moment = quoted(cast(str, database.event_time))
        changed = quoted(database.watermark)
        is_text = kind[cast(str, database.event_time)] == "text"
        day = f"left({moment}, 10)" if is_text else f"to_char({moment}, 'YYYY-MM-DD')"
        keys = [quoted(key) for key in self.source.key]
        place, newer, values = "1", "", {}
        in_scope = "true"
        if scope.first is not None:
            in_scope = f"{moment} >= %(first)s{'' if is_text else '::timestamp_ntz'}"
            values["first"] = scope.first.isoformat()
        if keys:
            keyless = " or ".join(f"{key} is null" for key in keys)
            place = (
                f"iff({keyless}, 1, rank() over (partition by {', '.join(keys)}"
                f" order by {changed} desc))"
            )
            if scope.first is not None:
                # The latest version of a row may have moved out of the days that are compared.
                names = ", ".join(keys)
                newer = (
                    f" and ({keyless} or ({names}) in"
                    f" (select {names} from {self.table} where {in_scope}))"
                )
        found = self.rows(
            f"""
            select day, count(*), sum(changed)
            from (
                select
                    coalesce({day}, '') as day,
                    datediff(microsecond, '1970-01-01'::timestamp_ntz, {changed}) as changed,
                    {place} as place,
                    {in_scope} as in_scope
                from {self.table}
                where {changed} is not null{newer}
            )
            where place = 1 and in_scope
            group by day
            """,
            values,
        )
        return {str(day): Day(int(count), int(changes)) for day, count, changes in found}

    def attempts_of(self, load_id: str) -> list[str]:
        """The attempt that committed a load; it may not have lived to remove what it used."""
        found = self.rows(
            f"select attempt_id from {LOADS} where load_id = %(load_id)s", {"load_id": load_id}
        )
        return [attempt for (attempt,) in found]

    def is_claimed(self, claim: Claim) -> bool:
        """Whether the claim still holds, and the load is not done."""
        found = self.rows(
            f"select 1 from {LOADS} where load_id = %(load_id)s and attempt_id = %(attempt_id)s"
            " and status = 'started'",
            {"load_id": claim.load_id, "attempt_id": claim.attempt_id},
        )
        return bool(found)

    def refuse(self, claim: Claim, reason: str) -> None:
        """Record that a file is refused, and why."""
        self.execute(
            f"update {LOADS} set status = 'refused', reason = %(reason)s, finished_at = sysdate()"
            " where load_id = %(load_id)s and attempt_id = %(attempt_id)s and status = 'started'",
            {"reason": reason, "load_id": claim.load_id, "attempt_id": claim.attempt_id},
        )

    def discard(self, claim: Claim, *tables: str) -> None:
        """Drop what a load used: its load tables and its staged files."""
        for table in tables:
            self.execute(f"drop table if exists {table}")
        self.remove(claim.attempt_id)

    def forget(self, attempt_id: str) -> None:
        """Drop whatever an attempt has left: its load tables and its staged files."""
        name = load_table(attempt_id).rpartition(".")[2]
        tables = self.rows(
            "select table_name from RAW.INFORMATION_SCHEMA.TABLES where table_schema = 'META'"
            " and startswith(table_name, %(name)s)",
            {"name": name},
        )
        for (table,) in tables:
            self.execute(f'drop table if exists RAW.META."{table}"')
        self.remove(attempt_id)

    # -- the transaction ----------------------------------------------------------------------

    def merge(self, load: str, columns: Sequence[Column], claim: Claim, name: str) -> None:
        """Bring staged rows into the raw table by key; the row delivered last counts.

        "Last" is the greater load, then the later row. So any part of a delivery may come in any
        order and more than once. A row that is delivered again unchanged keeps its `_loaded_at`.
        """
        names = [quoted(column.name) for column in columns]
        keys = [quoted(key) for key in self.source.key]
        same = " and ".join(f"t.{key} = s.{key}" for key in keys)
        order = quoted(ROW_NUMBER)
        others = [column for column in names if column not in keys]
        updates = [f"{column} = s.{column}" for column in others]
        updates += [
            '"_LOADED_AT" = iff(t."_ROW_HASH" = s."_ROW_HASH", t."_LOADED_AT", sysdate())',
            '"_SOURCE_FILE" = %(name)s',
            '"_LOAD_ID" = %(load_id)s',
            '"_ROW_NUMBER" = s."_ROW_NUMBER"',
            '"_ROW_HASH" = s."_ROW_HASH"',
        ]
        last = ""
        if self._doubled(load):
            keyed = ", ".join(keys)
            last = f"qualify row_number() over (partition by {keyed} order by {order} desc) = 1"
        self.execute(
            f"""
            merge into {self.table} as t using (
                select {", ".join(names)}, {order}, {row_hash(columns)} as "_ROW_HASH"
                from {load} {last}
            ) as s on {same}
            when matched and (
                t."_LOAD_ID" < %(load_id)s
                or (t."_LOAD_ID" = %(load_id)s and t."_ROW_NUMBER" < s."_ROW_NUMBER")
            ) then update set {", ".join(updates)}
            when not matched then insert ({", ".join([*names, *map(quoted, METADATA)])})
            values (
                {", ".join(f"s.{column}" for column in names)},
                %(name)s, s."_ROW_NUMBER", sysdate(), %(load_id)s, s."_ROW_HASH"
            )
            """,
            {"name": name, "load_id": claim.load_id},
        )

    def append(self, load: str, columns: Sequence[Column], claim: Claim, name: str) -> int:
        """Add staged rows, in place of all rows or of those of the same file name.

        Returns:
            How many rows they replaced.
        """
        values = {"name": name, "load_id": claim.load_id}
        if self.source.load == "replace":
            removed = self.execute(f"delete from {self.table}")
        else:
            removed = self.execute(
                f'delete from {self.table} where "_SOURCE_FILE" = %(name)s', values
            )
        names = ", ".join(quoted(column.name) for column in columns)
        once = ""
        if self.source.duplicates == "drop":
            once = 'qualify row_number() over (partition by "_ROW_HASH" order by "_ROW_NUMBER") = 1'
        self.execute(
            f"""
            insert into {self.table} ({names}, {", ".join(map(quoted, METADATA))})
            select
                {names}, %(name)s, "_ROW_NUMBER", sysdate(), %(load_id)s,
                {row_hash(columns)} as "_ROW_HASH"
            from {load} {once}
            """,
            values,
        )
        return removed

    def add(self, load: str, columns: Sequence[Column], claim: Claim, name: str) -> None:
        """Add the staged rows that the raw table has not, counted.

        Of fully equal rows it has as many afterwards as the larger of the two holds. So an extract
        that overlaps the one before adds nothing twice, and what is twice in the source is twice
        here.
        """
        names = [quoted(column.name) for column in columns]
        self.execute(
            f"""
            insert into {self.table} ({", ".join(names)}, {", ".join(map(quoted, METADATA))})
            select
                {", ".join(f"s.{column}" for column in names)}, %(name)s, s."_ROW_NUMBER",
                sysdate(), %(load_id)s, s."_ROW_HASH"
            from (
                select
                    {", ".join(names)}, "_ROW_NUMBER", {row_hash(columns)} as "_ROW_HASH",
                    row_number() over (
                        partition by {row_hash(columns)} order by "_ROW_NUMBER"
                    ) as copy_number
                from {load}
            ) as s
            left join ({self._known(load)}) as k on s."_ROW_HASH" = k."_ROW_HASH"
            where s.copy_number > coalesce(k.copies, 0)
            """,
            {"name": name, "load_id": claim.load_id},
        )

    def _known(self, load: str) -> str:
        """How often the raw table holds rows that the staged ones may equal."""
        database = cast("DatabaseFormat", self.source.format)
        changed = quoted(database.watermark)
        return (
            f'select "_ROW_HASH", count(*) as copies from {self.table}'
            f" where {changed} is null or {changed} >= (select min({changed}) from {load})"
            ' group by "_ROW_HASH"'
        )

    def remove_missing(self, load: str, columns: Sequence[Column], span: Span) -> int:
        """Delete what the raw table has of a range of event time and the staged rows have not.

        Returns:
            How many rows that were.
        """
        database = cast("DatabaseFormat", self.source.format)
        kind = {column.name: column.type for column in columns}
        within, values = ["true"], {}
        for bound, sign, moment in (("start", ">=", span.start), ("end", "<", span.end)):
            if moment is not None and database.event_time is not None:
                # Text is in ISO's order, and one without a fraction sorts before one with zeros.
                value = "" if kind[database.event_time] == "text" else "::timestamp_ntz"
                within.append(f"{quoted(database.event_time)} {sign} %({bound})s{value}")
                values[bound] = moment.isoformat(sep=" ")
        return self.execute(
            f"""
            delete from {self.table} as t using (
                select r."_LOAD_ID", r."_ROW_NUMBER"
                from (
                    select
                        "_LOAD_ID", "_ROW_NUMBER", "_ROW_HASH",
                        row_number() over (
                            partition by "_ROW_HASH" order by "_LOAD_ID", "_ROW_NUMBER"
                        ) as copy_number
                    from {self.table}
                    where {" and ".join(within)}
                ) as r
                left join (
                    select {row_hash(columns)} as "_ROW_HASH", count(*) as copies
                    from {load}
                    group by 1
                ) as l on r."_ROW_HASH" = l."_ROW_HASH"
                where r.copy_number > coalesce(l.copies, 0)
            ) as gone
            where t."_LOAD_ID" = gone."_LOAD_ID" and t."_ROW_NUMBER" = gone."_ROW_NUMBER"
            """,
            values,
        )

    def record_rejects(self, rejects: str, claim: Claim, name: str) -> None:
        """Copy staged rejects into the table of all rejected rows."""
        self.execute(
            f"""
            insert into {REJECTED_ROWS} (
                load_id, domain, source, source_file, row_number, column_name, reason, raw_text,
                rejected_at
            )
            select
                %(load_id)s, %(domain)s, %(source)s, %(name)s, row_number, column_name, reason,
                raw_text, sysdate()
            from {rejects}
            """,
            self._of_source(load_id=claim.load_id, name=name),
        )

    def account(
        self, load: str, columns: Sequence[Column], claim: Claim, delivered: int
    ) -> Accounts:
        """Count what became of the delivery, each number by itself.

        Raises:
            IngestionError: the numbers do not add up, so that a row is lost or doubled.
        """
        [(loaded, rejected, superseded)] = self.rows(
            f"""
            select
                (select count(*) from {self.table} where "_LOAD_ID" = %(load_id)s),
                (
                    select count(distinct row_number) from {REJECTED_ROWS}
                    where load_id = %(load_id)s
                ),
                {self._superseded(load, columns)}
            """,
            {"load_id": claim.load_id},
        )
        accounts = Accounts(delivered, int(loaded), int(rejected), int(superseded))
        if delivered != accounts.loaded + accounts.rejected + accounts.superseded:
            raise IngestionError(
                f"The load {claim.load_id} does not add up and is rolled back: {delivered:,} rows "
                f"delivered, but {accounts.loaded:,} loaded, {accounts.rejected:,} rejected and "
                f"{accounts.superseded:,} superseded. The file stays; report this."
            )
        return accounts

    def _superseded(self, load: str, columns: Sequence[Column]) -> str:
        """SQL that counts staged rows that lost: to a later one of the delivery, or a newer one."""
        if self.source.load == "merge":
            keys = ", ".join(quoted(key) for key in self.source.key)
            same = " and ".join(f"t.{quoted(key)} = s.{quoted(key)}" for key in self.source.key)
            return f"""
                (select count(*) from {load})
                - (select count(*) from (select distinct {keys} from {load}) as k)
                + (
                    select count(*) from {self.table} as t
                    join (select distinct {keys} from {load}) as s on {same}
                    where t."_LOAD_ID" > %(load_id)s
                )
            """
        if self.source.load == "add":
            return f"""
                (
                    select coalesce(sum(least(l.copies, t.copies)), 0)
                    from (
                        select {row_hash(columns)} as "_ROW_HASH", count(*) as copies
                        from {load}
                        group by 1
                    ) as l
                    join (
                        select "_ROW_HASH", count(*) as copies
                        from {self.table}
                        where "_LOAD_ID" <> %(load_id)s
                        group by 1
                    ) as t on l."_ROW_HASH" = t."_ROW_HASH"
                )
            """
        if self.source.duplicates == "drop":
            return f"(select count(*) - count(distinct {row_hash(columns)}) from {load})"
        return "0"

    def _doubled(self, load: str) -> int:
        """Staged rows beyond the first of each key."""
        keys = ", ".join(quoted(key) for key in self.source.key)
        [(doubled,)] = self.rows(
            f"select (select count(*) from {load})"
            f" - (select count(*) from (select distinct {keys} from {load}) as k)"
        )
        return int(doubled)

    def commit_load(
        self,
        claim: Claim,
        accounts: Accounts,
        added: Sequence[str],
        removed: int,
        extracted: Extract | None = None,
    ) -> None:
        """Record the load as done, inside its transaction; of an extract, how far it has read.

        Raises:
            TakenOverError: the load is somebody else's by now.
        """
        watermark = extracted.watermark if extracted else None
        read = ", watermark = %(watermark)s::timestamp_ntz, overlap = %(overlap)s"
        changed = self.execute(
            f"""
            update {LOADS} set
                status = 'committed', finished_at = sysdate(), added_columns = %(added)s,
                delivered = %(delivered)s, loaded = %(loaded)s, rejected = %(rejected)s,
                superseded = %(superseded)s, removed = %(removed)s{read if watermark else ""}
            where load_id = %(load_id)s and attempt_id = %(attempt_id)s and status = 'started'
            """,
            {
                "added": ", ".join(added) or None,
                "delivered": accounts.delivered,
                "loaded": accounts.loaded,
                "rejected": accounts.rejected,
                "superseded": accounts.superseded,
                "removed": removed,
                "watermark": watermark.isoformat(sep=" ") if watermark else None,
                "overlap": extracted.overlap if extracted else None,
                "load_id": claim.load_id,
                "attempt_id": claim.attempt_id,
            },
        )
        if changed != 1:
            raise TakenOverError(
                f"another loader took the file over: wait until it is done, then look at {LOADS}."
            )


_FAMILIES = {
    "text": {"TEXT", "VARCHAR"},
    "integer": {"NUMBER", "FIXED"},
    "number": {"NUMBER", "FIXED"},
    "float": {"FLOAT", "REAL", "DOUBLE"},
    "boolean": {"BOOLEAN"},
    "date": {"DATE"},
    "timestamp": {"TIMESTAMP_NTZ", "TIMESTAMP"},
}


def row_hash(columns: Sequence[Column]) -> str:
    """SQL for a hash of a row's values.

    Each value stands with its length, and a null with -1, so that no two rows look the same.
    """
    parts = []
    for column in sorted(columns, key=lambda one: one.name):
        name = quoted(column.name)
        text = name if column.type == "text" else f"to_varchar({name})"
        parts += [f"coalesce({text}, '')", f"to_varchar(coalesce(length({text}), -1))"]
    return f"md5(concat_ws(':', {', '.join(parts)}))"


def _next_load_id(latest: str | None, content_id: str) -> str:
    """The time and some of the content: greater than that of any earlier load."""
    now = datetime.now(UTC)
    if latest:
        last = datetime.strptime(latest[:20], "%Y%m%d%H%M%S%f").replace(tzinfo=UTC)
        now = max(now, last + timedelta(microseconds=1))
    return f"{now:%Y%m%d%H%M%S%f}{content_id[:12]}"


def load_table(attempt_id: str, part: str = "") -> str:
    """The name of an attempt's load table."""
    return f"RAW.META.LOAD_{attempt_id.upper()}{part}"


def as_parquet(table: pa.Table) -> bytes:
    """A table as the bytes of one Parquet file."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", compression_level=1, use_dictionary=True)
    return cast(bytes, buffer.getvalue().to_pybytes())
