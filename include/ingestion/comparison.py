"""What a database's table and its raw table hold by day of the event, and where they differ.

Each side is counted by one query that returns a line a day: how many rows it holds, and the sum of
their times of change. Of the versions of a row, which the raw table keeps, the latest counts: those
with the greatest time of change among the rows of one key. A row with an empty key, or of a source
without a key, counts as it is; one without a time of change does not count.
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
UNFINISHED = "the comparison did not end."
"""The problem of one that has begun, until it ends."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001


@dataclass(frozen=True)
class Scope:
    """What is compared.

    Attributes:
        first: the first day of event time; None for all there is, also what has no such day.
    """

    first: date | None = None


@dataclass(frozen=True)
class Day:
    """What one side holds of a day.

    Attributes:
        rows: how many.
        changes: the sum of their times of change, as microseconds since 1970.
    """

    rows: int = 0
    changes: int = 0


Days = Mapping[str, Day]
"""By the first ten characters of the event's time, empty if it has none."""


@dataclass(frozen=True)
class Difference:
    """A day of which the two sides differ."""

    source_rows: int
    raw_rows: int
    changes: int

    @property
    def apart(self) -> tuple[int, int]:
        """What makes it the same difference later, when rows have come on both sides."""
        return self.source_rows - self.raw_rows, self.changes


Differences = Mapping[str, Difference]


@dataclass(frozen=True)
class Comparison:
    """What a comparison has found.

    Attributes:
        scope: what was compared.
        days: how many days there are on either side.
        extracted: days that were extracted again.
        found: rows that the raw table got by that: they had come too late for the watermark.
        differences: what differs all the same, also outside of the scope from earlier on.
        new: days among them that did not differ like this the last time.
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
        """Whether anybody should be told."""
        return bool(self.found or self.new or self.problem)

    @property
    def lines(self) -> list[str]:
        """What has come out, without a value."""
        if self.problem:
            return ["source and raw could not be compared: the log says why"]
        counted = (
            (self.found, "loaded now that had come too late", ""),
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
            lines.append(f"{days} with as many rows, but other times of change")
        return lines

    def after(self, known: Differences) -> Comparison:
        """The same beside what is known from earlier on."""
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
    """The days that are not the same on both sides."""
    found = {}
    for day in sorted({*source, *raw}):
        there, here = source.get(day, Day()), raw.get(day, Day())
        if there != here:
            found[day] = Difference(there.rows, here.rows, there.changes - here.changes)
    return found


def within(days: Days, scope: Scope) -> dict[str, Day]:
    """Those of the scope: what is no day at all is compared with everything only."""
    if scope.first is None:
        return dict(days)
    first = scope.first.isoformat()
    return {day: one for day, one in days.items() if day >= first and is_day(day)}


def is_day(text: str) -> bool:
    """Whether it is a day, and nothing that stands in its place."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def require_comparable(source: Source) -> None:
    """See that a source can be compared with its raw table.

    Raises:
        IngestionError: it is no table of a database, or nothing says of which day a row is.
    """
    if not isinstance(source.format, DatabaseFormat):
        raise IngestionError(
            f"{source.title} is delivered as files: only a source with format: {{type: database}} "
            "can be compared with raw."
        )
    if source.format.event_time is None:
        raise IngestionError(
            f"{source.title} declares no event_time, by whose days it is compared with raw: "
            "declare it."
        )


def due(
    source: Source, since_last: float | None, since_all: float | None, watermark: datetime | None
) -> Scope | None:
    """What is to be compared now, if anything.

    Args:
        source: what is declared of it.
        since_last: minutes since the last comparison; None if there was none.
        since_all: minutes since everything was compared last.
        watermark: up to where the table has been read; None if from the beginning.
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
    # Of a table that nobody writes any more, the newest days are long ago.
    return Scope((min(now, watermark) - timedelta(days=database.compare_days)).date())


def as_json(differences: Differences) -> str:
    """As it stands in the book."""
    return json.dumps(
        {day: [one.source_rows, one.raw_rows, one.changes] for day, one in differences.items()}
    )


def from_json(text: str | None) -> dict[str, Difference]:
    """As it was written into the book."""
    return {day: Difference(*values) for day, values in json.loads(text or "{}").items()}


# -- the source's side -----------------------------------------------------------------------------


def day_of(column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """The day of a moment, or what stands in its place."""
    return sa.func.coalesce(sa.func.substr(sa.cast(column, sa.Text), 1, 10), "")


def bound(moment: date) -> sa.ColumnElement[Any]:
    """A moment to compare a column with, be it of a time or of text."""
    # PostgreSQL reads a text without a type as what it is compared with. SQLite compares texts, and
    # one without a fraction sorts before the same one with zeros, as a day does before its times.
    text = moment.isoformat(" ") if isinstance(moment, datetime) else moment.isoformat()
    return sa.literal(text, sa.types.NullType())


def source_days(
    connection: sa.Connection,
    source: Source,
    columns: Mapping[str, sa.ColumnElement[Any]],
    scope: Scope,
) -> dict[str, Day]:
    """What the source's table holds, by one query; of one of the `DIALECTS`.

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
        # The latest version of a row may have left the days that are compared.
        there = sa.select(*keys).where(in_scope).correlate(None)
        rows = rows.where(sa.or_(*(key.is_(None) for key in keys), sa.tuple_(*keys).in_(there)))
    elif scope.first is not None:
        rows = rows.where(in_scope)
    one = rows.subquery()
    # In two parts: SQLite's whole numbers have 64 bits.
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
    """A time of change as a whole number; 0 if it is none, whose row still counts."""
    if dialect == "postgresql":
        moment = sa.cast(column, sa.TIMESTAMP)
        seconds = sa.extract("epoch", moment)
        number = sa.cast(sa.func.round(seconds * 1_000_000), sa.BigInteger)
        return sa.case((sa.func.isfinite(moment), number), else_=0)
    return cast("sa.ColumnElement[Any]", getattr(sa.func, MICROSECONDS)(column))


def teach_sqlite(connection: Any) -> None:
    """Give SQLite, which has no type for times, what `source_days` asks of it."""
    connection.create_function(MICROSECONDS, 1, _read_moment, deterministic=True)


def _read_moment(text: object) -> int:
    try:
        moment = datetime.fromisoformat(str(text).strip())
        if moment.tzinfo:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):  # The first and the last day may be none in UTC.
        return 0
    return (moment - _EPOCH) // timedelta(microseconds=1)
