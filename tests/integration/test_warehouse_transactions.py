"""Writers queue, transactions are read committed, and clients that vanish block nobody."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from snowflake.connector.errors import DatabaseError

from include.local_warehouse.serve import IDLE_LIMIT_VARIABLE

pytestmark = pytest.mark.integration


def test_eight_writers_merge_into_one_table_and_all_commit(session):
    fifty = "select seq4() as id, 0 as n from table(generator(rowcount => 50))"
    session()(f"create table t as {fifty}")
    rounds, writers = 5, 8

    def write(sql):
        for _ in range(rounds):
            sql("begin")
            sql(
                "merge into t using "
                "(select seq4() as id from table(generator(rowcount => 60))) as s "
                "on t.id = s.id when matched then "
                "update set n = t.n + 1 when not matched then insert (id, n) values (s.id, 1)"
            )
            sql("commit")

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, [session() for _ in range(writers)]))
    total = rounds * writers
    rows = session()("select id, n from t order by id")
    assert len(rows) == 60
    assert {n for _, n in rows} == {total}


def test_writers_without_transactions_queue_too(session):
    session()("create table t as select 0 as n")
    with ThreadPoolExecutor(8) as pool:
        sessions = [session() for _ in range(8)]
        list(pool.map(lambda sql: [sql("update t set n = n + 1") for _ in range(5)], sessions))
    assert session()("select n from t") == [(40,)]


def test_tables_are_replaced_side_by_side(session):
    def build(number):
        sql = session()
        for version in range(4):
            sql(f"create or replace table t{number} as select {version} as version")
        return sql(f"select version from t{number}")

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(build, range(6))) == [[(3,)]] * 6


def test_reads_in_a_transaction_see_what_others_committed(session):
    one, other = session(), session()
    one("create table t as select 1 as id")
    one("begin")
    assert one("select count(*) from t") == [(1,)]
    other("insert into t values (2)")
    assert one("select count(*) from t") == [(2,)]
    one("insert into t values (3)")
    one("commit")
    assert other("select count(*) from t") == [(3,)]


def test_two_tables_written_by_two_sessions_in_turn(session):
    one, other = session(), session()
    one("create table a as select 1 as id, 0 as v")
    one("create table b as select 1 as id, 0 as v")
    one("begin")
    one("update a set v = v + 1")
    other("update b set v = v + 10")
    one("update b set v = v + 1")
    one("commit")
    assert one("select a.v, b.v from a join b on a.id = b.id") == [(1, 11)]


def test_uncommitted_rows_are_nobody_elses(session):
    one, other = session(), session()
    one("create table t (id int)")
    one("begin")
    one("insert into t values (1)")
    assert other("select count(*) from t") == [(0,)]
    one("rollback")
    assert one("select count(*) from t") == [(0,)]


def test_failed_statement_keeps_the_transaction_and_what_came_before(session):
    sql = session()
    sql("create table t (id int not null)")
    sql("begin")
    sql("insert into t values (1)")
    with pytest.raises(DatabaseError, match="non-nullable"):
        sql("insert into t values (null)")
    sql("insert into t values (2)")
    sql("commit")
    assert sql("select count(*) from t") == [(2,)]


def test_ddl_commits_what_came_before(session):
    sql = session()
    sql("create table t (id int)")
    sql("begin")
    sql("insert into t values (1)")
    sql("create table u (id int)")
    sql("rollback")
    assert sql("select count(*) from t") == [(1,)]


def test_deadlock_is_refused(session):
    one, other = session(), session()
    one("create table a as select 0 as v")
    one("create table b as select 0 as v")
    one("begin")
    one("update a set v = 1")
    other("begin")
    other("update b set v = 2")
    blocked = threading.Thread(target=one, args=("update b set v = 1",))
    blocked.start()
    time.sleep(0.5)
    with pytest.raises(DatabaseError, match="deadlock"):
        other("update a set v = 2")
    other("rollback")
    blocked.join(30)
    assert not blocked.is_alive()
    one("commit")
    assert one("select a.v, b.v from a cross join b") == [(1, 1)]


def test_a_transaction_over_two_databases_is_refused(session):
    sql = session()
    sql("create table t (id int)")
    name = f"T{uuid4().hex[:8]}"
    sql(f"create table ANALYTICS.PUBLIC.{name} (id int)")
    sql("begin")
    sql("insert into t values (1)")
    with pytest.raises(DatabaseError, match="more than one database"):
        sql(f"insert into ANALYTICS.PUBLIC.{name} values (1)")
    sql("commit")
    assert sql("select count(*) from t") == [(1,)]
    sql(f"drop table ANALYTICS.PUBLIC.{name}")


def test_a_silent_transaction_is_rolled_back_when_it_blocks_others(tmp_path, monkeypatch, request):
    monkeypatch.setenv(IDLE_LIMIT_VARIABLE, "1")
    own = request.getfixturevalue("own_warehouse")
    with own.connect(database="ANALYTICS_DEV", schema="PUBLIC") as silent:
        silent.cursor().execute("create table t as select 0 as v")
        silent.cursor().execute("begin")
        silent.cursor().execute("update t set v = 1")
        with own.connect(database="ANALYTICS_DEV", schema="PUBLIC") as other:
            other.cursor().execute("update t set v = v + 10")
            assert other.cursor().execute("select v from t").fetchall() == [(10,)]
        with pytest.raises(DatabaseError, match="rolled back because it blocked others"):
            silent.cursor().execute("commit")
        silent.cursor().execute("update t set v = v + 1")
        assert silent.cursor().execute("select v from t").fetchall() == [(11,)]


def test_cancel_interrupts_a_running_statement(warehouse):
    with warehouse.connect() as connection:
        cursor = connection.cursor()
        started = time.monotonic()
        with pytest.raises(DatabaseError):
            cursor.execute(
                "select count(*) from table(generator(rowcount => 2000000)) as a "
                "cross join table(generator(rowcount => 2000000)) as b",
                timeout=1,
            )
        assert time.monotonic() - started < 60
        assert cursor.execute("select 1").fetchall() == [(1,)]


def test_failed_read_keeps_the_transaction(session):
    sql = session()
    sql("create table t (id int)")
    sql("begin")
    sql("insert into t values (3)")
    for failing in ("select 1 / (select 0)", "select 'a'::int", "select nothing from t"):
        with pytest.raises(DatabaseError):
            sql(failing)
    sql("insert into t values (4)")
    sql("commit")
    assert sql("select id from t order by id") == [(3,), (4,)]


def test_a_transaction_that_cannot_be_repeated_is_given_up_aloud(session):
    one, other = session(), session()
    one("create table src as select column1 as id from values (1), (2)")
    one("create table dst (id int not null)")
    one("begin")
    one("insert into dst select id from src")
    other("delete from src")
    with pytest.raises(DatabaseError):
        one("insert into dst values (null)")
    with pytest.raises(DatabaseError, match="rolled back"):
        one("commit")
    assert one("select count(*) from dst") == [(0,)]


def test_account_changes_commit_what_came_before(session):
    sql = session()
    sql("create table t (id int)")
    sql("begin")
    sql("insert into t values (1)")
    sql("create or replace warehouse w")
    sql("rollback")
    assert sql("select count(*) from t") == [(1,)]


def test_account_changes_side_by_side(session):
    with ThreadPoolExecutor(4) as pool:
        sessions = [session() for _ in range(4)]
        for _ in range(5):
            list(pool.map(lambda sql: sql("create or replace warehouse shared"), sessions))


def test_a_database_in_use_is_not_dropped(session):
    one, other = session(), session()
    name = f"D{uuid4().hex[:6].upper()}"
    one(f"create database {name}")
    one(f"create table {name}.PUBLIC.t (id int)")
    other(f"use database {name}")
    other("begin")
    other("insert into t values (1)")
    with pytest.raises(DatabaseError, match="in use"):
        one(f"drop database {name}")
    other("commit")
    one(f"drop database {name}")
    with pytest.raises(DatabaseError):
        other("select * from t")
    other("use schema ANALYTICS.PUBLIC")
    assert other("select 1") == [(1,)]
