"""Deliveries on their way into a real local warehouse."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from include.commands.firn import app
from include.ingestion import pickup
from include.ingestion.chunks import Split, finish_split, load_chunk, split_file
from include.ingestion.errors import IngestionError, MissingDeliveryError
from include.ingestion.landing import discover
from include.ingestion.loader import load_source
from include.ingestion.pickup import Taken, is_in_stage, take_from_stage, wait_for
from include.ingestion.raw import LOADS, REJECTED_ROWS
from include.ingestion.results import FileResult, SourceResult
from include.ingestion.sources import SCHEMA, Checks, Column, ParquetFormat, Source
from include.warehouse.connection import REPOSITORY, WarehouseUnreachableError
from tests import damaged_files

if TYPE_CHECKING:
    from tests.conftest import Warehouse

pytestmark = pytest.mark.integration

COLUMNS = [
    Column(name="id", nullable=False),
    Column(name="amount", type="number(10, 2)", checks=Checks(min=0)),
    Column(name="order"),
]
MERGE = {"load": "merge", "key": ["id"]}


class Lane:
    """A source with a landing folder and a domain of its own."""

    def __init__(self, warehouse: Warehouse, landing: Path, domain: str) -> None:
        self.warehouse, self.landing, self.domain = warehouse, landing, domain
        self.moment = 0

    def source(self, **more: Any) -> Source:
        given = {"name": "things", "columns": COLUMNS, "chunk_rows": 3}
        return Source(**given | more).model_copy(update={"domain": self.domain})

    @property
    def folder(self) -> Path:
        folder = self.landing / self.domain / "things"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def deliver(self, name: str, *rows: str, header: str = "id,amount,order") -> Path:
        """A file, changed later than every one before it."""
        file = self.folder / name
        file.write_text("\n".join([header, *rows]) + "\n", "utf-8")
        self.moment += 1
        os.utime(file, (1.7e9 + self.moment, 1.7e9 + self.moment))
        return file

    def load(self, **declared: Any) -> list[FileResult]:
        return list(self.run(**declared).files)

    def run(self, **declared: Any) -> SourceResult:
        return load_source(
            self.source(**declared), settings=self.warehouse.settings(), landing=self.landing
        )

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.warehouse.connect(database="RAW") as connection, connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def table(self, columns: str = '"ID", "AMOUNT"::varchar, "ORDER"') -> list[tuple[Any, ...]]:
        return self.query(f"select {columns} from RAW.{self.domain}.THINGS order by 1, 2, 3")

    def names(self, area: str) -> list[str]:
        folder = self.landing / area / self.domain / "things"
        found = [file.name for file in folder.iterdir()] if folder.exists() else []
        return sorted(name.split("-", 2)[2] for name in found if not name.endswith("reason.txt"))


@pytest.fixture
def lane(warehouse: Warehouse, tmp_path: Path) -> Lane:
    return Lane(warehouse, tmp_path / "landing", f"d{random.randrange(10**12)}")  # noqa: S311


def accounts(result: FileResult) -> tuple[int, int, int, int]:
    assert result.accounts is not None, result
    counted = result.accounts
    return counted.delivered, counted.loaded, counted.rejected, counted.superseded


# -- merge, append, replace ----------------------------------------------------------------------


def test_corrections_win_unchanged_rows_keep_their_stamp_and_again_is_a_no_op(lane: Lane) -> None:
    lane.deliver("one.csv", "1,1,a", "2,2,b", "2,2.5,bb", "3,x,c", "4,4")
    [first] = lane.load(**MERGE)
    assert accounts(first) == (5, 2, 2, 1)
    assert lane.table() == [("1", "1.00", "a"), ("2", "2.50", "bb")]
    assert lane.names("archive") == ["one.csv"]
    before = dict(lane.query(f'select "ID", _loaded_at from RAW.{lane.domain}.THINGS'))

    lane.deliver("two.csv", "1,1.00,a", "2,3,corrected", "5,5,new")
    [second] = lane.load(**MERGE)
    assert accounts(second) == (3, 3, 0, 0)
    after = dict(lane.query(f'select "ID", _loaded_at from RAW.{lane.domain}.THINGS'))
    assert after["1"] == before["1"]
    assert after["2"] > before["2"]
    assert set(after) == {"1", "2", "5"}

    lane.deliver("two.csv", "1,1.00,a", "2,3,corrected", "5,5,new")
    [again] = lane.load(**MERGE)
    assert again.status == "unchanged"
    assert lane.names("archive") == ["one.csv", "two.csv", "two.csv"]
    assert dict(lane.query(f'select "ID", _loaded_at from RAW.{lane.domain}.THINGS')) == after

    lane.deliver("two.csv", "2,9,other content")
    lane.load(**MERGE)
    lane.deliver("two.csv", "1,1.00,a", "2,3,corrected", "5,5,new")
    [back] = lane.load(**MERGE)
    assert back.status == "loaded", "going back to an earlier content is a delivery too"
    assert lane.table()[1] == ("2", "3.00", "corrected")


def test_every_raw_row_says_where_it_comes_from(lane: Lane) -> None:
    lane.deliver("one.csv", "1,1,a", "", "2,,")
    [result] = lane.load(**MERGE)
    found = lane.table("_row_number, _source_file, _load_id, length(_row_hash), _loaded_at")
    assert [row[:4] for row in found] == [
        (2, "one.csv", result.load_id, 32),
        (4, "one.csv", result.load_id, 32),
    ]
    assert None not in {row[4] for row in found}


def test_appended_files_stay_apart_and_a_redelivered_one_replaces_itself(lane: Lane) -> None:
    declared = {"load": "append", "duplicates": "drop"}
    lane.deliver("mon.csv", "1,1,a", "1,1,a", "2,2,b")
    lane.deliver("tue.csv", "1,1,a")
    first, second = lane.load(**declared)
    assert accounts(first) == (3, 2, 0, 1)
    assert accounts(second) == (1, 1, 0, 0)
    assert [row[0] for row in lane.table()] == ["1", "1", "2"]
    lane.deliver("mon.csv", "7,7,g")
    [corrected] = lane.load(**declared)
    assert accounts(corrected) == (1, 1, 0, 0)
    assert lane.table('"ID", _source_file, 1') == [("1", "tue.csv", 1), ("7", "mon.csv", 1)]


def test_a_replacing_source_is_its_latest_delivery_and_keeps_its_file(lane: Lane) -> None:
    declared = {"load": "replace", "archive": False}
    lane.deliver("deals.csv", "1,1,a", "2,2,b")
    lane.load(**declared)
    lane.deliver("deals new.csv", "3,3,c")
    assert [file.status for file in lane.load(**declared)] == ["unchanged", "loaded"]
    assert lane.table() == [("3", "3.00", "c")]
    assert [file.status for file in lane.load(**declared)] == ["unchanged", "unchanged"]
    assert sorted(file.name for file in lane.folder.iterdir()) == ["deals new.csv", "deals.csv"]


def test_a_replacing_source_takes_back_an_older_content_that_is_delivered_again(
    lane: Lane,
) -> None:
    declared = {"load": "replace", "archive": False}
    lane.deliver("old.csv", "1,1,a")
    lane.deliver("new.csv", "2,2,b")
    lane.load(**declared)
    assert [row[0] for row in lane.table()] == ["2"]
    lane.deliver("old.csv", "1,1,a")
    assert [file.status for file in lane.load(**declared)] == ["unchanged", "loaded"]
    assert [row[0] for row in lane.table()] == ["1"]
    assert [file.status for file in lane.load(**declared)] == ["unchanged", "unchanged"]

    # One that comes late and is older than what is held does not stay on top of it.
    late = lane.deliver("late.csv", "3,3,c")
    os.utime(late, (1, 1))
    assert [file.status for file in lane.load(**declared)] == ["loaded", "loaded", "loaded"]
    assert [row[0] for row in lane.table()] == ["1"]
    assert {file.status for file in lane.load(**declared)} == {"unchanged"}

    # A file that somebody takes away was delivered all the same.
    (lane.folder / "old.csv").unlink()
    assert {file.status for file in lane.load(**declared)} == {"unchanged"}
    assert [row[0] for row in lane.table()] == ["1"]


@pytest.mark.parametrize("name", ["things.csv", "2024-02-30.csv", "2024-1-5.csv", "2024-01-05.CSV"])
def test_a_name_that_tells_no_day_is_refused_where_it_must(lane: Lane, name: str) -> None:
    declared = {"load": "append", "file_date": "%Y-%m-%d.csv", "files": [f"{lane.domain}/things/*"]}
    lane.deliver(name, "1,1,a")
    lane.deliver("2024-01-05.csv", "2,2,b")
    refused, loaded = lane.load(**declared)
    assert (refused.status, loaded.status) == ("refused", "loaded")
    assert f"{name}: its name must tell its day as %Y-%m-%d.csv" in str(refused.reason)
    assert [row[0] for row in lane.table()] == ["2"]


def test_dates_written_in_several_ways_are_read_value_by_value(lane: Lane) -> None:
    columns = [
        Column(name="id"),
        Column(name="at", type="timestamp", format=("%Y-%m-%d", "%Y/%m/%d %H:%M")),
        Column(name="on", type="date", format=("%Y/%m/%d", "%d.%m.%Y")),
    ]
    lane.deliver(
        "one.csv",
        "1,2024-12-28,2024/12/28",
        "2,2024/12/28 07:30,28.12.2024",
        "3,2024-02-30,",
        "4,,2024-12-28",
        header="id,at,on",
    )
    [result] = lane.load(columns=columns, load="append")
    assert accounts(result) == (4, 2, 2, 0)
    found = lane.table('"ID", "AT", "ON"')
    assert [tuple(map(str, row)) for row in found] == [
        ("1", "2024-12-28 00:00:00", "2024-12-28"),
        ("2", "2024-12-28 07:30:00", "2024-12-28"),
    ]


def test_a_known_name_is_refused_where_that_is_the_rule(lane: Lane) -> None:
    declared = {"load": "append", "redelivery": "refuse"}
    lane.deliver("one.csv", "1,1,a")
    lane.load(**declared)
    lane.deliver("one.csv", "2,2,b")
    [refused] = lane.load(**declared)
    assert refused.status == "refused"
    assert "a file of this name with other content was loaded before" in str(refused.reason)
    assert [row[0] for row in lane.table()] == ["1"]


def test_parquet_and_its_types(lane: Lane) -> None:
    columns = [
        Column(name="id", type="integer", nullable=False),
        Column(name="price", type="number(12, 2)"),
        Column(name="share", type="float"),
        Column(name="at", type="timestamp"),
        Column(name="on", type="date"),
        Column(name="good", type="boolean"),
    ]
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.int32()),
            "price": pa.array([0.1, None]),
            "share": pa.array([0.25, None], pa.float32()),
            "at": pa.array([1_700_000_000_123_456, None], pa.timestamp("us")),
            "on": pa.array([19_000, None], pa.date32()),
            "good": [True, None],
        }
    )
    pq.write_table(table, lane.folder / "some.parquet")
    [result] = lane.load(format=ParquetFormat(), columns=columns, **MERGE)
    assert accounts(result) == (2, 2, 0, 0)
    [first, second] = lane.table('"ID", "PRICE"::varchar, "SHARE", "AT", "ON"::varchar, "GOOD"')
    assert (first[1], first[2], first[4], first[5]) == ("0.10", 0.25, "2022-01-08", True)
    assert str(first[3]) == "2023-11-14 22:13:20.123456"
    assert set(second[1:]) == {None}


# -- late changes of a schema --------------------------------------------------------------------


def test_a_new_column_is_added_and_reported_a_missing_or_retyped_one_refused(lane: Lane) -> None:
    lane.deliver("1.csv", "1,1,a")
    lane.load(**MERGE)
    lane.deliver("2.csv", "1,1,a,red", "2,2,b,", header="id,amount,order,Colour")
    [refused] = lane.load(**MERGE)
    assert "2.csv, line 1, column 4: column colour is unknown" in str(refused.reason)
    lane.deliver("2.csv", "1,1,a,red", "2,2,b,", header="id,amount,order,Colour")
    [added] = lane.load(**MERGE, allow_new_columns=True)
    assert added.added_columns == ("colour",)
    assert lane.query(f"select added_columns from {LOADS} where load_id = %s", added.load_id) == [
        ("colour",)
    ]
    lane.deliver("3.csv", "3,3,c")
    lane.load(**MERGE, allow_new_columns=True)
    assert lane.table('"ID", "COLOUR", 1') == [("1", "red", 1), ("2", None, 1), ("3", None, 1)]
    lane.deliver("4.csv", "1,1", header="id,amount")
    [missing] = lane.load(**MERGE, allow_new_columns=True)
    assert "column order is missing" in str(missing.reason)
    lane.deliver("5.csv", "5,5,e")
    retyped = [COLUMNS[0], Column(name="amount", type="date"), COLUMNS[2]]
    lane.deliver("5.csv", "5,2024-01-01,e")
    [wrong] = lane.load(**MERGE, columns=retyped)
    assert "column amount: RAW." in str(wrong.reason)
    assert "has it as number where date is declared" in str(wrong.reason)


# -- bad files among good ones -------------------------------------------------------------------

BAD = {
    "empty.csv": b"",
    "header.csv": b"id,amount,order\n",
    "semicolons.csv": b"id;amount;order\n1;2;3\n",
    "missing.csv": b"id,order\n1,2\n",
    "unknown.csv": b"id,amount,order,x\n1,2,3,4\n",
    "twice.csv": b"id,amount,order,id\n1,2,3,4\n",
    "quote.csv": b'id,amount,order\n1,2,"3\n',
    "nul.csv": b"id,amount,order\n1,2,\x00\n",
    "latin.csv": "id,amount,order\n1,2,é\n".encode("cp1252"),
    "wide.csv": b"id,amount,order\n" + b"1," * 1_000_000 + b"\n",
    "image.csv.gz": b"\x1f\x8bnothing",
}


def test_every_bad_file_is_set_aside_with_its_sentence_and_the_good_ones_load(lane: Lane) -> None:
    for name, content in BAD.items():
        (lane.folder / name).write_bytes(content)
    (lane.folder / "folder.csv").mkdir()
    (lane.folder / "link.csv").symlink_to("/etc/passwd")
    (lane.folder / "dangling.csv").symlink_to("nowhere")
    (lane.folder / "itself.csv").symlink_to("itself.csv")
    os.mkfifo(lane.folder / "pipe.csv")
    lane.deliver("a good.csv", "1,1,a")
    lane.deliver("another.csv", "2,2,b")
    results = {file.file: file for file in lane.load(**MERGE)}
    bad = [*BAD, "folder.csv", "link.csv", "dangling.csv", "itself.csv", "pipe.csv"]
    assert {name for name, file in results.items() if file.status == "refused"} == set(bad)
    assert [row[0] for row in lane.table()] == ["1", "2"]
    assert lane.names("rejected") == sorted(bad)
    assert list(lane.folder.iterdir()) == []
    for name in bad:
        file = results[name]
        assert str(file.reason).startswith(name)
        assert file.moved_to is not None
        note = file.moved_to.with_name(f"{file.moved_to.name}.reason.txt")
        assert note.read_text() == f"{file.reason}\n"
    recorded = lane.query(
        f"select source_file, reason from {LOADS} where domain = %s and status = 'refused'",
        lane.domain,
    )
    assert dict(recorded) == {name: results[name].reason for name in BAD}


def test_damaged_parquet_files_are_recorded_as_refused_and_the_good_ones_load(lane: Lane) -> None:
    made = {
        f"damaged {number}.parquet": content[: -number - 1]
        for number, (_, content) in enumerate(damaged_files.damaged_parquet(1, 3))
    }
    odd = ("no UTF-8", "nested list", "giant footer", "nanoseconds", "decimal256", "unknown zone")
    made |= {f"{name}.parquet": damaged_files.ODD[name]() for name in odd}
    made |= {"a good.parquet": damaged_files.parquet(damaged_files.table())}
    for name, content in made.items():
        (lane.folder / name).write_bytes(content)
    declared = {"format": ParquetFormat(), "columns": damaged_files.COLUMNS, "load": "append"}
    results = {file.file: file for file in lane.load(**declared, chunk_rows=100)}
    good = ["a good", "decimal256", "nanoseconds", "unknown zone"]
    assert sorted(name for name, file in results.items() if file.status == "loaded") == [
        f"{name}.parquet" for name in good
    ]
    assert accounts(results["decimal256.parquet"]) == (120, 0, 120, 0)
    bad = sorted(set(made) - {f"{name}.parquet" for name in good})
    assert lane.names("rejected") == bad
    assert list(lane.folder.iterdir()) == []
    recorded = lane.query(
        f"select source_file, reason from {LOADS} where domain = %s and status = 'refused'",
        lane.domain,
    )
    assert dict(recorded) == {name: results[name].reason for name in bad}
    [(rows, moment)] = lane.query(
        f"select count(*), max(iff(_source_file = 'nanoseconds.parquet', \"AT\", null))::varchar"
        f" from RAW.{lane.domain}.THINGS"
    )
    assert (rows, moment[:26]) == (360, "2024-01-01 10:00:00.123456")


def test_what_is_no_file_does_not_stop_a_replacing_source(lane: Lane) -> None:
    lane.deliver("1.csv", "1,1,a")
    lane.load(load="replace", archive=False)
    os.mkfifo(lane.folder / "pipe.csv")
    (lane.folder / "itself.csv").symlink_to("itself.csv")
    (lane.folder / os.fsdecode(b"\xff.csv")).write_text("id,amount,order\n1,1,a\n")
    kept, *others = lane.load(load="replace", archive=False)
    assert kept.status == "unchanged"
    assert [other.status for other in others] == ["refused"] * 3


def test_a_file_that_may_not_be_read_is_refused(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane.deliver("secret.csv", "1,1,a").chmod(0)
    lane.deliver("open.csv", "2,2,b")
    if os.geteuid() == 0:
        # Nothing is forbidden to root, so that the system's answer has to be made up.
        ordinary = Path.open

        def forbidden(path: Path, *args: Any, **kwargs: Any) -> Any:
            if path.name == "secret.csv":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return ordinary(path, *args, **kwargs)

        monkeypatch.setattr(Path, "open", forbidden)
    secret, other = lane.load(**MERGE)
    assert "it may not be read: give the loader's user permission" in str(secret.reason)
    assert other.status == "loaded"
    assert lane.names("rejected") == ["secret.csv"]


@pytest.mark.parametrize(
    "name",
    [
        "it's; drop table x; --.csv",
        '"quoted" name.csv',
        "x..%2F..%2Fescape.csv",
        "x\\..\\..\\escape.csv",
        "percent %s %(name)s %.csv",
        "back\\slash\\'.csv",
        "new\nline.csv",
        "naïve 🙂.csv",
        "$1 {x} @stage ~.csv",
        "x" * 240 + ".csv",
    ],
)
def test_any_name_is_a_name(lane: Lane, name: str) -> None:
    lane.deliver(name, "1,1,a", "2,x,b")
    [result] = lane.load(**MERGE)
    assert result.status == "loaded"
    assert lane.table('"ID", _source_file, 1') == [("1", name, 1)]
    rejected = f"select source_file, row_number from {REJECTED_ROWS} where load_id = %s"
    assert lane.query(rejected, result.load_id) == [(name, 3)]
    assert result.moved_to is not None
    assert result.moved_to.parent == lane.landing / "archive" / lane.domain / "things"


def test_a_name_that_is_no_text_is_refused(lane: Lane) -> None:
    (lane.folder / os.fsdecode(b"\xff.csv")).write_text("id,amount,order\n1,1,a\n")
    [result] = lane.load(**MERGE)
    assert "its name is not UTF-8" in str(result.reason)


def test_nothing_delivered_fails_or_is_skipped_as_declared(lane: Lane) -> None:
    with pytest.raises(MissingDeliveryError, match="nothing has been delivered: put a file at"):
        lane.load(**MERGE)
    assert lane.load(**MERGE, if_missing="skip") == []


def test_waiting_ends_with_the_file_or_with_the_time(lane: Lane) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            lane.deliver("late.csv", "1,1,a")

    source = lane.source(**MERGE)
    [late] = wait_for(source, lane.landing, 60, poll_seconds=7, sleep=sleep)
    assert (late.name, slept) == ("late.csv", [7, 7])
    late.path.unlink()
    assert wait_for(source, lane.landing, 0) == []


def test_hidden_and_unsettled_files_are_left_alone(lane: Lane) -> None:
    lane.deliver(".partial.csv", "1,1,a")
    (lane.folder / "fresh.csv").write_text("id")
    assert discover(lane.source(**MERGE, settle_seconds=60), lane.landing) == []
    assert [one.name for one in discover(lane.source(**MERGE), lane.landing)] == ["fresh.csv"]


# -- trouble around ------------------------------------------------------------------------------


def test_a_warehouse_gone_in_the_middle_is_one_sentence_and_the_next_run_loads(
    own_warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.ingestion.session.PATIENCE_SECONDS", 3.0)
    lane = Lane(own_warehouse, tmp_path / "landing", "gone")
    lane.deliver("one.csv", *(f"{number},1,a" for number in range(50)))

    def stop(step: str) -> None:
        if step == "rows merged":
            own_warehouse.process.stop()

    source = lane.source(**MERGE)
    with pytest.raises((IngestionError, WarehouseUnreachableError)) as said:
        load_source(
            source, settings=own_warehouse.settings(), landing=lane.landing, checkpoint=stop
        )
    assert "\n" not in str(said.value)
    with pytest.raises(WarehouseUnreachableError):
        lane.load(**MERGE)
    own_warehouse.process.start()
    [result] = lane.load(**MERGE)
    assert accounts(result) == (50, 50, 0, 0)
    assert len(lane.table()) == 50


def test_a_full_disk_is_one_sentence_and_the_next_run_loads(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane.deliver("one.csv", "1,1,a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", full)
        with pytest.raises(IngestionError, match="No space left on device"):
            lane.load(**MERGE)
    assert len(lane.table()) == 1, "it was committed before it could not be moved"
    [result] = lane.load(**MERGE)
    assert result.status == "unchanged"
    assert len(lane.table()) == 1
    assert lane.names("archive") == ["one.csv"]


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_run(lane: Lane) -> None:
    file = lane.deliver("one.csv", "1,1,a")

    def grow(step: str) -> None:
        if step == "chunk staged":
            with file.open("a") as more:
                more.write("2,2,b\n")

    source = lane.source(**MERGE)
    with pytest.raises(IngestionError, match="changed while it was read"):
        load_source(
            source,
            settings=lane.warehouse.settings(),
            landing=lane.landing,
            checkpoint=grow,
        )
    [result] = lane.load(**MERGE)
    assert accounts(result) == (2, 2, 0, 0)


def test_a_newer_file_that_arrives_during_the_load_is_not_archived_unread(lane: Lane) -> None:
    file = lane.deliver("one.csv", "1,1,a")

    def replace(step: str) -> None:
        if step == "committed":
            newer = file.with_name(".newer")
            newer.write_text("id,amount,order\n2,2,b\n")
            newer.rename(file)

    load_source(
        lane.source(**MERGE),
        settings=lane.warehouse.settings(),
        landing=lane.landing,
        checkpoint=replace,
    )
    assert file.exists()
    lane.load(**MERGE)
    assert [row[0] for row in lane.table()] == ["1", "2"]


@pytest.mark.parametrize("step", ["claimed", "chunk staged", "staged", "copied", "table ready"])
def test_a_loader_whose_file_another_one_takes_over_gives_it_up(lane: Lane, step: str) -> None:
    lane.deliver("one.csv", "1,1,a", "2,x,b")
    source, settings = lane.source(**MERGE), lane.warehouse.settings()

    def end(reached: str) -> None:
        if reached == "claimed":
            raise InterruptedError

    def take_over(reached: str) -> None:
        if reached == step:
            with pytest.raises(IngestionError):
                load_source(source, settings=settings, landing=lane.landing, checkpoint=end)

    result = load_source(source, settings=settings, landing=lane.landing, checkpoint=take_over)
    assert [file.status for file in result.files] == ["taken over"]
    assert lane.query(f"select status from {LOADS} where domain = %s", lane.domain) == [
        ("started",)
    ]
    [loaded] = lane.load(**MERGE)
    assert accounts(loaded) == (2, 1, 1, 0)


@pytest.mark.parametrize("mode", ["merge", "append"])
def test_loaders_that_start_at_once_load_everything_once(lane: Lane, mode: str) -> None:
    declared = MERGE if mode == "merge" else {"load": "append"}
    for number in range(3):
        lane.deliver(f"{number}.csv", *(f"{number}-{row},1,a" for row in range(20)))
    source = lane.source(**declared, if_missing="skip")

    def load(_: int) -> Any:
        try:
            return load_source(source, settings=lane.warehouse.settings(), landing=lane.landing)
        except IngestionError as error:
            return str(error)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(load, range(3)))
    lane.load(**declared, if_missing="skip")
    assert len(lane.table()) == 60
    status = f"select status, count(*) from {LOADS} where domain = %s group by 1"
    assert lane.query(status, lane.domain) == [("committed", 3)]


# -- stages --------------------------------------------------------------------------------------


class Bucket:
    """A stage with a lane's deliveries; a bucket of an account is one by another address."""

    def __init__(self, lane: Lane) -> None:
        self.lane, self.place = lane, f"RAW.{lane.domain}.INBOX/orders"
        lane.query(f"create schema RAW.{lane.domain}")
        lane.query(f"create stage RAW.{lane.domain}.INBOX")
        self.declared: dict[str, Any] = {**MERGE, "stage": self.place, "if_missing": "skip"}

    def put(self, name: str, *rows: str, below: str = "") -> None:
        file = self.lane.landing / ".outside" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(["id,amount,order", *rows]) + "\n", "utf-8")
        self.lane.query(f"put 'file://{file}' @{self.place}{below} auto_compress = false")

    def files(self) -> list[str]:
        found = self.lane.query(f"list @RAW.{self.lane.domain}.INBOX")
        return [name.partition("/orders/")[2] for name, *_ in found]


def test_files_are_taken_from_a_stage_and_leave_it(lane: Lane) -> None:
    bucket = Bucket(lane)
    settings, source = lane.warehouse.settings(), lane.source(**bucket.declared)
    assert not is_in_stage(source, settings=settings)
    assert lane.load(**bucket.declared) == []
    bucket.put("a b+c.csv", "1,1,x")
    bucket.put("second.csv", "2,2,y")
    for other in ("notes.txt", "second.csv.bak"):
        bucket.put(other, "9,9,z")
    bucket.put("deeper.csv", "9,9,z", below="/archive")
    assert is_in_stage(source, settings=settings)
    assert [file.status for file in lane.load(**bucket.declared)] == ["loaded", "loaded"]
    assert [row[0] for row in lane.table()] == ["1", "2"]
    assert lane.names("archive") == ["a b+c.csv", "second.csv"]
    assert bucket.files() == ["archive/deeper.csv", "notes.txt", "second.csv.bak"]
    assert lane.query("list @RAW.META.LANDING/taken") == []
    assert not list(lane.landing.glob(".taken-*"))
    # Delivered again: the same content changes nothing, another one corrects.
    bucket.put("second.csv", "2,2,y")
    assert [file.status for file in lane.load(**bucket.declared)] == ["unchanged"]
    bucket.put("second.csv", "2,3,y")
    assert [file.status for file in lane.load(**bucket.declared)] == ["loaded"]
    assert lane.table()[1] == ("2", "3.00", "y")


def test_a_run_that_ended_while_it_took_files_loses_and_doubles_nothing(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(lane)
    settings, source = lane.warehouse.settings(), lane.source(**bucket.declared)

    def ended(*_: Any) -> None:
        raise KeyboardInterrupt

    bucket.put("one.csv", "1,1,x")
    for function, waits in (("_fetch", []), ("_move", []), ("_remove", ["one.csv"])):
        with monkeypatch.context() as patch:
            patch.setattr(pickup, function, ended)
            with pytest.raises(KeyboardInterrupt):
                take_from_stage(source, lane.landing, settings=settings)
        assert [file.name for file in discover(source, lane.landing)] == waits, function
        assert bucket.files() == ["one.csv"]
    assert take_from_stage(source, lane.landing, settings=settings) == Taken()
    assert bucket.files() == []
    # What has the name of a file that still waits is the next one's turn.
    bucket.put("one.csv", "1,5,later")
    assert take_from_stage(source, lane.landing, settings=settings) == Taken()
    assert bucket.files() == ["one.csv"]
    lane.load(**bucket.declared)
    lane.load(**bucket.declared)
    assert lane.table() == [("1", "5.00", "later")]
    assert bucket.files() == []


def test_a_name_that_cannot_be_used_is_refused_and_the_other_files_load(lane: Lane) -> None:
    bucket = Bucket(lane)
    declared = bucket.declared | {"if_missing": "fail"}
    settings, source = lane.warehouse.settings(), lane.source(**declared)
    bucket.put("dropü--.csv", "9,9,z")
    assert not is_in_stage(source, settings=settings)
    [alone] = lane.load(**declared)
    said = r"dropü--.csv in @RAW.* cannot be taken: give it a name of letters"
    assert re.search(said, str(alone.reason))
    lane.deliver("landed.csv", "1,1,x")
    bucket.put("staged.csv", "2,2,y")
    assert is_in_stage(source, settings=settings)
    result = lane.run(**declared)
    assert [(file.file, file.status) for file in result.files] == [
        ("dropü--.csv", "refused"),
        ("landed.csv", "loaded"),
        ("staged.csv", "loaded"),
    ]
    assert result.refused == [alone]
    assert [row[0] for row in lane.table()] == ["1", "2"]
    assert bucket.files() == ["dropü--.csv"]


def test_a_stage_that_cannot_be_read_is_said(lane: Lane) -> None:
    bucket = Bucket(lane)
    lane.query(f"drop stage RAW.{lane.domain}.INBOX")
    with pytest.raises(IngestionError, match=r"cannot be read .* create it, and give the loader's"):
        lane.load(**bucket.declared)
    for wrong in ("INBOX/orders", "RAW.SALES.INBOX", "RAW.SALES.INBOX/../x", "RAW.S.I/a'b"):
        with pytest.raises(ValidationError, match="stage"):
            lane.source(**MERGE, stage=wrong)


# -- parts in parallel ---------------------------------------------------------------------------


def test_chunks_load_in_any_order_at_once_and_twice(lane: Lane, tmp_path: Path) -> None:
    lane.deliver("zero.csv", "5,1,before")
    lane.load(**MERGE)
    rows = [f"{row % 20},{row}.25,row {row}" for row in range(60)] + ["x,y,z", "1,2"]
    lane.deliver("one.csv", *rows)
    source = lane.source(**MERGE, chunk_rows=7)
    settings = lane.warehouse.settings()
    [delivery] = discover(source, lane.landing)
    made = split_file(source, delivery, tmp_path / "chunks", settings=settings)
    assert isinstance(made, Split)
    split = Split.from_json(json.loads(json.dumps(made.as_json())))
    assert split.chunks == 9
    with pytest.raises(IngestionError, match="not every chunk of"):
        finish_split(source, split, settings=settings)
    order = [*range(split.chunks, 0, -1), *range(1, split.chunks + 1)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: load_chunk(source, split, number, settings=settings), order))
    result = finish_split(source, split, settings=settings)
    assert accounts(result) == (62, 20, 2, 40)
    assert lane.table() == sorted(
        (str(row % 20), f"{row}.25", f"row {row}") for row in range(40, 60)
    )
    assert finish_split(source, split, settings=settings).status == "unchanged"
    assert load_chunk(source, split, 1, settings=settings) == 0
    assert list((tmp_path / "chunks").iterdir()) == []
    assert lane.names("archive") == ["one.csv", "zero.csv"]


def test_a_split_that_was_given_up_is_made_again(lane: Lane, tmp_path: Path) -> None:
    lane.deliver("one.csv", *(f"{row},1,a" for row in range(10)))
    source, settings = lane.source(**MERGE), lane.warehouse.settings()
    [delivery] = discover(source, lane.landing)
    old = split_file(source, delivery, tmp_path / "chunks", settings=settings)
    assert isinstance(old, Split)
    load_chunk(source, old, 1, settings=settings)
    new = split_file(source, delivery, tmp_path / "chunks", settings=settings)
    assert isinstance(new, Split)
    assert new.load_id == old.load_id
    assert load_chunk(source, old, 2, settings=settings) == 0, "its claim is gone"
    for number in range(1, new.chunks + 1):
        load_chunk(source, new, number, settings=settings)
    assert accounts(finish_split(source, new, settings=settings)) == (10, 10, 0, 0)


def test_a_broken_file_is_refused_before_any_chunk_loads(lane: Lane, tmp_path: Path) -> None:
    lane.deliver("bad.csv", *(f"{row},1,a" for row in range(10)), '11,1,"open')
    source, settings = lane.source(**MERGE), lane.warehouse.settings()
    [delivery] = discover(source, lane.landing)
    refused = split_file(source, delivery, tmp_path / "chunks", settings=settings)
    assert isinstance(refused, FileResult)
    assert "bad.csv, line 12, column order" in str(refused.reason)
    assert list((tmp_path / "chunks").iterdir()) == []
    with pytest.raises(IngestionError, match="only a source with load: merge"):
        split_file(lane.source(load="append"), delivery, tmp_path, settings=settings)


# -- memory --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads Linux's account of memory"
)
def test_memory_does_not_grow_with_the_file(lane: Lane) -> None:
    line = f"%d,1.25,{'some text ' * 20}\n"

    def peak(rows: int) -> int:
        file = lane.folder / f"{rows}.csv"
        with file.open("w") as out:
            out.write("id,amount,order\n")
            out.writelines(line % row for row in range(rows))
        source = lane.source(load="replace", chunk_rows=20_000)
        program = (
            "import re, sys, pathlib\n"
            "from include.ingestion.loader import load_source\n"
            "from include.ingestion.sources import Source\n"
            "source = Source.model_validate_json(sys.argv[1])\n"
            "source = source.model_copy(update={'domain': sys.argv[2]})\n"
            "load_source(source, landing=pathlib.Path(sys.argv[3]))\n"
            # Not getrusage: its peak begins with that of the process that started this one.
            "status = pathlib.Path('/proc/self/status').read_text()\n"
            "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1]) // 1024)\n"
        )
        arguments = [source.model_dump_json(), lane.domain, str(lane.landing)]
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=REPOSITORY,
            env=lane.warehouse.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    small, large = peak(200_000), peak(800_000)
    assert large < 400
    assert large < small * 1.25


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
def declared(warehouse: Warehouse, tmp_path: Path, clean_environment: pytest.MonkeyPatch) -> Path:
    """The landing folder of the declared sources, and the command's environment."""
    for name, value in warehouse.settings().environment().items():
        clean_environment.setenv(name, value)
    clean_environment.setenv("FIRN_LANDING", str(tmp_path / "landing"))
    clean_environment.setenv("COLUMNS", "200")
    folder = tmp_path / "landing" / "forex" / "customer_transactions"
    folder.mkdir(parents=True)
    return folder


FOREX = (
    "transaction_id,customer_id,transaction_date,product_id,product_name,quantity,price,tax,"
    "customer_first_name,customer_last_name,customer_email,customer_phone,customer_country,"
    "customer_city\n"
)


def test_the_command_loads_lists_shows_rejects_and_takes_them_back(declared: Path) -> None:
    run = CliRunner().invoke
    good = "1,,18-07-2023,P1,Book,,Two Hundred,Fifteen,Zoë,O'Brien,,,Switzerland,Zürich\n"
    (declared / "one.csv").write_text(FOREX + good + good.replace("1,", ",", 1), "utf-8")
    (declared / "two.csv").write_text(FOREX + '2,"open\n', "utf-8")
    listed = run(app, ["sources"])
    assert "forex.customer_transactions" in listed.output
    loaded = run(app, ["load", "forex"])
    assert loaded.exit_code == 1, loaded.output
    assert "two.csv, line 2, column customer_id: a quoted value begins here" in loaded.output
    assert "one.csv" in loaded.output
    shown = run(app, ["rejected", "forex"])
    assert shown.exit_code == 0
    assert "is missing" in shown.output
    assert "from RAW.META.REJECTED_ROWS where domain = 'forex'" in shown.output
    fixed = declared.parent / "fixed.csv"
    written = run(app, ["rejected", "forex", "customer_transactions", "--to", str(fixed)])
    assert written.exit_code == 0, written.output
    assert fixed.read_text() == FOREX + good.replace("1,", ",", 1)
    (declared / "three.csv").write_text(FOREX + "9" + good.replace("1,", ",", 1), "utf-8")
    again = run(app, ["load", "forex", "customer_transactions"])
    assert again.exit_code == 0, again.output
    assert run(app, ["load", "forex"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["load", "nope"], "There is no domain 'nope': use one of"),
        (["load", "../x"], "There is no domain '../x'"),
        (["load", "forex", "nope"], "Domain forex has no source 'nope': use one of customer"),
        (["rejected", "forex", "x'; drop table y"], "has no source"),
        (["sources", "nope"], "There is no domain"),
    ],
)
def test_the_command_answers_a_wrong_name_with_the_right_ones(
    declared: Path, arguments: list[str], said: str
) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_the_command_prints_the_schema(declared: Path) -> None:
    result = CliRunner().invoke(app, ["schema"])
    assert result.output == SCHEMA.read_text()
