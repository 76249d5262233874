"""Extracts of a database: what they say of themselves, and how values become text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.ingestion.database import (
    Extract,
    Span,
    _as_text,
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
