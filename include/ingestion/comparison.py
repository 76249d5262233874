"""Compare a database's table with its raw table, by day of the event.

One query counts each side and returns one row per day: the number of rows, and the sum of their
times of change. The raw table keeps several versions of a row, and only the latest count: those
with the greatest time of change among the rows with the same key. Every row with an empty key, or
of a source without a key, counts. A row without a time of change does not count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa

from include.ingestion.errors import IngestionError
from include.ingestion.sources import DatabaseFormat, Source

DIALECTS = ("postgresql", "sqlite")
"""Databases that can be compared; others are only loaded."""
MICROSECONDS = "firn_microseconds"
UNFINISHED = "the comparison did not finish."
"""The problem recorded for a comparison from its start until it finishes."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001


@dataclass(frozen=True)
class Scope:
    """What is compared.

    Attributes:
        first: the first day of event time; None for all rows, including those without such a day.
    """

    first: date | None = None


@dataclass(frozen=True)
class Day:
    """What one side holds for a day.

    Attributes:
        rows: how many rows there are.
        changes: the sum of their times of change, as microseconds since 1970.
    """

    rows: int = 0
    changes: int = 0


Days = Mapping[str, Day]
"""Keyed by the first ten characters of the event's time; empty if the event has no time."""


@dataclass(frozen=True)
class Difference:
    """A day on which the two sides differ."""

    source_rows: int
    raw_rows: int
    changes: int

    @property
    def apart(self) -> tuple[int, int]:
        """What identifies the same difference later, after both sides have gained rows."""
        return self.source_rows - self.raw_rows, self.changes


Differences = Mapping[str, Difference]


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        scope: what was compared.
        days: how many days there are on either side.
        extracted: days that were extracted again.
        found: rows that this added to the raw table: they had come too late for the watermark.
        differences: what still differs, including differences outside the scope that are known
            from earlier comparisons.
        new: days among them that did not differ in the same way the last time.
        problem: why nothing could be compared.
    """

    scope: Scope
    days: int = 0
    extracted: tuple[str, ...] = ()
    found: int = 0
    differences: Differences = field(default_factory=dict)
    new: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def only_in_source(self) -> int:
        """Rows that the raw table lacks: they were rejected."""
        return sum(max(0, one.apart[0]) for one in self.differences.values())

    @property
    def only_in_raw(self) -> int:
        """Rows that the source no longer has."""
        return sum(max(0, -one.apart[0]) for one in self.differences.values())

    @property
    def is_news(self) -> bool:
        """Whether the result is worth a message."""
        return bool(self.found or self.new or self.problem)

    @property
    def lines(self) -> list[str]:
        """The result in sentences, which contain no value of a row."""
        if self.problem:
            return ["source and raw could not be compared: the log says why"]
        counted = (
            (self.found, "that had come too late, loaded now", ""),
            (
                self.only_in_source,
                "of the source not in raw, rejected when it was loaded",
                "of the source not in raw, rejected when they were loaded",
            ),
            (
                self.only_in_raw,
                "in raw that the source no longer has; it stays",
                "in raw that the source no longer has; they stay",
            ),
        )
        lines = [
            f"1 row {one}" if rows == 1 else f"{rows:,} rows {more or one}"
            for rows, one, more in counted
            if rows
        ]
        if changed := sum(one.apart[0] == 0 for one in self.differences.values()):
            days = f"{changed:,} day{'s' * (changed != 1)}"
            lines.append(f"{days} with equal row counts, but different times of change")
        return lines

    def after(self, known: Differences) -> Comparison:
        """This comparison, combined with the differences known from earlier ones."""
        if self.problem:
            return replace(self, differences=known)
        outside = {day: one for day, one in known.items() if not within({day: Day()}, self.scope)}
        new = [
            day
            for day, one in self.differences.items()
            if day not in known or known[day].apart != one.apart
        ]
        return replace(self, differences=outside | dict(self.differences), new=tuple(new))


def differences(source: Days, raw: Days) -> dict[str, Difference]:
    """The days on which the two sides are not the same."""
    found = {}
    for day in sorted({*source, *raw}):
        there, here = source.get(day, Day()), raw.get(day, Day())
        if there != here:
            found[day] = Difference(there.rows, here.rows, there.changes - here.changes)
    return found


def within(days: Days, scope: Scope) -> dict[str, Day]:
    """The days in the scope; text that is not a day is in it only when everything is compared."""
    if scope.first is None:
        return dict(days)
    first = scope.first.isoformat()
    return {day: one for day, one in days.items() if day >= first and is_day(day)}


def is_day(text: str) -> bool:
    """Whether the text is a day, and not some other text in its place."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def require_comparable(source: Source) -> None:
    """Require that a source can be compared with its raw table.

    Raises:
        IngestionError: it is not a table of a database, or nothing says which day a row belongs to.
    """
    if not isinstance(source.format, DatabaseFormat):
        raise IngestionError(
            f"{source.title} is delivered as files: only a source with format: {{type: database}} "
            "can be compared with raw."
        )
    if source.format.event_time is None:
        raise IngestionError(
            f"{source.title} declares no event_time, and source and raw are compared by its "
            "days: declare it."
        )


def due(
    source: Source, since_last: float | None, since_all: float | None, watermark: datetime | None
) -> Scope | None:
    """What to compare now, or None if no comparison is due.

    Args:
        source: the declared source.
        since_last: minutes since the last comparison; None if there was none.
        since_all: minutes since everything was last compared; None if it never was.
        watermark: how far the table has been read; None if it is read from the beginning.
    """
    database = cast(DatabaseFormat, source.format)
    if database.event_time is None or database.compare_minutes is None:
        return None
    if since_all is None or since_all >= 60 * database.compare_all_hours:
        return Scope()
    if since_last is not None and since_last < database.compare_minutes:
        return None
    if watermark is None:
        return Scope()
    now = datetime.now(UTC).replace(tzinfo=None)
    # If nobody writes to a table any more, its newest days are long ago.
    return Scope((min(now, watermark) - timedelta(days=database.compare_days)).date())


def as_json(differences: Differences) -> str:
    """The differences as the ledger stores them."""
    return json.dumps(
        {day: [one.source_rows, one.raw_rows, one.changes] for day, one in differences.items()}
    )


def from_json(text: str | None) -> dict[str, Difference]:
    """The differences as read from the ledger."""
    return {day: Difference(*values) for day, values in json.loads(text or "{}").items()}


# -- the source's side -----------------------------------------------------------------------------


def day_of(column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """The day of a moment, or the start of the text that is there instead."""
    return sa.func.coalesce(sa.func.substr(sa.cast(column, sa.Text), 1, 10), "")


def bound(moment: date) -> sa.ColumnElement[Any]:
    """A moment to compare a column with, whether the column holds times or text."""
    # PostgreSQL reads an untyped text as the type of the column. SQLite compares texts: one without
    # a fraction sorts before the same text with zeros, and a day sorts before its times.
    text = moment.isoformat(" ") if isinstance(moment, datetime) else moment.isoformat()
    return sa.literal(text, sa.types.NullType())


def source_days(
    connection: sa.Connection,
    source: Source,
    columns: Mapping[str, sa.ColumnElement[Any]],
    scope: Scope,
) -> dict[str, Day]:
    """Count the source's table by day, in one query. The database is one of the `DIALECTS`.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database fails.
    """
    database = cast(DatabaseFormat, source.format)
    event_time = columns[cast(str, database.event_time)]
    changed = _microseconds(columns[database.watermark], connection.dialect.name)
    keys = [columns[key] for key in source.key]
    place: sa.ColumnElement[Any] = sa.literal(1)
    if keys:
        place = sa.case(
            (sa.or_(*(key.is_(None) for key in keys)), 1),
            else_=sa.func.rank().over(partition_by=keys, order_by=changed.desc()),
        )
    in_scope: sa.ColumnElement[bool] = sa.true()
    if scope.first is not None:
        in_scope = event_time >= bound(scope.first)
    rows = sa.select(
        day_of(event_time).label("day"),
        changed.label("changed"),
        place.label("place"),
        in_scope.label("in_scope"),
    ).where(columns[database.watermark].is_not(None))
    if keys and scope.first is not None:
        # The latest version of a row may have moved out of the days that are compared.
        there = sa.select(*keys).where(in_scope).correlate(None)
        rows = rows.where(sa.or_(*(key.is_(None) for key in keys), sa.tuple_(*keys).in_(there)))
    elif scope.first is not None:
        rows = rows.where(in_scope)
    one = rows.subquery()
    # The sum is computed in two parts, because SQLite's integers have 64 bits.
    million: sa.ColumnElement[int] = sa.literal_column("1000000")
    query = (
        sa.select(
            one.c.day,
            sa.func.count(),
            sa.func.sum(one.c.changed.op("/")(million)),
            sa.func.sum(one.c.changed.op("%")(million)),
        )
        .where(one.c.place == 1, one.c.in_scope)
        .group_by(one.c.day)
    )
    return {
        str(day): Day(int(count), int(seconds) * 1_000_000 + int(rest))
        for day, count, seconds, rest in connection.execute(query)
    }


def _microseconds(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """A time of change as a whole number; 0 if it is not a time, and the row still counts."""
    if dialect == "postgresql":
        moment = sa.cast(column, sa.TIMESTAMP)
        seconds = sa.extract("epoch", moment)
        number = sa.cast(sa.func.round(seconds * 1_000_000), sa.BigInteger)
        return sa.case((sa.func.isfinite(moment), number), else_=0)
    return cast("sa.ColumnElement[Any]", getattr(sa.func, MICROSECONDS)(column))


def teach_sqlite(connection: Any) -> None:
    """Give SQLite, which has no type for times, the function that `source_days` needs."""
    connection.create_function(MICROSECONDS, 1, _read_moment, deterministic=True)


def _read_moment(text: object) -> int:
    try:
        moment = datetime.fromisoformat(str(text).strip())
        if moment.tzinfo:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):  # Not a time, or out of range in UTC.
        return 0
    return (moment - _EPOCH) // timedelta(microseconds=1)
