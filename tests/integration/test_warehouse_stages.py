"""Files of the local warehouse's stages: put, listed, loaded, unloaded, fetched, removed."""

from __future__ import annotations

import csv
import gzip
from decimal import Decimal

import duckdb
import pytest
from snowflake.connector.errors import DatabaseError

pytestmark = pytest.mark.integration


@pytest.fixture
def parquet(tmp_path):
    """A file of three rows; its columns are in another order than the tests' tables."""
    file = tmp_path / "three rows.parquet"
    rows = "values (1, 1.10, 'a'), (2, 2.20, null), (3, 3.30, 'c''s')"
    query = (
        f"select name, amount::decimal(12, 2) as amount, id from ({rows}) as v (id, amount, name)"
    )
    duckdb.execute(f"copy ({query}) to '{file}' (format parquet)")
    return file


def test_put_copy_and_list(sql, parquet):
    sql("create stage s")
    put = sql(f"put 'file://{parquet}' @s/in auto_compress = false overwrite = true")
    assert put[0][6] == "UPLOADED"
    assert [row[0] for row in sql("list @s")] == ["s/in/three rows.parquet"]
    assert sql("list @s/other") == []
    assert sql("list @s pattern = '.*[.]csv'") == []
    sql("create table t (id int, name varchar, amount number(12, 2))")
    copied = sql(
        "copy into t from @s/in file_format = (type = parquet) "
        "match_by_column_name = case_insensitive"
    )
    assert copied[0][1:4] == ("LOADED", 3, 3)
    assert sql("select * from t order by id") == [
        (1, "a", Decimal("1.10")),
        (2, None, Decimal("2.20")),
        (3, "c's", Decimal("3.30")),
    ]


def test_remove(sql, parquet):
    sql("create stage s")
    for folder in ("a", "b"):
        sql(f"put 'file://{parquet}' @s/{folder} auto_compress = false")
    assert sql("remove @s/a") == [("s/a/three rows.parquet", "removed")]
    assert [row[0] for row in sql("list @s")] == ["s/b/three rows.parquet"]
    assert sql("rm @s pattern = '.*nothing.*'") == []
    assert len(sql("rm @s pattern = 'b/.*'")) == 1


def test_copy_files_between_stages(sql, parquet):
    sql("create stage s")
    sql("create stage t")
    for folder in ("a", "a/b"):
        sql(f"put 'file://{parquet}' @s/{folder} auto_compress = false")
    copied = sql("copy files into @t/x/ from @s/a/ files = ('three rows.parquet')")
    assert copied == [("x/three rows.parquet",)]
    assert len(sql("COPY FILES INTO @t/all/ FROM @s/a/")) == 2
    assert [row[0] for row in sql("list @t")] == [
        "t/all/b/three rows.parquet",
        "t/all/three rows.parquet",
        "t/x/three rows.parquet",
    ]
    assert len(sql("list @s")) == 2
    for wrong, said in (
        ("copy files into @t from @s files = ('no.csv')", "File 'no.csv' does not exist"),
        ("copy files into @t from @s files = ('../../x')", "leaves the stage"),
        ("copy files into @t from s", "syntax error"),
        ("copy files into @t from @u", "Stage .* does not exist"),
    ):
        with pytest.raises(DatabaseError, match=said):
            sql(wrong)


def test_unload_and_get_parquet(sql, tmp_path):
    sql("create stage s")
    numbers = "select seq4() as id, seq4() / 4 as v from table(generator(rowcount => 1000))"
    sql(f"create table t as {numbers}")
    unloaded = sql(
        "copy into @s/out/t from (select id, v::number(12, 2) as v from t where id < 900) "
        "file_format = (type = parquet) header = true overwrite = true"
    )
    assert unloaded[0][0] == 900
    target = tmp_path / "exports"
    target.mkdir()
    fetched = sql(f"get @s/out file://{target}/")
    assert [row[2] for row in fetched] == ["DOWNLOADED"]
    total = duckdb.execute(f"select count(*), sum(v) from '{target}/*.parquet'").fetchone()
    assert total == (900, Decimal("101137.50"))


def test_unload_csv_and_named_format(sql, tmp_path):
    sql("create stage s")
    sql("create file format f type = csv field_delimiter = ';' field_optionally_enclosed_by = '\"'")
    sql("create table t as select * from values (1, 'a;b'), (2, 'say \"hi\"') as v (id, name)")
    sql("copy into @s/t from t file_format = (format_name = 'f') header = true overwrite = true")
    sql(f"get @s 'file://{tmp_path}'")
    (file,) = tmp_path.glob("*.csv.gz")
    with gzip.open(file, "rt", newline="") as text:
        assert list(csv.reader(text, delimiter=";")) == [
            ["ID", "NAME"], ["1", "a;b"], ["2", 'say "hi"'],
        ]  # fmt: skip


def test_unload_into_parts_and_into_one_file(sql):
    sql("create stage s")
    sql("create table t as select uuid_string() as u from table(generator(rowcount => 300000))")
    sql("copy into @s/many/ from t file_format = (type = parquet) max_file_size = 2000000")
    assert len(sql("list @s/many/")) > 1
    sql("copy into @s/one.parquet from t file_format = (type = parquet) single = true")
    assert [row[0] for row in sql("list @s/one")] == ["s/one.parquet"]


def test_unload_does_not_overwrite_unasked(sql):
    sql("create stage s")
    sql("create table t as select 1 as id")
    sql("copy into @s/t from t file_format = (type = parquet)")
    with pytest.raises(DatabaseError, match="Files already existing"):
        sql("copy into @s/t from t file_format = (type = parquet)")
    sql("copy into @s/t from t file_format = (type = parquet) overwrite = true")
    assert len(sql("list @s")) == 1


def test_no_rows_are_unloaded_into_no_file(sql):
    sql("create stage s")
    sql("create table t as select 1 as id")
    empty = "(select id from t where false) file_format = (type = parquet) header = true"
    assert sql(f"copy into @s/t from {empty}") == [(0, 0, 0)]
    assert sql("list @s") == []
    sql("copy into @s/t from t file_format = (type = parquet)")
    before = sql("list @s")
    assert sql(f"copy into @s/t from {empty} overwrite = true") == [(0, 0, 0)]
    assert sql("list @s") == before


def test_unloaded_parquet_has_the_names_and_types_of_the_query(sql, tmp_path):
    sql("create stage s")
    sql(
        'copy into @s/t from (select 1::number(38, 0) as "id", 1.5::number(38, 2) as "amount",'
        ' \'x\' as "Name", \'2025-01-02 03:04:05\'::timestamp_ntz as "at", true as "yes",'
        " '2025-01-02'::date as \"day\")"
        " file_format = (type = parquet compression = snappy) header = true"
        " max_file_size = 268435456"
    )
    sql(f"get @s 'file://{tmp_path}'")
    (file,) = tmp_path.glob("*.snappy.parquet")
    described = duckdb.execute(f"describe select * from '{file}'").fetchall()
    assert [row[:2] for row in described] == [
        ("id", "BIGINT"), ("amount", "DECIMAL(38,2)"), ("Name", "VARCHAR"), ("at", "TIMESTAMP"),
        ("yes", "BOOLEAN"), ("day", "DATE"),
    ]  # fmt: skip
    compressions = duckdb.execute(
        f"select distinct compression from parquet_metadata('{file}')"
    ).fetchall()
    assert compressions == [("SNAPPY",)]


def test_a_failed_unload_leaves_what_was_there(sql):
    sql("create stage s")
    sql("create table t as select 1 as id")
    sql("copy into @s/t from t file_format = (type = parquet)")
    before = sql("list @s")
    with pytest.raises(DatabaseError, match="Division by zero"):
        sql(
            "copy into @s/t from (select 1 / (id - 1) as x from t) "
            "file_format = (type = parquet) overwrite = true"
        )
    assert sql("list @s") == before


def test_drop_stage_deletes_its_files(sql, parquet, warehouse, schema):
    sql("create stage s")
    sql(f"put 'file://{parquet}' @s auto_compress = false")
    sql("drop stage s")
    assert not (warehouse.home / "warehouse" / "stages" / "RAW" / schema / "S").exists()
    with pytest.raises(DatabaseError, match="does not exist"):
        sql("list @s")
    with pytest.raises(DatabaseError, match="does not exist"):
        sql("drop stage s")
    sql("drop stage if exists s")


def test_temporary_stage_goes_with_its_session(warehouse, schema, sql, parquet):
    with warehouse.connect(database="RAW", schema=schema) as connection:
        connection.cursor().execute("create temporary stage own")
        connection.cursor().execute(f"put 'file://{parquet}' @own auto_compress = false")
    with pytest.raises(DatabaseError, match="does not exist"):
        sql("list @own")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("list @nowhere", "does not exist"),
        ("list @s/../../../x", "leaves the stage"),
        ("remove @s/../x", "leaves the stage"),
        ("get @s/../../lock file:///tmp", "leaves the stage"),
        ("copy into @s/../x from t file_format = (type = parquet)", "leaves the stage"),
        ("list @~", "not supported"),
        ("copy into @s/x from t file_format = (type = json)", "not supported"),
        ("copy into @s/x from t partition by (id)", "not supported"),
    ],
)
def test_refused(sql, statement, reason):
    sql("create stage s")
    sql("create table t as select 1 as id")
    with pytest.raises(DatabaseError, match=reason):
        sql(statement)
