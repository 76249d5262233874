"""Databases that change names, and copies of them: at once, durable, with what belongs to them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from snowflake.connector.errors import DatabaseError, Error

pytestmark = pytest.mark.integration


def make(sql, name, number):
    """A database with a table, and a view that does not name its database."""
    sql(f"create database {name}")
    sql(f"create schema {name}.MART")
    sql(f"create schema {name}.STAGING")
    sql(f"create table {name}.STAGING.T (id int, code varchar(3)) comment = '{number}'")
    sql(f"insert into {name}.STAGING.T values ({number}, 'x')")
    sql(f"use database {name}")
    sql(f"create view {name}.MART.V as select id from STAGING.T")


def opened(connection):
    def run(statement):
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    return run


@pytest.fixture
def connect(warehouse):
    with ExitStack() as stack:
        yield lambda **place: opened(stack.enter_context(warehouse.connect(**place)))


@pytest.fixture
def sql(connect):
    return connect(database="RAW")


@pytest.fixture
def pair(sql):
    names = tuple(f"D{uuid4().hex[:6].upper()}_{end}" for end in ("PROD", "STAGING"))
    for number, name in enumerate(names, start=1):
        make(sql, name, number)
    yield names
    sql("use database RAW")
    for name in names:
        sql(f"drop database if exists {name}")


def refusal(sql, statement):
    with pytest.raises(DatabaseError) as caught:
        sql(statement)
    return str(caught.value)


class TestSwap:
    def test_tables_and_views_go_with_the_name(self, sql, pair):
        prod, staging = pair
        sql(f"alter database {prod} swap with {staging}")
        for name, number in ((prod, 2), (staging, 1)):
            assert sql(f"select id from {name}.STAGING.T") == [(number,)]
            assert sql(f"select id from {name}.MART.V") == [(number,)]
            assert sql(
                f"select table_catalog, comment from {name}.information_schema.tables"
                " where table_name = 'T'"
            ) == [(name, str(number))]
        sql(f"insert into {prod}.STAGING.T values (3, 'y')")
        assert sql(f"select count(*) from {prod}.MART.V") == [(2,)]
        sql(f"alter database if exists {staging} swap with {prod}")
        assert sql(f"select id from {prod}.MART.V") == [(1,)]

    def test_a_session_stays_where_it_is_by_name(self, sql, connect, pair):
        prod, staging = pair
        reader = connect(database=prod, schema="MART")
        assert reader("select id from V") == [(1,)]
        sql(f"use schema {staging}.STAGING")
        sql(f"alter database {prod} swap with {staging}")
        assert sql("select current_database(), current_schema(), id from T") == [
            (staging, "STAGING", 1)
        ]
        assert reader("select current_database(), id from V") == [(prod, 2)]

    def test_grants_and_times_go_along(self, sql, pair):
        prod, staging = pair
        role = f"R{uuid4().hex[:6].upper()}"
        sql(f"create role {role}")
        sql(f"grant usage on database {prod} to role {role}")
        sql(f"grant select on table {staging}.STAGING.T to role {role}")
        sql(f"insert into {prod}.STAGING.T values (9, 'z')")
        altered = (
            "select last_altered from {}.information_schema.tables where table_name = 'T'".format
        )
        before = sql(altered(prod))
        sql(f"alter database {prod} swap with {staging}")
        assert sql(altered(staging)) == before
        assert {row[3] for row in sql(f"show grants to role {role}")} == {
            staging, f"{prod}.STAGING.T",
        }  # fmt: skip
        sql(f"drop role {role}")

    def test_dropped_and_made_again_after_a_swap(self, sql, pair):
        prod, staging = pair
        sql(f"alter database {prod} swap with {staging}")
        sql(f"drop database {prod}")
        make(sql, prod, 7)
        assert sql(f"select id from {prod}.MART.V") == [(7,)]
        assert sql(f"select id from {staging}.MART.V") == [(1,)]

    def test_refusals(self, sql, pair):
        prod, staging = pair
        assert "does not exist" in refusal(sql, f"alter database {prod} swap with NOWHERE")
        assert "does not exist" in refusal(sql, f"alter database NOWHERE swap with {prod}")
        assert "with itself" in refusal(sql, f"alter database {prod} swap with {prod}")
        sql(f"alter database if exists NOWHERE swap with {prod}")
        assert "not supported" in refusal(sql, f"alter database {prod} rename to OTHER")
        sql(f"create stage {staging}.MART.S")
        assert f"({staging}.MART.S)" in refusal(sql, f"alter database {prod} swap with {staging}")
        assert sql(f"select id from {prod}.MART.V") == [(1,)]

    def test_a_transaction_is_waited_for(self, sql, connect, pair):
        prod, staging = pair
        writer = connect(database=prod)
        writer("begin")
        writer(f"insert into {prod}.STAGING.T values (5, 'y')")
        done = threading.Event()

        def swap():
            sql(f"alter database {prod} swap with {staging}")
            done.set()

        thread = threading.Thread(target=swap)
        thread.start()
        assert not done.wait(1)
        # A statement of the transaction goes on at once, or the two would wait for each other.
        writer(f"insert into {prod}.STAGING.T values (6, 'y')")
        writer("commit")
        thread.join(30)
        assert done.is_set()
        assert sql(f"select count(*) from {staging}.STAGING.T") == [(3,)]

    def test_readers_see_one_or_the_other(self, sql, connect, pair):
        prod, staging = pair
        reader, stop, seen = connect(database=prod, schema="MART"), threading.Event(), []

        def read():
            query = f"select (select max(id) from V), (select max(id) from {prod}.STAGING.T)"
            while not stop.is_set():
                try:
                    seen.append(reader(query)[0])
                except Error as error:
                    seen.append(str(error))

        thread = threading.Thread(target=read)
        thread.start()
        for _ in range(6):
            time.sleep(0.2)
            sql(f"alter database {prod} swap with {staging}")
        stop.set()
        thread.join()
        assert set(seen) == {(1, 1), (2, 2)}


class TestClone:
    def test_a_clone_has_rows_views_notes_and_no_connection(self, sql, pair):
        prod, staging = pair
        sql(f"create or replace database {staging} clone {prod}")
        sql(f"insert into {prod}.STAGING.T values (9, 'z')")
        assert sql(f"select id from {staging}.MART.V") == [(1,)]
        assert sql(f"select comment from {staging}.information_schema.tables"
                   " where table_name = 'T'") == [("1",)]  # fmt: skip
        assert "too long" in refusal(sql, f"insert into {staging}.STAGING.T values (1, 'long')")
        assert sql(f"describe table {staging}.STAGING.T")[1][1] == "VARCHAR(3)"
        assert "already exists" in refusal(sql, f"create database {staging} clone {prod}")

    def test_a_schema_s_clone_has_grants_inside_but_not_its_own(self, sql, pair):
        prod, staging = pair
        role = f"R{uuid4().hex[:6].upper()}"
        sql(f"create role {role}")
        for grant in (
            f"usage on schema {prod}.STAGING",
            f"select on table {prod}.STAGING.T",
            f"select on future tables in schema {prod}.STAGING",
        ):
            sql(f"grant {grant} to role {role}")
        sql(f"create or replace schema {staging}.STAGING clone {prod}.STAGING")
        found = {(row[1], row[2], row[3]) for row in sql(f"show grants to role {role}")}
        assert {one for one in found if one[2].startswith(staging)} == {
            ("SELECT", "TABLE", f"{staging}.STAGING.T"),
        }
        (future,) = sql(f"show future grants in schema {staging}.STAGING")
        assert (future[1], future[5]) == ("SELECT", role)
        assert sql(f"describe table {staging}.STAGING.T")[1][1] == "VARCHAR(3)"
        sql(f"drop role {role}")

    def test_schemas_may_be_cloned_before_what_their_views_read(self, sql, pair):
        prod, staging = pair
        for schema in ("MART", "STAGING"):
            sql(f"drop schema {staging}.{schema}")
        for schema in ("MART", "STAGING"):
            sql(f"create or replace schema {staging}.{schema} clone {prod}.{schema}")
        sql(f"update {staging}.STAGING.T set id = 8")
        assert sql(f"select id from {staging}.MART.V") == [(8,)]
        for again in (f"drop schema {staging}.MART", f"create schema {staging}.MART"):
            sql(again)
        sql(f"create or replace schema {staging}.STAGING clone {prod}.STAGING")
        assert "does not exist" in refusal(sql, f"select * from {staging}.MART.V")


class TestViews:
    def test_a_view_reads_from_where_it_is(self, sql, connect, pair):
        """Not from the database or schema of the session that made or reads it."""
        prod, staging = pair
        sql(f"create view {prod}.STAGING.W as select id from T")
        sql(f"create view {prod}.MART.FULL as select id from {prod}.STAGING.T")
        sql(f"create or replace database {staging} clone {prod}")
        sql(f"update {staging}.STAGING.T set id = 8")
        elsewhere = connect(database="RAW")
        assert elsewhere(f"select id from {staging}.STAGING.W") == [(8,)]
        assert elsewhere(f"select id from {staging}.MART.V") == [(8,)]
        assert elsewhere(f"select id from {staging}.MART.FULL") == [(1,)]
        assert "does not exist" in refusal(sql, f"create view {prod}.MART.X as select id from T")

    def test_a_view_that_names_its_database_reads_what_has_the_name(self, sql, pair):
        """What goes wrong on an account, goes wrong here: a swap leaves it on the other side."""
        prod, staging = pair
        for name in pair:
            sql(f"create view {name}.MART.FULL as select id from {name}.STAGING.T")
            sql(f"create view {name}.MART.NESTED as select id from MART.FULL")
        sql(f"alter database {prod} swap with {staging}")
        assert sql(f"select id from {prod}.MART.FULL") == [(1,)]
        assert sql(f"select id from {staging}.MART.NESTED") == [(2,)]
        sql(f"create or replace schema {staging}.MART clone {prod}.MART")
        assert sql(f"select id from {staging}.MART.FULL") == [(1,)]
        sql(f"alter database {prod} swap with {staging}")
        # It names the staging database still, wherever it has been.
        assert sql(f"select id from {prod}.MART.FULL") == [(2,)]


@pytest.mark.parametrize("operation", ["swap", "clone"])
def test_killed_at_each_step(tmp_path, operation):
    """Both databases are there and whole, the one or the other way round."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.swap_victim", operation, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = [tuple(one) for one in json.loads(done.stdout)]
    assert len(seen) > 5, "it was not killed often enough"
    before = {"swap": [(1, 2)], "clone": [(1, 2)]}[operation]
    after = {"swap": [(2, 1)], "clone": [(1, 1)]}[operation]
    assert set(seen) == set(before + after), "half of it, or always the same"
    assert seen[-1] == after[0]
