"""Whatever a file holds, it is read or refused with one sentence; nothing else can happen."""

from __future__ import annotations

import base64
import errno
import os
import traceback
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from include.core.logs import configure
from include.ingestion.boundary import reading
from include.ingestion.errors import RefusedError, TakenOverError
from include.ingestion.landing import Delivery, Stamp, discover
from include.ingestion.one_file import Tally, open_delivery, validated
from include.ingestion.sources import Column, Source
from tests import campaign, damaged_files


def outcome(path: Path, source: Source) -> str:
    """The result of reading a file: the refusal, or how many rows are loaded and rejected."""
    delivery = Delivery(path, path.parent, Stamp.of(path))
    tally = Tally()
    try:
        with open_delivery(source, path) as (opened, _):
            for part in validated(source, delivery, opened, tally):
                part.good.validate(full=True)
                part.rejects.validate(full=True)
    except RefusedError as refused:
        sentence = refused.sentence(path.name)
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert len(sentence) < 600
        return sentence
    assert tally.delivered == tally.good + tally.rejected
    return f"{tally.good} loaded, {tally.rejected} rejected"


def uncaught(path: Path, source: Source, files: Iterable[tuple[str, bytes]]) -> list[str]:
    """The files that raised an exception instead of having an outcome."""
    found = []
    for label, content in files:
        path.write_bytes(content)
        try:
            outcome(path, source)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            found.append(f"{label}: {traceback.format_exc(limit=-3)}")
    return found


@pytest.mark.campaign
def test_no_damage_of_a_parquet_file_is_an_exception(tmp_path: Path) -> None:
    files = damaged_files.damaged_parquet(campaign.SEED, campaign.size(200, 60_000))
    assert uncaught(tmp_path / "some.parquet", damaged_files.PARQUET, files) == []


@pytest.mark.campaign
def test_no_damage_of_a_csv_file_is_an_exception(tmp_path: Path) -> None:
    files = damaged_files.damaged_csv(campaign.SEED, campaign.size(80, 30_000))
    assert uncaught(tmp_path / "some.csv", damaged_files.CSV, files) == []


EXPECTED = {
    "nanoseconds": "120 loaded, 0 rejected",
    "far seconds": "0 loaded, 120 rejected",
    "far micros": "0 loaded, 120 rejected",
    "first micros": "0 loaded, 120 rejected",
    "unknown zone": "120 loaded, 0 rejected",
    "far day": "0 loaded, 120 rejected",
    "first day": "0 loaded, 120 rejected",
    "date64": "120 loaded, 0 rejected",
    "decimal256": "0 loaded, 120 rejected",
    "finer decimal": "0 loaded, 120 rejected",
    "not a number": "0 loaded, 120 rejected",
    "infinite": "0 loaded, 120 rejected",
    "half floats": "120 loaded, 0 rejected",
    "unsigned": "0 loaded, 120 rejected",
    "null": "0 loaded, 120 rejected",
    "nested list": "column note: the column is list<",
    "nested struct": "column note: the column is struct<",
    "nested map": "column note: the column is map<",
    "binary": "column note: the column is binary where text is declared",
    "no UTF-8": "the Parquet data is damaged",
    "no UTF-8 in a dictionary": "the Parquet data is damaged",
    "dictionary of numbers": "120 loaded, 0 rejected",
    "time": "column at: the column is time64",
    "duration": "column at: the column is duration",
    "twice": "id stands twice",
    "no column": "has columns and no row",
    "no row": "has columns and no row",
    "odd name": "is unknown",
    "many columns": "there are 3,000 columns",
    "empty": "the file is empty",
    "only a magic": "is not Parquet",
    "twice a magic": "is not Parquet",
    "giant footer": "is not Parquet",
}


def test_odd_parquet_files_are_loaded_rejected_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    found = {}
    for name, made in damaged_files.ODD.items():
        path.write_bytes(made())
        found[name] = outcome(path, damaged_files.PARQUET)
    wrong = {name: said for name, said in found.items() if EXPECTED[name] not in said}
    assert wrong == {}


FATAL = (
    "c-l=*v8uvA5S&}%p&}B6J#uhG8V`#oDwyguueT8Y;E;e8nt1Aa;K%r_Zm_Y~EoNqCW_Q2)6(>C4(UyrZ0lKLI5Ew"
    "jRQwW%{X6;JMRLE2qkA>~$B%72XaAJ!MGJQK7t8-uhhSN@#T<Uu@#ny?;kagC1I3C&!bZS2=lOYq$)31H++uat@2"
    "dxn#n(!m{+IqB!q9@-oPt5Wr#OtHF&ks#A4>8vN`Ck=pr}~nw%f)iBvaZd3$?W9CH-i)*<^"
)
"""A Parquet file with a wrong bit: Arrow aborts a process that asks about its column."""


def test_a_file_that_could_end_the_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    path.write_bytes(zlib.decompress(base64.b85decode(FATAL)))
    note = damaged_files.PARQUET.model_copy(update={"columns": damaged_files.COLUMNS[-1:]})
    assert "the Parquet data is damaged" in outcome(path, note)


class _StrangeError(Exception):
    """An error that nobody has foreseen."""


@pytest.mark.parametrize(
    "error",
    [
        _StrangeError("a row\nof the file"),
        OSError("Couldn't deserialize thrift"),
        OSError(errno.ELOOP, os.strerror(errno.ELOOP)),
        RuntimeError("Symlink loop"),
        pa.ArrowInvalid("x"),
        pl.exceptions.ComputeError("x"),
        pl.exceptions.PanicException("index out of bounds"),
        MemoryError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ],
)
def test_a_files_fault_is_a_refusal_and_its_class_is_in_the_log(
    error: BaseException, capfd: pytest.CaptureFixture[str]
) -> None:
    # Another test in this process may have redirected the log.
    configure()
    with pytest.raises(RefusedError, match="cannot be read") as refused:  # noqa: SIM117
        with reading(damaged_files.CSV, "some.csv"):
            raise error
    assert "\n" not in str(refused.value)
    logged = capfd.readouterr().err
    assert type(error).__qualname__ in logged
    assert "test_ingestion_damaged.py" in logged
    assert "a row" not in logged


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        TimeoutError("x"),
        FileNotFoundError(errno.ENOENT, "gone"),
        TakenOverError("another loader"),
        RefusedError("said already"),
        *(OSError(code, "x") for code in (errno.ENOSPC, errno.EACCES, errno.EIO, errno.EMFILE)),
    ],
)
def test_what_is_not_the_files_fault_stays_what_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, reading(damaged_files.CSV, "some.csv"):
        raise error
    assert raised.value is error


def test_a_link_to_itself_and_what_is_no_file_are_refused(tmp_path: Path) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(RefusedError) as refused:
            Delivery(path, tmp_path, Stamp.of(path)).require_readable()
        return str(refused.value)

    paths: dict[str, Any] = {
        "itself.csv": lambda path: path.symlink_to(path.name),
        "pipe.csv": os.mkfifo,
        "folder.csv": Path.mkdir,
        "outside.csv": lambda path: path.symlink_to("/etc/passwd"),
    }
    said = {}
    for name, make in paths.items():
        make(tmp_path / name)
        said[name] = refusal(tmp_path / name)
    assert said["itself.csv"] == said["outside.csv"]
    assert "it is a link that leads to nothing in the landing folder" in said["itself.csv"]
    assert "not an ordinary file" in said["pipe.csv"]
    assert "it is a folder" in said["folder.csv"]


def test_a_folder_that_may_be_listed_and_not_entered_has_each_of_its_files_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = Source(name="things", load="append", columns=[Column(name="id")]).model_copy(
        update={"domain": "shop"}
    )
    folder = tmp_path / "shop" / "things"
    folder.mkdir(parents=True)
    (folder / "one.csv").write_text("id\n1\n")
    folder.chmod(0o444)
    if os.geteuid() == 0:
        # Root may read everything, so the system's answer has to be simulated.
        def forbidden(path: Path, *_: Any, **__: Any) -> Any:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        for name in ("lstat", "stat", "open"):
            monkeypatch.setattr(Path, name, forbidden)
    [delivery] = discover(declared, tmp_path)
    assert delivery.name == "one.csv"
    with pytest.raises(RefusedError, match=r"it may not be read: .* for its folder"):
        delivery.require_readable()
    assert delivery.changed(), "a changed file is not moved"
