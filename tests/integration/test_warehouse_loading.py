"""COPY of many files at once, and what it says of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from snowflake.connector.errors import DatabaseError

pytestmark = pytest.mark.integration

BY_NAME = "file_format = (type = parquet) match_by_column_name = case_insensitive"


@pytest.fixture
def put(sql, tmp_path):
    """Puts a table as a file into the stage."""
    sql("create stage s")

    def put_file(name: str, columns: dict[str, Any]) -> None:
        file: Path = tmp_path / name
        pq.write_table(pa.table(columns), file)
        sql(f"put 'file://{file}' @s/in auto_compress = false overwrite = true")

    return put_file


def test_many_files_are_one_insert_and_each_is_told(sql, put):
    for number in range(30):
        put(f"{number:02}.parquet", {"ID": [number, number + 100], "name": ["a", None]})
    sql("create table t (id int, name varchar, missing int)")
    copied = sql(f"copy into t from @s/in/ {BY_NAME}")
    assert [row[:4] for row in copied] == [
        (f"s/in/{number:02}.parquet", "LOADED", 2, 2) for number in range(30)
    ]
    assert sql("select count(*), count(distinct id), count(name), count(missing) from t") == [
        (60, 60, 30, 0)
    ]


def test_files_of_different_columns_and_types_load_together(sql, put):
    put("a.parquet", {"id": [1], "v": ["one"]})
    put("b.parquet", {"v": [2], "ID": [2]})
    put("c.parquet", {"id": [3], "other": [3]})
    sql("create table t (id int, v varchar)")
    sql(f"copy into t from @s/in/ {BY_NAME}")
    assert sql("select id, v from t order by id") == [(1, "one"), (2, "2"), (3, None)]


def test_a_file_is_loaded_once_until_the_table_is_made_anew(sql, put):
    put("a.parquet", {"id": [1]})
    sql("create table t (id int)")
    sql(f"copy into t from @s/in/ {BY_NAME}")
    put("b.parquet", {"id": [2]})
    assert [row[:4] for row in sql(f"copy into t from @s/in/ {BY_NAME}")] == [
        ("s/in/a.parquet", "LOAD_SKIPPED", 0, 0),
        ("s/in/b.parquet", "LOADED", 1, 1),
    ]
    sql("create or replace table t (id int)")
    sql(f"copy into t from @s/in/ {BY_NAME}")
    assert sql("select id from t order by id") == [(1,), (2,)]


@pytest.mark.parametrize("begin", [False, True])
def test_a_file_that_fails_leaves_nothing_of_the_others(sql, put, begin):
    sql("create table t (id int)")
    if begin:
        sql("begin")
        sql("insert into t values (0)")
    put("a.parquet", {"id": [1]})
    put("b.parquet", {"id": ["no number"]})
    with pytest.raises(DatabaseError, match="no number"):
        sql(f"copy into t from @s/in/ {BY_NAME}")
    put("b.parquet", {"id": [2]})
    assert [row[1] for row in sql(f"copy into t from @s/in/ {BY_NAME}")] == ["LOADED", "LOADED"]
    if begin:
        sql("commit")
    assert sql("select id from t order by id") == [(0,)] * begin + [(1,), (2,)]


def test_csv_files_are_loaded_all_or_none(sql, tmp_path):
    sql("create stage s")
    sql("create table t (id int)")
    for name, text in (("a", "1"), ("b", "no number")):
        (tmp_path / f"{name}.csv").write_text(f"{text}\n")
        sql(f"put 'file://{tmp_path}/{name}.csv' @s auto_compress = false")
    with pytest.raises(DatabaseError, match="no number"):
        sql("copy into t from @s file_format = (type = csv)")
    assert sql("select * from t") == []


def test_a_table_of_another_database_than_the_current_one(sql, put, schema):
    put("a.parquet", {"id": [1]})
    name = f"ANALYTICS.PUBLIC.{schema}"
    sql(f"create table {name} (id int)")
    sql(f"copy into {name} from @s/in/ {BY_NAME}")
    assert sql(f"select id from {name}") == [(1,)]
    sql(f"drop table {name}")


def test_a_merge_counts_what_it_did(sql):
    sql("create table t as select seq4() as id, 0 as n from table(generator(rowcount => 3000))")
    source = "select seq4() + 1000 as id from table(generator(rowcount => 5000))"
    merged = sql(
        f"merge into t using ({source}) as s on t.id = s.id "
        "when matched and s.id < 1500 then delete when matched then update set n = 1 "
        "when not matched then insert (id, n) values (s.id, 2)"
    )
    assert sorted(merged[0]) == [500, 1500, 3000]
    assert sql("select n, count(*) from t group by n order by n") == [
        (0, 1000), (1, 1500), (2, 3000),
    ]  # fmt: skip
