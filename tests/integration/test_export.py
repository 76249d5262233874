"""Tables exported as Parquet: whole, by plain names, and never half."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import duckdb
import pytest

from include.warehouse import export as exporting
from include.warehouse.connection import REPOSITORY, WarehouseUnreachableError
from include.warehouse.export import ExportError, Relation, export, exports_folder

if TYPE_CHECKING:
    from tests.conftest import Warehouse

pytestmark = pytest.mark.integration

Sql = Callable[[str], list[tuple[Any, ...]]]


class Place:
    """A schema of its own, and a folder to export it to."""

    def __init__(self, warehouse: Warehouse, sql: Sql, schema: str, folder: Path) -> None:
        self.settings, self.sql, self.schema, self.folder = (
            warehouse.settings(), sql, schema, folder,
        )  # fmt: skip

    def export(self, table: str = "t") -> exporting.Exported:
        relation = Relation("gold", table, f"RAW.{self.schema}.{table}")
        (made,) = export([relation], settings=self.settings, folder=self.folder)
        return made

    def read(self, query: str = "select *", table: str = "t") -> list[tuple[Any, ...]]:
        with duckdb.connect() as duck:
            return duck.execute(f"{query} from '{self.folder}/gold/{table}/*.parquet'").fetchall()

    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.folder / ".versions/gold/t").iterdir())


@pytest.fixture
def place(warehouse: Warehouse, tmp_path: Path) -> Iterator[Place]:
    schema = f"E{uuid4().hex[:8].upper()}"
    with warehouse.connect(database="RAW") as connection, connection.cursor() as cursor:
        cursor.execute(f"create schema {schema}")
        cursor.execute(f"use schema RAW.{schema}")

        def sql(statement: str) -> list[tuple[Any, ...]]:
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

        sql("create table t as select 1 as id, 'first' as name")
        yield Place(warehouse, sql, schema, tmp_path / "exports")


def test_an_export_replaces_the_one_before_in_one_step(place: Place) -> None:
    made = place.export()
    assert (made.rows, made.files, made.folder) == (1, 1, str(place.folder / "gold" / "t"))
    assert place.read() == [(1, "first")]
    opened = (place.folder / "gold" / "t").resolve()

    place.sql("update t set name = 'second'")
    place.export()
    assert place.read() == [(1, "second")]
    # Whoever has the folder of before open still finds it whole, under names of its own.
    (old,), (new,) = list(opened.iterdir()), list((place.folder / "gold" / "t").iterdir())
    assert old.name != new.name
    assert duckdb.execute(f"select name from '{old}'").fetchall() == [("first",)]

    place.export()
    assert len(place.versions()) == 2
    assert not opened.exists()


def test_exports_may_be_moved(place: Place) -> None:
    place.export()
    place.folder = place.folder.rename(place.folder.with_name("elsewhere"))
    assert place.read() == [(1, "first")]


def test_a_failed_export_leaves_the_files_of_before(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.export()
    before = place.versions()
    place.sql("create or replace view t2 as select 1 / (id - 1) as broken from t")
    with pytest.raises(ExportError, match=r"RAW\.\w+\.t2 cannot be exported \(Division by zero\)"):
        place.export("t2")
    place.sql("insert into t values (2, 'second')")
    # The download loses a file.
    monkeypatch.setattr("pyarrow.parquet.read_metadata", lambda _: type("", (), {"num_rows": 1}))
    with pytest.raises(ExportError, match="2 rows were unloaded and 1 arrived"):
        place.export()
    monkeypatch.undo()
    assert place.versions() == before
    assert place.read() == [(1, "first")]
    assert not list((place.folder / "gold").glob(".*"))
    assert not list((place.folder / ".versions/gold/t2").iterdir())


def test_what_another_export_has_not_finished_is_left_alone_for_a_day(place: Place) -> None:
    import os

    place.export()
    versions = place.folder / ".versions/gold/t"
    for name in (".fresh", ".old"):
        (versions / name).mkdir()
    os.utime(versions / ".old", (0, 0))
    place.export()
    assert [name for name in place.versions() if name.startswith(".")] == [".fresh"]


def test_a_table_without_rows_has_a_file_with_its_columns(place: Place) -> None:
    place.sql("create or replace table t (id number(38, 0), price number(12, 2), name varchar)")
    made = place.export()
    assert (made.rows, made.files) == (0, 1)
    assert place.read() == []
    assert [row[0] for row in place.read("describe select *")] == ["id", "price", "name"]


def test_many_rows_are_in_few_files(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "FILE_BYTES", 2_000_000)
    place.sql(
        "create or replace table t as select seq4() as id, uuid_string() as name"
        " from table(generator(rowcount => 300000))"
    )
    made = place.export()
    assert made.rows == 300_000
    assert 2 <= made.files <= 20
    assert place.read("select count(*), count(distinct id), count(distinct name)") == [
        (300_000, 300_000, 300_000)
    ]


def test_names_and_types_are_such_that_every_reader_has_them(place: Place) -> None:
    place.sql(
        "create or replace table t as select"
        ' 1::number(38, 0) as "Mixed Case", parse_json(\'{"a": [1, 2]}\') as details,'
        " ['x', 'y'] as tags,"
        " '2025-01-02 10:00:00 +0200'::timestamp_tz as moment,"
        " '2025-01-02'::date as day, 1.5::float as ratio"
    )
    place.export()
    (row,) = place.read(
        "select mixed_case, details::json->>'$.a[1]', tags::json->>'$[0]', moment, day, ratio"
    )
    assert row[:3] == (1, "2", "x")
    assert row[3] == datetime(2025, 1, 2, 8, 0)  # noqa: DTZ001
    kinds = [kind for _, kind, *_ in place.read("describe select *")]
    assert kinds == ["BIGINT", "VARCHAR", "VARCHAR", "TIMESTAMP", "DATE", "DOUBLE"]
    # A file without rows does not differ in that.
    place.sql("delete from t")
    place.export()
    assert kinds == [kind for _, kind, *_ in place.read("describe select *")]


def test_names_that_would_be_one_are_refused(place: Place) -> None:
    place.sql('create or replace table t as select 1 as "a b", 2 as "a-b"')
    with pytest.raises(ExportError, match=r"columns that differ only in case or signs \(a_b\)"):
        place.export()


def test_what_is_in_the_way_is_said(place: Place) -> None:
    (place.folder / "gold" / "t").mkdir(parents=True)
    with pytest.raises(ExportError, match="is a folder that no export has made: move it away"):
        place.export()
    place.folder = place.folder / "a 'quoted' name"
    with pytest.raises(ExportError, match="has a quote or backslash in its name"):
        place.export()
    blocked = place.folder.parent / "file"
    blocked.write_text("")
    place.folder = blocked
    with pytest.raises(ExportError, match=r"cannot be written to .*file .*make room"):
        place.export()


def test_a_missing_table_is_said(place: Place) -> None:
    with pytest.raises(ExportError, match=r"nowhere cannot be exported \(.*does not exist"):
        place.export("nowhere")


def test_a_warehouse_that_is_out_of_reach_is_said(place: Place) -> None:
    place.settings = place.settings.model_copy(update={"firn_local_port": 1})
    with pytest.raises(WarehouseUnreachableError, match="does not answer"):
        place.export()


def test_the_folder_is_a_setting(
    clean_environment: pytest.MonkeyPatch, warehouse: Warehouse
) -> None:
    settings = warehouse.settings()
    assert exports_folder(settings) == settings.home / "data" / "exports"
    clean_environment.setenv("FIRN_EXPORTS", "out/files")
    assert exports_folder(settings) == REPOSITORY / "out/files"
