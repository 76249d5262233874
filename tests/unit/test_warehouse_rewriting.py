"""Rewriting in few steps gives what rewriting in all steps gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakesnow import transforms
from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr

from include.local_warehouse import dialect
from include.local_warehouse.cursor import LocalCursor
from include.local_warehouse.fewer_walks import TRIGGERS
from include.local_warehouse.remembered import Remembered
from include.local_warehouse.session import Session
from include.local_warehouse.store import Store

CHANGED = {
    "alias_in_join": "select a.x as k from a join b on k = b.y",
    "alias_in_where": "select object_construct('a', 1) as o from t where o is not null",
    "alter_session": "alter session unset quoted_identifiers_ignore_case",
    "alter_table_strip_cluster_by": "alter table t cluster by (a)",
    "array_agg": "select array_agg(a) from t",
    "array_agg_within_group": "select array_agg(a) within group (order by b) from t",
    "array_construct_etc": "select array_construct(1, 2)",
    "array_size": "select array_size(a) from t",
    "create_clone": "create table t clone u",
    "create_database": "create database d",
    "create_file_format": "create file format f type = csv",
    "create_stage": "create stage s",
    "create_table_as": "create table t (a number(10, 2)) as select b from u",
    "create_user": "CREATE USER somebody",
    "current_version": "select current_version()",
    "dateadd_date_cast": "select dateadd(day, 1, a::date) from t",
    "dateadd_string_literal_timestamp_cast": "select dateadd(day, 1, '2024-01-01')",
    "datediff_string_literal_timestamp_cast": "select datediff(day, '2024-01-01', a) from t",
    "drop_schema_cascade": "drop schema s",
    "extract_comment_on_columns": "alter table t alter column a comment 'c'",
    "extract_comment_on_table": "comment on table t is 'c'",
    "extract_text_length": "create table t (a varchar(3))",
    "flatten": "select f.value from t, lateral flatten(input => t.a) f",
    "flatten_value_cast_as_varchar": (
        "select value::varchar from t, lateral flatten(input => t.a) f"
    ),
    "haversine": "select haversine(1, 2, 3, 4)",
    "hex_string": "select x'ff'",
    "identifier": "select * from identifier('t')",
    "indices_to_json_extract": "select a[0] from t",
    "integer_precision": "select a::int from t",
    "json_extract_cased_as_varchar": "select upper(a:b) from t",
    "json_extract_cast_as_varchar": "select a:b::varchar from t",
    "json_extract_precedence": "select a:b from t",
    "list_stage": "list @s",
    "numeric_agg_implicit_cast": "select sum(a) from t",
    "object_agg": "select object_agg(a, b) from t",
    "object_construct": "select object_construct('a', 1)",
    "put_stage": "put file:///tmp/x.csv @s",
    "random": "select random()",
    "regex_replace": "select regexp_replace(a, 'b') from t",
    "regex_substr": "select regexp_substr(a, 'b') from t",
    "result_scan": "select * from table(result_scan('x'))",
    "semi_structured_types": "select a::variant from t",
    "set_schema": "use schema d.s",
    "sha256": "select sha2(a) from t",
    "show_columns": "show columns in table t",
    "show_databases": "show databases",
    "show_functions": "show functions",
    "show_keys": "show primary keys in table d.s.t",
    "show_parameters": "show parameters",
    "show_procedures": "show procedures",
    "show_schemas": "show schemas in database d",
    "show_sequences": "show sequences",
    "show_stages": "show stages",
    "show_tables_etc": "show tables",
    "show_users": "show users",
    "show_warehouses": "show warehouses",
    "split": "select split(a, ',') from t",
    "tag": "alter table t set tag a = 'b'",
    "timestamp_ntz": "create table t (a timestamp_ntz)",
    "timestamp_offsets": "select '2024-01-01 10:00:00 +09:00'::timestamp_tz",
    "to_decimal": "select to_number(a) from t",
    "to_timestamp": "select a::timestamp from t",
    "to_variant": "select to_variant(a) from t",
    "trim_cast_varchar": "select trim(a) from t",
    "update_variables": "set v = 1",
    "values_columns": "select * from values (1, 2)",
}
"""For each rule that is left out at times, a statement that it changes."""

IDLE = {"float_to_double", "sample", "to_date", "try_parse_json"}
"""Rules without work: sqlglot reads what they look for as something else."""


@pytest.fixture(scope="module")
def cursor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCursor]:
    store = Store(tmp_path_factory.mktemp("warehouse"))
    session = Session(store)
    made = session.cursor()
    made.execute("create database d")
    made.execute("use database d")
    yield made
    session.close()
    store.close()


def outcome(rules: Callable[[Expr, Any], Expr], sql: str) -> list[str]:
    tree = rules(dialect.parse(sql), None)
    notes = {key: value for key, value in tree.args.items() if key not in tree.arg_types}
    texts = tree.sql(dialect="duckdb"), tree.sql(dialect="snowflake"), repr(notes)
    return [re.sub(r"'[0-9-]+T[0-9:.+]+'", "'now'", text) for text in texts]


def test_every_rule_has_its_statement():
    assert set(CHANGED) | IDLE == set(TRIGGERS)


@pytest.mark.parametrize("rule", CHANGED)
def test_a_rule_runs_on_the_statement_that_it_changes(rule, cursor, monkeypatch):
    all_rules = super(LocalCursor, cursor)._transform
    whole = outcome(all_rules, CHANGED[rule])
    assert outcome(cursor._transform, CHANGED[rule]) == whole
    monkeypatch.setattr(transforms, rule, lambda tree, *_, **__: tree)
    assert outcome(all_rules, CHANGED[rule]) != whole


class Asked:
    """Asks one query again and again, and tells whether it was rewritten anew."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self.session = session
        self.parsed: list[str] = []
        parse = dialect.parse

        def noted(sql: str) -> Expr:
            self.parsed.append(sql)
            return parse(sql)

        monkeypatch.setattr(dialect, "parse", noted)

    def __call__(self, sql: str, params: Any = None) -> tuple[list[Any], bool]:
        self.parsed.clear()
        table = self.session.cursor().execute(sql, params).arrow
        assert table is not None
        return [tuple(row.values()) for row in table.to_pylist()], sql not in self.parsed


@pytest.fixture
def ask(cursor, monkeypatch) -> Asked:
    for schema in ("one", "two"):
        cursor.execute(f"drop schema if exists d.{schema}")
        cursor.execute(f"create schema d.{schema}")
    cursor.execute("use schema d.one")
    cursor.execute("create table t as select 'one' as a")
    cursor.execute("create table d.two.t as select 'two' as a")
    return Asked(cursor.session, monkeypatch)


def test_a_query_is_rewritten_once(ask):
    assert ask("select * from t") == ([("one",)], False)
    assert ask("select * from t") == ([("one",)], True)


def test_patterns_and_names_that_look_like_functions_do_not_matter(ask):
    sql = "select a as brand from t where a like 'o%' and a not like '%w%'"
    assert ask(sql) == ([("one",)], False)
    assert ask(sql) == ([("one",)], True)


def test_not_like_is_the_operator_of_its_own_that_duckdb_plans_for(ask, cursor):
    cursor.execute("create table p as select * from values ('ab'), ('b'), (null) as v (a)")
    conditions = ("a not like 'a%'", "not a like 'a%'", "a not like any ('a%', 'c%')")
    for condition in conditions:
        assert ask(f"select a from p where {condition}")[0] == [("b",)]
    tree = cursor._prepared(dialect.parse("select a not like 'b' from p where a not like 'a%'"))
    assert tree.sql(dialect="duckdb").startswith("SELECT NOT a LIKE 'b' FROM")
    assert tree.sql(dialect="duckdb").endswith("WHERE \"!~~\"(a, 'a%')")


def test_another_schema_or_a_temporary_table_is_another_query(ask, cursor):
    ask("select * from t")
    cursor.execute("use schema d.two")
    assert ask("select * from t") == ([("two",)], False)
    cursor.execute("create temporary table t as select 'mine' as a")
    assert ask("select * from t") == ([("mine",)], False)
    cursor.execute("drop table t")
    assert ask("select * from t") == ([("two",)], True)


def test_what_a_query_reads_may_change(ask, cursor):
    cursor.execute("create view v as select * from t")
    ask("select * from t")
    ask("select * from v")
    cursor.execute("create or replace table t as select 1 as b, 2 as a")
    cursor.execute("create or replace view v as select b from t")
    assert ask("select * from t") == ([(1, 2)], True)
    assert ask("select * from v") == ([(1,)], True)
    cursor.execute("drop table t")
    with pytest.raises(ProgrammingError, match="does not exist"):
        ask("select * from t")


@pytest.mark.parametrize(
    "sql",
    [
        "select current_role() as r",
        "select $v as r",
        "select last_query_id() as r",
        "select * from table(result_scan(last_query_id()))",
        "select random(1) as r",
        "insert into t select 'more'",
    ],
)
def test_what_depends_on_more_is_rewritten_each_time(sql, ask, cursor):
    cursor.execute("set v = 1")
    assert [ask(sql)[1], ask(sql)[1]] == [False, False]


def test_bound_values_are_rewritten_each_time(ask):
    assert ask("select ? as r", [1]) == ([(1,)], False)
    assert ask("select ? as r", [2]) == ([(2,)], False)


def test_what_is_remembered_has_a_bound():
    kept = Remembered(characters=100)
    asked = [(f"select {number:02}", "D", "S", True, True, frozenset[Any]()) for number in range(9)]
    for number, one in enumerate(asked):
        kept.keep(one, f"SELECT {number:02}".ljust(11))
        kept.find(asked[0])
    assert [kept.find(one) is not None for one in asked] == [True] + 4 * [False] + 4 * [True]
