"""The affiliate deliveries: always the same, and with every kind of dirt in them."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from include.domains.affiliate.sample import START, deliver
from include.project.domains import SampleDataError


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*.csv"))
    }


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        deliver(tmp_path / name, days=2, rows=30, seed=seed)
    one, two, three = (fingerprint(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert one.keys() == three.keys()
    assert one != three
    assert {file.split("/")[1] for file in one} == {
        "routy", "voluum", "manual", "scrapers", "deals", "voluum_mapper", "central_mapping"
    }  # fmt: skip


def test_delivering_again_replaces_the_files_and_leaves_nothing_half_written(
    tmp_path: Path,
) -> None:
    first = deliver(tmp_path, days=3, rows=30)
    before = fingerprint(tmp_path)
    assert deliver(tmp_path, days=3, rows=30) == first
    assert fingerprint(tmp_path) == before
    assert {file.path for file in first} == {file for file in tmp_path.rglob("*") if file.is_file()}
    assert len([file for file in first if file.source == "routy"]) == 3


def test_every_kind_of_dirt_is_there(tmp_path: Path) -> None:
    files = [file for file in deliver(tmp_path, days=6) if file.source == "routy"]
    frames = [pl.read_csv(file.path, infer_schema=False) for file in files]
    assert {frame.columns[0] for frame in frames} == {"date", "Date"}
    names = frames[0].columns
    rows = pl.concat(
        [frame.rename(dict(zip(frame.columns, names, strict=True))) for frame in frames]
    )
    dates = rows["date"]
    assert dates.is_null().any()
    for pattern in ("^\\d{4}-", "^\\d{4}/", " \\d\\d:", "2024-02-30"):
        assert dates.str.contains(pattern).any(), pattern
    assert rows["operator"].is_null().any()
    assert rows["operator"].str.contains("LOL").any()
    assert rows["raw_earnings"].is_null().any()
    assert rows["raw_earnings"].str.starts_with("-").any()
    assert rows["visits"].str.contains("many").any()
    assert any(frame.is_duplicated().any() for frame in frames)
    # The days lie on both sides of a New Year.
    years = {
        date.fromisoformat(file.path.stem).year
        for file in deliver(tmp_path)
        if file.source == "routy"
    }
    assert years == {START.year, START.year + 1}


@pytest.mark.parametrize(("size", "said"), [({"days": 0}, "0 days"), ({"rows": 0}, "0 rows")])
def test_a_size_that_makes_no_sense_is_refused(
    tmp_path: Path, size: dict[str, int], said: str
) -> None:
    with pytest.raises(SampleDataError, match=f"{said} cannot be made: ask for 1 to"):
        deliver(tmp_path, **size)  # type: ignore[arg-type]


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "affiliate").write_text("a file")
    with pytest.raises(SampleDataError, match="set FIRN_LANDING to another folder"):
        deliver(tmp_path, days=1)
