"""Extracts of a database: what they say of themselves, and how values become text."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mssql, mysql, oracle

from include.ingestion.comparison import (
    Comparison,
    Day,
    Days,
    Difference,
    Scope,
    as_json,
    differences,
    due,
    from_json,
    require_comparable,
    source_days,
    teach_sqlite,
    within,
)
from include.ingestion.database import (
    Extract,
    NoTextError,
    Span,
    _as_text,
    _counted,
    database_url,
    extract,
    open_extract,
)
from include.ingestion.errors import IngestionError, RefusedError
from include.ingestion.sources import load_domain

MOMENTS = st.one_of(st.none(), st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001


@given(MOMENTS, st.one_of(st.none(), st.builds(Span, MOMENTS, MOMENTS)))
def test_an_extract_s_note_says_what_was_written(
    watermark: datetime | None, span: Span | None
) -> None:
    extracted = Extract(watermark, span)
    assert Extract.from_note(extracted.as_note()) == extracted


def test_values_become_text_in_one_way() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    rows = [
        (datetime(2026, 3, 1, 12), noon, 0.1, Decimal("4.90"), 7, None, "é", True),  # noqa: DTZ001
        (None, noon.astimezone(UTC), 1 / 3, None, None, None, "7", False),
    ]
    schema = pa.schema([(str(number), pa.string()) for number in range(8)])
    table = _as_text(rows, schema)
    assert [list(column) for column in table.to_pydict().values()] == [
        ["2026-03-01 12:00:00.000000", None],
        ["2026-03-01 10:00:00.000000"] * 2,
        ["0.1", "0.3333333333333333"],
        ["4.90", None],
        ["7", None],
        [None, None],
        ["é", "7"],
        ["true", "false"],
    ]
    mixed = _as_text([("2026",), (1,), (2.5,), (None,)], pa.schema([("a", pa.string())]))
    assert mixed.column(0).to_pylist() == ["2026", "1", "2.5", None]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("NaN"), "NaN"),
        (Decimal("-Infinity"), "-Infinity"),
        (2.0, "2"),
        (1e16, "10000000000000000"),
        (-1.25e-5, "-0.0000125"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (True, "true"),
        (b"\x00\xffA", "\\x00ff41"),
        (date(2026, 3, 1), "2026-03-01"),
        (clock_time(10, 0), "10:00:00.000000"),
        (UUID("41424344-4546-4748-494a-4b4c4d4e4f50"), "41424344-4546-4748-494a-4b4c4d4e4f50"),
    ],
)
def test_the_text_of_a_value_depends_on_it_alone(value: object, text: str) -> None:
    schema = pa.schema([("a", pa.string())])
    for others in ([], [Decimal("0.12345")], [1.5, None], [7], ["x"]):
        column = _as_text([(one,) for one in [value, *others]], schema).column(0)
        assert column[0].as_py() == text


@pytest.mark.parametrize("value", [{"a": 1}, timedelta(1), object()])
def test_a_type_without_a_declared_text_is_refused(value: object) -> None:
    kind = type(value).__name__
    with pytest.raises(
        NoTextError, match=f"column a holds a value of the type {kind}, which has no"
    ):
        _as_text([("x",), (value,)], pa.schema([("a", pa.string())]))


# -- comparison with raw ---------------------------------------------------------------------------

COUNTED = st.dictionaries(
    st.sampled_from(["", "2026-02-27", "2026-03-01", "2026-03-02", "once upon "]),
    st.builds(Day, st.integers(1, 5), st.integers(-5, 5)),
)


@given(COUNTED, COUNTED)
def test_days_that_differ_are_found_and_remembered(source: Days, raw: Days) -> None:
    found = differences(source, raw)
    assert (found == {}) == (source == raw)
    assert from_json(as_json(found)) == found
    first = Comparison(Scope(), differences=found).after({})
    assert set(first.new) == set(found)
    assert first.only_in_source - first.only_in_raw == sum(
        day.rows * sign for side, sign in ((source, 1), (raw, -1)) for day in side.values()
    )
    # The same difference again is not new, and comparing the newest days keeps the others.
    scope = Scope(date(2026, 3, 1))
    again = Comparison(
        scope, differences=differences(within(source, scope), within(raw, scope))
    ).after(found)
    assert (again.new, again.differences) == ((), found)
    assert Comparison(scope, problem="away").after(found).differences == found


def test_what_was_found_is_said_in_the_singular_and_in_the_plural() -> None:
    def lines(rows: int) -> list[str]:
        left = {"a": Difference(rows, 0, 0), "b": Difference(0, rows, 0)}
        return Comparison(Scope(), found=rows, differences=left).lines

    assert lines(1) == [
        "1 row that had come too late, loaded now",
        "1 row of the source not in raw, rejected when it was loaded",
        "1 row in raw that the source no longer has; it stays",
    ]
    assert lines(1234) == [
        "1,234 rows that had come too late, loaded now",
        "1,234 rows of the source not in raw, rejected when they were loaded",
        "1,234 rows in raw that the source no longer has; they stay",
    ]


def test_what_is_due_to_be_compared() -> None:
    source = load_domain("gaming").source("purchases")
    noon = datetime(2026, 3, 10, 12)  # noqa: DTZ001
    newest = Scope(date(2026, 3, 3))
    assert due(source, None, None, None) == Scope()
    assert due(source, 10.0, None, noon) == Scope()
    assert due(source, 10.0, 60.0 * 24, noon) == Scope()
    assert due(source, 10.0, 60.0, noon) is None
    assert due(source, 60.0, 600.0, noon) == newest
    # A change with a date in the future does not take any day out of the scope.
    later = due(source, 60.0, 600.0, datetime(2999, 1, 1))  # noqa: DTZ001
    assert later is not None
    assert later.first is not None
    assert later.first < date(2998, 1, 1)


def test_the_source_ranks_versions_beyond_the_days_that_are_compared() -> None:
    source = load_domain("gaming").source("purchases")
    form = source.format.model_copy(update={"watermark": "changed", "event_time": "happened"})
    keyed = source.model_copy(update={"format": form, "key": ["id"]})
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        teach_sqlite(connection.connection.driver_connection)
        connection.exec_driver_sql("create table e (id integer, happened text, changed text)")
        connection.exec_driver_sql(
            "insert into e values"
            " (1, '2026-03-02 12:00:00', '2026-03-02 12:00:00'),"
            " (1, '2026-01-01 12:00:00', '2026-03-02 12:01:00'),"  # moved out of the days
            " (2, '2026-01-01 12:00:00', '2026-01-01 12:00:00'),"
            " (2, '2026-03-02 12:00:00', '2026-03-02 12:00:00'),"  # moved into them
            " (null, '2026-03-02 12:00:00', '0001-01-01 00:00:00+14:00'),"
            " (null, '2026-01-01 12:00:00', '2026-01-01 12:00:00')"
        )
        table = sa.table("e", *map(sa.column, ("id", "happened", "changed")))
        day = {"2026-03-02": Day(2, 1_772_452_800_000_000)}
        newest = Scope(date(2026, 3, 1))
        assert source_days(connection, keyed, dict(table.columns), newest) == day
        keyless = keyed.model_copy(update={"key": []})
        assert source_days(connection, keyless, dict(table.columns), newest)["2026-03-02"].rows == 3


def test_a_database_of_another_kind_is_loaded_and_not_compared() -> None:
    source = load_domain("gaming").source("purchases")
    columns: dict[str, Any] = {column.name: sa.column(column.name) for column in source.columns}
    for other in (mysql, oracle, mssql):
        connection = cast(sa.Connection, SimpleNamespace(dialect=other.dialect()))
        assert _counted(connection, source, columns, Scope()) == (None, None)


def test_only_a_table_with_a_time_of_events_is_compared() -> None:
    with pytest.raises(IngestionError, match="is delivered as files"):
        require_comparable(load_domain("forex").sources[0])
    source = load_domain("gaming").source("purchases")
    timeless = source.model_copy(
        update={"format": source.format.model_copy(update={"event_time": None})}
    )
    with pytest.raises(IngestionError, match="declares no event_time"):
        require_comparable(timeless)
    assert due(timeless, None, None, None) is None


def test_a_file_source_cannot_be_extracted_and_any_file_is_no_extract(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    with pytest.raises(IngestionError, match="is delivered as files"):
        extract(load_domain("forex").sources[0], tmp_path)
    file = tmp_path / "some.parquet"
    file.write_bytes(b"PAR1")
    with (
        pytest.raises(RefusedError, match="no extract"),
        open_extract(load_domain("gaming").sources[0], file),
    ):
        pass


def test_the_url_comes_from_one_setting(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("FIRN_HOME", str(tmp_path))
    assert database_url("gaming").database == str(tmp_path / "operational" / "gaming.db")
    settings = tmp_path / "settings"
    settings.write_text("FIRN_GAMING_DATABASE_URL=postgresql+psycopg://a:b@c/d\n")
    clean_environment.setenv("FIRN_ENV_FILE", str(settings))
    assert database_url("gaming").host == "c"
    clean_environment.setenv("FIRN_GAMING_DATABASE_URL", "sqlite:////e.db")
    assert database_url("gaming").database == "/e.db"
    assert "b@c" not in str(database_url("gaming"))
