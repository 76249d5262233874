"""Each rule of the local warehouse, shown by a statement that fails or lies without it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import DatabaseError

pytestmark = pytest.mark.integration


class Sql:
    """A session in a schema of its own."""

    def __init__(self, connection: SnowflakeConnection, schema: str) -> None:
        self.connection = connection
        self.schema = schema

    def __call__(self, statement: str) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def value(self, statement: str) -> Any:
        return self(statement)[0][0]

    def dicts(self, statement: str) -> list[dict[str, Any]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def refusal(self, statement: str) -> str:
        with pytest.raises(DatabaseError) as caught:
            self(statement)
        return str(caught.value)


@pytest.fixture
def sql(warehouse) -> Iterator[Sql]:
    schema = f"S{uuid4().hex[:8].upper()}"
    with warehouse.connect(database="ANALYTICS_DEV") as connection:
        session = Sql(connection, schema)
        session(f"create schema {schema}")
        yield session
        session(f"drop schema if exists ANALYTICS_DEV.{schema}")


@pytest.fixture
def other(warehouse, sql) -> Iterator[Sql]:
    """A second session in the same schema."""
    with warehouse.connect(database="ANALYTICS_DEV", schema=sql.schema) as connection:
        yield Sql(connection, sql.schema)


class TestNames:
    def test_temporary_table_in_any_schema(self, sql):
        sql(f"create or replace temporary table ANALYTICS_DEV.{sql.schema}.tmp as select 1 as id")
        assert sql.value(f"select tmp.id from {sql.schema}.tmp") == 1
        assert sql.dicts("describe table tmp")[0]["type"] == "NUMBER(38,0)"

    def test_temporary_table_is_seen_by_its_session_alone(self, sql, other):
        sql("create temporary table t as select 'mine' as owner")
        other("create table t as select 'stored' as owner")
        assert (sql.value("select owner from t"), other.value("select owner from t")) == (
            "mine",
            "stored",
        )
        sql("drop table t")
        assert sql.value("select owner from t") == "stored"

    def test_temporary_table_as_source_of_a_merge(self, sql):
        sql("create table t (id int, v int)")
        sql("create temporary table new_rows as select 1 as id, 2 as v")
        merged = sql(
            "merge into t using new_rows on t.id = new_rows.id "
            "when not matched then insert (id, v) values (new_rows.id, new_rows.v)"
        )
        assert merged == [(1,)]

    def test_view_keeps_the_schema_it_was_made_in(self, sql, warehouse):
        sql("create table t as select 1 as id")
        sql("create view v as select id from t")
        with warehouse.connect(database="ANALYTICS") as elsewhere:
            rows = elsewhere.cursor().execute(f"select id from ANALYTICS_DEV.{sql.schema}.v")
            assert rows.fetchall() == [(1,)]

    def test_recursion_without_the_word_recursive(self, sql):
        rows = "select 1 as i union all select i + 1 from n where i < 4"
        query = f"with n as ({rows}) select sum(i) from n"
        assert sql.value(query) == 10

    def test_session_variables(self, sql):
        sql("set threshold = 5")
        assert sql.value("select $threshold + 1") == 6
        assert sql.value("select 'costs $threshold'") == "costs $threshold"
        assert "'$MISSING' does not exist" in sql.refusal("select $missing")

    def test_use_of_a_missing_database(self, sql):
        assert "Database 'NOWHERE' does not exist" in sql.refusal("use database nowhere")
        assert "does not exist" in sql.refusal("use schema nowhere")

    def test_columns_without_an_alias_have_their_text_as_name(self, sql):
        columns = "count(*), sum(column1), current_role(), column1 + 1"
        row = sql.dicts(f"select {columns} from values (1) group by column1")[0]
        assert list(row) == ["COUNT(*)", "SUM(COLUMN1)", "CURRENT_ROLE()", "COLUMN1 + 1"]

    def test_identifier_names_a_table(self, sql):
        sql("create table t as select 1 as id")
        assert sql("select id from identifier('t')") == [(1,)]


class TestSession:
    def test_query_tag(self, sql):
        sql("""alter session set query_tag = '{"model": "a"}'""")
        show = "show parameters like 'query_tag' in session"
        assert sql.dicts(show)[0]["value"] == '{"model": "a"}'
        sql("alter session unset query_tag")
        assert sql.dicts(show)[0]["value"] == ""

    def test_query_tag_of_the_login(self, warehouse):
        with warehouse.connect(query_tag={"dag": "d"}) as connection:
            row = (
                connection.cursor()
                .execute("show parameters like 'query_tag' in session")
                .fetchone()
            )
        assert '"dag": "d"' in row[1]

    def test_unknown_parameter(self, sql):
        assert "invalid parameter 'NONSENSE'" in sql.refusal("alter session set nonsense = 1")

    def test_role_and_warehouse(self, sql):
        sql("use role transformer")
        sql("use warehouse transforming")
        sql("use secondary roles all")
        assert sql("select current_role(), current_warehouse()") == [
            ("TRANSFORMER", "TRANSFORMING")
        ]

    def test_result_scan_of_the_last_query(self, sql):
        sql("select 7 as seven")
        assert sql.value("select seven from table(result_scan(last_query_id()))") == 7


class TestAccount:
    def test_roles_warehouses_and_grants(self, sql):
        name = f"R{uuid4().hex[:6].upper()}"
        sql(f"create role if not exists {name}")
        sql(f"create role if not exists {name}")
        assert "already exists" in sql.refusal(f"create role {name}")
        assert [row["name"] for row in sql.dicts(f"show roles like '{name}'")] == [name]
        sql(f"grant usage on database RAW to role {name}")
        granted = sql.dicts(f"show grants to role {name}")
        assert [(row["privilege"], row["name"]) for row in granted] == [("USAGE", "RAW")]
        sql(f"revoke usage on database RAW from role {name}")
        assert sql(f"show grants to role {name}") == []
        sql(f"drop role {name}")
        assert "does not exist" in sql.refusal(f"drop role {name}")

    def test_warehouses_and_monitors(self, sql):
        sql("create warehouse if not exists loading warehouse_size = xsmall auto_suspend = 60")
        sql("alter warehouse loading set warehouse_size = small")
        sql("create resource monitor if not exists budget with credit_quota = 10")
        assert [row["name"] for row in sql.dicts("show warehouses like 'loading'")] == ["LOADING"]

    def test_a_password_is_not_kept(self, sql):
        sql("create or replace user someone password = 'very-secret' default_role = r")
        shown = str(sql("show users like 'someone'")) + str(sql("desc user someone"))
        assert "SOMEONE" in shown
        assert "very-secret" not in shown

    def test_what_is_set_joins_what_was_set_before(self, sql):
        sql("create warehouse if not exists sized warehouse_size = 'XSMALL' auto_suspend = 60")
        sql("create resource monitor watch with credit_quota = 10 triggers on 75 percent do notify")
        sql("alter warehouse sized set resource_monitor = watch")
        sql("alter warehouse sized set auto_suspend = 30")
        (shown,) = sql.dicts("show warehouses like 'sized'")
        assert (shown["size"], shown["auto_suspend"]) == ("X-Small", 30)
        assert shown["resource_monitor"] == "WATCH"
        sql("alter resource monitor watch set credit_quota = 20")
        (shown,) = sql.dicts("show resource monitors like 'watch'")
        assert (shown["credit_quota"], shown["notify_at"]) == ("20", "75%")

    def test_retention_of_a_database(self, sql):
        name = f"D{uuid4().hex[:6].upper()}"
        sql(f"create database {name} data_retention_time_in_days = 7")
        assert [row["retention_time"] for row in sql.dicts(f"show databases like '{name}'")] == [
            "7"
        ]
        sql(f"alter database {name} set data_retention_time_in_days = 0")
        assert [row["retention_time"] for row in sql.dicts(f"show databases like '{name}'")] == [
            "0"
        ]
        sql(f"drop database {name}")
        sql(f"create database {name}")
        assert [row["retention_time"] for row in sql.dicts(f"show databases like '{name}'")] == [
            "1"
        ]
        sql(f"drop database {name}")
        assert "does not exist" in sql.refusal(f"alter database {name} set comment = 'x'")

    def test_future_grants_are_shown_apart(self, sql):
        name = f"R{uuid4().hex[:6].upper()}"
        sql(f"create role {name}")
        sql(f"grant select on all tables in schema RAW.PUBLIC to role {name}")
        sql(f"grant select on future tables in schema RAW.PUBLIC to role {name}")
        sql(f"grant usage on future schemas in database RAW to role {name}")
        assert sql(f"show grants to role {name}") == []
        shown = sql.dicts(f"show future grants to role {name}")
        assert [(row["privilege"], row["grant_on"], row["name"]) for row in shown] == [
            ("SELECT", "TABLE", "RAW.PUBLIC.<TABLE>"),
            ("USAGE", "SCHEMA", "RAW.<SCHEMA>"),
        ]
        for place, kind in (("schema RAW.PUBLIC", "TABLE"), ("database RAW", "SCHEMA")):
            shown = sql.dicts(f"show future grants in {place}")
            assert [row["grant_on"] for row in shown if row["grantee_name"] == name] == [kind]
        sql(f"revoke select on future tables in schema RAW.PUBLIC from role {name}")
        assert len(sql(f"show future grants to role {name}")) == 1
        assert "needs IN DATABASE" in sql.refusal("show future grants")

    def test_an_object_has_one_owner(self, sql):
        one, other = (f"R{uuid4().hex[:6].upper()}" for _ in range(2))
        for name in (one, other):
            sql(f"create role {name}")
            sql(f"grant ownership on schema RAW.PUBLIC to role {name} copy current grants")
        assert sql(f"show grants to role {one}") == []
        assert [row["privilege"] for row in sql.dicts(f"show grants to role {other}")] == [
            "OWNERSHIP"
        ]

    def test_who_has_a_role(self, sql):
        one, other = (f"R{uuid4().hex[:6].upper()}" for _ in range(2))
        sql(f"create role {one}")
        sql(f"create role {other}")
        sql(f"grant role {one} to role {other}")
        sql(f"grant role {one} to user ada")
        shown = sql.dicts(f"show grants of role {one}")
        assert [(row["granted_to"], row["grantee_name"]) for row in shown] == [
            ("ROLE", other),
            ("USER", "ADA"),
        ]

    def test_a_user_s_key_is_shown_by_its_fingerprint(self, sql):
        sql("create or replace user bob type = service rsa_public_key = 'MIIB'")
        properties = dict(sql("describe user bob"))
        assert properties["RSA_PUBLIC_KEY_FP"].startswith("SHA256:")
        assert "MIIB" not in str(properties)
        sql("alter user bob set rsa_public_key_2 = 'MIIC' network_policy = office")
        assert [row[1] for row in sql("show parameters like 'network_policy' in user bob")] == [
            "office"
        ]
        sql("alter user bob unset rsa_public_key")
        properties = dict(sql("describe user bob"))
        assert "RSA_PUBLIC_KEY_FP" not in properties
        assert "RSA_PUBLIC_KEY_2_FP" in properties

    def test_show_user_functions(self, sql):
        assert sql("show user functions like 'x' in database ANALYTICS_DEV") == []


class TestTables:
    def test_merge_counts(self, sql):
        sql("create table t as select * from values (1, 'a'), (2, 'b') as v (id, name)")
        merge = (
            "merge into t using (select * from values (1, 'x'), (3, 'c') as s (id, name)) as s "
            "on t.id = s.id when matched and s.name = 'gone' then delete "
            "when matched then update set name = s.name "
            "when not matched then insert (id, name) values (s.id, s.name)"
        )
        cursor = sql.connection.cursor().execute(merge)
        assert [column.name for column in cursor.description] == [
            "number of rows inserted",
            "number of rows updated",
            "number of rows deleted",
        ]
        assert cursor.fetchall() == [(1, 1, 0)]
        assert cursor.rowcount == 2
        assert sql("select * from t order by id") == [(1, "x"), (2, "b"), (3, "c")]

    def test_merge_with_unqualified_insert_values(self, sql):
        sql("create table t (id int, v int)")
        sql("create table s as select 1 as id, 2 as v")
        insert = "insert (id, v) values (id, v)"
        sql(f"merge into t using s on t.id = s.id when not matched then {insert}")
        assert sql("select * from t") == [(1, 2)]

    def test_merge_refuses_two_source_rows_for_one_target_row(self, sql):
        sql("create table t as select 1 as id, 0 as v")
        merge = (
            "merge into t using (select * from values (1, 1), (1, 2) as s (id, v)) as s "
            "on t.id = s.id when matched then update set v = s.v"
        )
        assert "Duplicate row detected" in sql.refusal(merge)
        assert sql("select v from t") == [(0,)]

    def test_contract_holds_not_null_and_types(self, sql):
        create = "create or replace transient table t (id number(38, 0) not null, v number(12, 2))"
        sql(f"{create} as (select 1 as id, 2.345 as v)")
        assert sql("select * from t") == [(1, Decimal("2.35"))]
        assert "NULL result in a non-nullable column 'ID'" in sql.refusal(
            f"{create} as (select null as id, 1 as v)"
        )
        assert sql("select id from t") == [(1,)], "a failed replacement must leave the table alone"

    def test_text_length_is_enforced(self, sql):
        sql("create table t (code varchar(3))")
        assert "too long" in sql.refusal("insert into t values ('abcd')")
        assert sql.dicts("describe table t")[0]["type"] == "VARCHAR(3)"

    def test_a_replaced_table_forgets_its_lengths(self, sql):
        sql("create table t as select 'a'::varchar(3) as code")
        assert sql.dicts("describe table t")[0]["type"] == "VARCHAR(3)"
        sql("create or replace table t as select 'abcd' as code")
        assert sql.dicts("describe table t")[0]["type"] == "VARCHAR(16777216)"

    def test_keys_are_declared_not_enforced(self, sql):
        sql("create table p (id int primary key, code int unique)")
        foreign = "constraint k foreign key (id) references p (id)"
        sql(f"create table c (id int references p (id), {foreign})")
        sql("insert into p values (1, 1), (1, 1)")
        sql("insert into c values (99)")
        assert sql("select count(*) from p") == [(2,)]

    def test_swap(self, sql):
        sql("create table a as select 'a' as name")
        sql("create table b as select 'b' as name")
        sql("alter table a swap with b")
        assert (sql.value("select name from a"), sql.value("select name from b")) == ("b", "a")

    def test_clone_of_a_table_is_a_copy_with_its_constraints(self, sql):
        sql("create table a (id int not null, code varchar(3))")
        sql("insert into a values (1, 'x')")
        sql("create table b clone a")
        sql("update a set code = 'y'")
        assert sql("select * from b") == [(1, "x")]
        assert "non-nullable" in sql.refusal("insert into b values (null, 'z')")
        assert [row["type"] for row in sql.dicts("describe table b")] == [
            "NUMBER(38,0)",
            "VARCHAR(3)",
        ]

    def test_clone_of_a_schema(self, sql):
        sql("create table a as select 1 as id")
        sql(f"create schema {sql.schema}_copy clone {sql.schema}")
        assert sql(f"select * from {sql.schema}_copy.a") == [(1,)]
        sql(f"drop schema {sql.schema}_copy")

    def test_clone_and_drop_of_a_database(self, sql):
        name = f"D{uuid4().hex[:6].upper()}"
        sql(f"create database {name}")
        sql(f"create table {name}.PUBLIC.t as select 5 as id")
        sql(f"create schema {name}.extra")
        sql(f"create table {name}.extra.u as select 6 as id")
        sql(f"create database {name}_copy clone {name}")
        assert sql.value(f"select id from {name}_copy.extra.u") == 6
        assert sql.value(f"select id from {name}_copy.PUBLIC.t") == 5
        sql(f"drop database {name}")
        sql(f"drop database {name}_copy")
        assert "does not exist" in sql.refusal(f"drop database {name}")

    def test_comments(self, sql):
        sql("create table t (id int, name varchar) comment = 'made so'")
        assert sql.value("select comment from information_schema.tables where table_name = 'T' "
                         f"and table_schema = '{sql.schema}'") == "made so"  # fmt: skip
        sql("comment on table t is $$it's a table$$")
        sql('alter table t alter "ID" comment $$the "key"$$, "NAME" COMMENT $$it\'s, a name$$')
        sql("comment on column t.id is 'the key'")
        assert [row["comment"] for row in sql.dicts("describe table t")] == [
            "the key",
            "it's, a name",
        ]
        shown = sql.dicts(f"show objects in schema ANALYTICS_DEV.{sql.schema}")
        assert [(row["name"], row["kind"], row["comment"]) for row in shown] == [
            ("T", "TABLE", "it's a table")
        ]

    def test_a_renamed_table_keeps_its_notes(self, sql):
        sql("create table t (code varchar(3)) comment = 'codes'")
        sql("alter table t rename to u")
        assert sql.dicts("describe table u")[0]["type"] == "VARCHAR(3)"
        assert sql.dicts(f"show tables like 'u' in schema {sql.schema}")[0]["comment"] == "codes"
        assert "not supported" in sql.refusal("alter table u rename to ANALYTICS_DEV.PUBLIC.u")

    def test_clustering_is_told(self, sql):
        rows = "select '2020-01-01'::timestamp as at"
        sql(f"create or replace table t cluster by (to_date(at)) as {rows}")
        query = "select clustering_key from information_schema.tables where table_name = 'T'"
        assert sql.value(f"{query} and table_schema = '{sql.schema}'") == "LINEAR(TO_DATE(at))"

    def test_last_altered_follows_writes(self, sql):
        query = (
            "select last_altered from information_schema.tables "
            f"where table_name = 'T' and table_schema = '{sql.schema}'"
        )
        sql("create table t (id int)")
        made = sql.value(query)
        now = datetime.datetime.now(datetime.UTC)
        assert abs((now - made).total_seconds()) < 60
        sql("select * from t")
        assert sql.value(query) == made
        sql("insert into t values (1)")
        assert sql.value(query) > made

    def test_the_last_change_is_one_of_rows_and_counts_when_it_is_committed(self, sql, other):
        sql("create table t (id int)")
        sql("create table r as select 1 as id")
        sql("create view v as select t.id from t join r on r.id = t.id")

        def seen(name="t"):
            return sql.value(f"select system$last_change_commit_time('{sql.schema}.{name}')")

        made = seen()
        assert abs(datetime.datetime.now(datetime.UTC).timestamp() - made / 1e9) < 60
        for nothing in (
            "select * from t",
            "insert into t select 1 where false",
            "update t set id = 2",
            "delete from t",
            "merge into t using r on t.id = r.id when matched then delete",
            "alter table t add column code varchar(3)",
            "comment on table t is 'a'",
            "create table if not exists t (id int)",
        ):
            sql(nothing)
            assert seen() == made, nothing
        last = made
        for something in (
            "insert into t (id) values (1)",
            "update t set id = id",
            "merge into t using r on t.id = r.id when matched then update set code = 'a'",
            "insert overwrite into t select 1, 'b' where false",
            "insert into t (id) values (1)",
            "delete from t",
            "truncate table t",
            "create or replace table t (id int)",
            "create or replace table t clone r",
        ):
            sql(something)
            assert seen() > last, something
            last = seen()
        # Another session's change is seen once it is committed, also inside a transaction.
        other("begin")
        other("insert into t values (5)")
        sql("begin")
        sql("insert into r values (7)")
        assert (seen(), seen("v")) == (last, last)
        other("commit")
        assert seen() == seen("v") > last
        other("begin")
        other("insert into t values (6)")
        other("rollback")
        last = seen()
        sql("rollback")
        assert (seen(), seen("v")) == (last, last)
        sql("alter table t rename to u")
        assert seen("u") == last
        assert sql("select system$last_change_commit_time('r'), system$last_change_commit_time('u')"
                   ) == [(seen("r"), last)]  # fmt: skip
        assert "does not exist" in sql.refusal("select system$last_change_commit_time('nowhere')")
        assert "constant" in sql.refusal("select system$last_change_commit_time(id) from u")

    def test_the_last_change_of_a_loaded_table(self, sql, tmp_path):
        (tmp_path / "a.csv").write_text("1\n2\n")
        sql("create table t (id int)")
        sql("create stage s")
        sql(f"put file://{tmp_path}/a.csv @s")
        seen = []
        for _ in range(2):
            seen.append(sql.value("select system$last_change_commit_time('t')"))
            sql("copy into t from @s file_format = (type = csv)")
        assert seen[0] < seen[1], "the rows"
        assert seen[1] == sql.value("select system$last_change_commit_time('t')"), "loaded before"

    def test_what_is_granted_in_a_database(self, sql):
        role = f"R{uuid4().hex[:6].upper()}"
        sql(f"create role {role}")
        sql("create table t (id int)")
        sql(f"grant select on table t to role {role}")
        sql(f"grant usage on schema {sql.schema} to role {role}")
        assert sql(
            "select granted_to, grantee, object_schema, object_name, object_type, privilege_type"
            " from ANALYTICS_DEV.information_schema.object_privileges"
            f" where grantee = '{role}' order by object_type desc"
        ) == [
            ("ROLE", role, sql.schema, "T", "TABLE", "SELECT"),
            ("ROLE", role, sql.schema, sql.schema, "SCHEMA", "USAGE"),
        ]
        sql(f"drop role {role}")
        sql(f"create role {role}")
        assert sql(f"show grants to role {role}") == [], "a role takes its grants along"
        sql(f"drop role {role}")


class TestCatalogue:
    def test_views_are_listed_as_views(self, sql):
        sql("create table t as select 1 as id")
        sql("create view v as select id from t")
        rows = sql(
            "select table_name, table_type from information_schema.tables "
            f"where table_schema = '{sql.schema}' order by 1"
        )
        assert rows == [("T", "BASE TABLE"), ("V", "VIEW")]
        assert [r["name"] for r in sql.dicts(f"show views in schema {sql.schema}")] == ["V"]

    def test_show_objects_filters(self, sql):
        for name in ("alpha", "beta"):
            sql(f"create table {name} (id int)")
        show = f"show objects in schema ANALYTICS_DEV.{sql.schema}"
        assert [r["name"] for r in sql.dicts(f"{show} starts with 'AL' limit 1")] == ["ALPHA"]
        assert [r["name"] for r in sql.dicts("show tables like 'be%'")] == ["BETA"]
        assert [r["name"] for r in sql.dicts(f"{show} limit 10 from 'ALPHA'")] == ["BETA"]

    def test_show_objects_of_a_missing_schema(self, sql):
        refusal = sql.refusal("show objects in schema ANALYTICS_DEV.nowhere")
        assert "002043 (02000)" in refusal, "dbt looks for exactly this"

    def test_integers_are_numbers_whatever_made_them(self, sql):
        sql("create table t as select count(*) as n, sum(1) as s from values (1), (2)")
        assert [row["type"] for row in sql.dicts("describe table t")] == ["NUMBER(38,0)"] * 2
        assert sql("select n, s from t") == [(2, 2)]


class TestNumbers:
    def test_sums_of_decimals_are_exact(self, sql):
        sql("create table t (v number(12, 2))")
        sql("insert into t select 0.10 from table(generator(rowcount => 1000))")
        assert sql.value("select sum(v) from t") == Decimal("100.00")
        assert sql.value("select sum(v) over () from t limit 1") == Decimal("100.00")

    def test_division_by_zero_fails(self, sql):
        assert "Division by zero" in sql.refusal("select 1 / (select 0)")
        assert sql("select div0(1, 0), 1 / nullif(0, 0)") == [(0, None)]

    def test_hash_agg_compares_sets_of_rows(self, sql):
        values = "(select * from values (1, 'a'), (2, 'b') as v (id, name))"
        turned = "(select * from values (2, 'b'), (1, 'a') as v (id, name))"
        doubled = "(select * from values (2, 'b'), (1, 'a'), (1, 'a'), (1, 'a') as v (id, name))"
        one, two, three = (
            sql.value(f"select hash_agg(id, name) from {rows}")
            for rows in (values, turned, doubled)
        )
        assert one == two != three
        assert sql.value(f"select hash_agg(*) from {values}") == one
        assert sql.value("select hash_agg(1) from values (1) where false") == 0

    def test_hash_is_signed_64_bit(self, sql):
        hashes = sql("select hash(column1) from values (1), (2), (3), (4), (5), (6), (7), (8)")
        assert any(value < 0 for (value,) in hashes)
        assert all(-(2**63) <= value < 2**63 for (value,) in hashes)

    def test_sha2(self, sql):
        wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert sql("select sha2('abc'), sha2('abc', 256), sha2_hex('abc')") == [(wanted,) * 3]

    def test_ratio_to_report(self, sql):
        rows = sql("select ratio_to_report(column1) over () from values (1), (3) order by 1")
        assert [float(value) for (value,) in rows] == [0.25, 0.75]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("select * from read_csv('/etc/passwd')", "Unknown function READ_CSV"),
        ("select * from read_text('/etc/passwd')", "Unknown function READ_TEXT"),
        ("select * from glob('/etc/*')", "compilation error"),
        ("select * from parquet_scan('x')", "Unknown function PARQUET_SCAN"),
        ("select * from 'local.csv'", "Files are read from a stage"),
        ("copy (select 1) to '/tmp/out.csv'", "unexpected"),
        ("attach database '/tmp/x.db' as x", "compilation error"),
        ("install httpfs", "unexpected"),
        ("pragma database_list", "unexpected"),
        ("export database '/tmp/x'", "compilation error"),
        ("create macro f(x) as x", "unexpected"),
        ("select list_sort([2, 1])", "Unknown function LIST_SORT"),
        ("select strftime(current_date, '%Y')", "Unknown function STRFTIME"),
        ("select count(*) filter (where true)", "unexpected 'FILTER'"),
        (
            "merge into t using s on t.id = s.id when not matched by source then delete",
            "unexpected 'BY'",
        ),
        ("select * from t at(offset => -60)", "Time travel (AT, BEFORE) is not supported"),
        (
            "create dynamic table d target_lag = '1 minute' warehouse = w as select 1",
            "Dynamic tables are not supported",
        ),
        ("create materialized view m as select 1 as x", "Materialized views are not supported"),
        ("create stream s on table t", "Streams are not supported"),
        ("create task t schedule = '1 minute' as select 1", "Tasks are not supported"),
        ("call p()", "Procedures and Snowflake Scripting are not supported"),
        ("select 1; select 2", "statement count 2"),
        ("selekt 1", "compilation error"),
        ("-- nothing but a comment", "statement count 0"),
    ],
)
def test_refused_in_one_sentence(sql, statement, reason):
    assert reason in sql.refusal(statement)
    assert sql.value("select 1") == 1


class TestNamesInDepth:
    """What a name means where several things could be meant."""

    def test_a_later_cte_does_not_hide_a_temporary_table(self, sql):
        sql("create table t as select 'stored' as origin")
        sql("create temporary table t as select 'temporary' as origin")
        query = "with x as (select * from t), t as (select 'cte' as origin) select origin from x"
        assert sql.value(query) == "temporary"
        assert sql.value("with t as (select 'cte' as origin) select origin from t") == "cte"

    def test_a_cte_that_reads_the_table_it_is_named_after(self, sql):
        sql("create table t as select 1 as id")
        assert sql.value("with t as (select id + 1 as id from t) select id from t") == 2

    def test_temporary_tables_with_qualified_columns(self, sql):
        sql("create temporary table tmp as select 1 as id, 0 as v")
        assert sql.value(f"select {sql.schema}.tmp.id from {sql.schema}.tmp") == 1
        sql("update tmp set v = tmp.id + 1 where tmp.id = 1")
        sql("merge into tmp using (select 1 as id) as s on tmp.id = s.id "
            "when matched then update set tmp.v = tmp.v + 10")  # fmt: skip
        assert sql.value("select v from tmp") == 12
        sql("delete from tmp where tmp.id = 1")
        assert sql.value("select count(*) from tmp") == 0

    def test_a_stored_table_is_made_behind_a_temporary_one(self, sql, other):
        sql("create temporary table t as select 'temporary' as origin")
        sql("create or replace table t as select 'stored' as origin")
        assert (sql.value("select origin from t"), other.value("select origin from t")) == (
            "temporary",
            "stored",
        )

    def test_a_failed_temporary_table_leaves_its_name_free(self, sql):
        sql.refusal("create temporary table t as select 1 / (select 0) as x")
        sql("create table t (a int)")
        assert sql("select * from t") == []

    def test_columns_named_like_settings(self, sql):
        sql('create table t (current_role varchar, "CURRENT_SCHEMA" varchar)')
        sql("insert into t values ('mine', 'own')")
        assert sql("select current_role, current_schema from t") == [("mine", "own")]
        assert sql("select current_role from t where current_role = 'ACCOUNTADMIN'") == []

    def test_settings_in_a_view_are_refused(self, sql):
        assert "in a view" in sql.refusal("create view v as select current_role() as r")

    def test_set_columns_with_their_table(self, sql):
        sql("create table t (id int, v int)")
        sql("insert into t values (1, 1)")
        sql("update t set t.v = 2")
        sql(
            "merge into t using (select * from values (1, 3), (2, 4) as s (id, v)) as s "
            "on t.id = s.id when matched then update set t.v = s.v "
            "when not matched then insert (t.id, t.v) values (s.id, s.v)"
        )
        assert sql("select * from t order by id") == [(1, 3), (2, 4)]


class TestReplacing:
    """A statement may read what it replaces, and a failed one replaces nothing."""

    def test_insert_overwrite_of_what_it_reads(self, sql):
        sql("create table t as select column1 as id from values (1), (1), (2)")
        sql("insert overwrite into t select distinct id from t")
        assert sql("select id from t order by id") == [(1,), (2,)]

    def test_table_with_columns_made_from_itself(self, sql):
        sql("create table t as select 1 as id, 'x' as name")
        sql("create or replace table t (id number(38, 0) not null) as select id from t")
        assert sql("select * from t") == [(1,)]

    def test_clone_of_itself(self, sql):
        sql("create table t as select 1 as id")
        sql("create or replace table t clone t")
        assert sql("select * from t") == [(1,)]

    def test_database_clone_of_nothing_deletes_nothing(self, sql):
        name = f"D{uuid4().hex[:6].upper()}"
        sql(f"create database {name}")
        sql(f"create table {name}.PUBLIC.t as select 1 as id")
        assert "does not exist" in sql.refusal(f"create or replace database {name} clone nowhere")
        assert "clone of itself" in sql.refusal(f"create or replace database {name} clone {name}")
        assert sql.value(f"select id from {name}.PUBLIC.t") == 1
        sql(f"drop database {name}")

    def test_create_if_not_exists_inserts_once(self, sql):
        for _ in range(2):
            sql("create table if not exists t (id int) as select 9 as id")
        assert sql("select id from t") == [(9,)]

    def test_a_failed_replacement_keeps_the_notes(self, sql):
        sql("create table t (code varchar(3)) comment = 'codes'")
        sql.refusal("create or replace table t as select 1 / (select 0) as x")
        assert sql.dicts("describe table t")[0]["type"] == "VARCHAR(3)"
        assert sql.dicts(f"show tables like 't' in schema {sql.schema}")[0]["comment"] == "codes"

    def test_swapped_tables_take_their_notes_along(self, sql):
        sql("create table a (code varchar(3)) comment = 'one'")
        sql("create table b (code varchar(9)) comment = 'two'")
        sql("alter table a swap with b")
        shown = {r["name"]: r["comment"] for r in sql.dicts(f"show tables in schema {sql.schema}")}
        assert shown == {"A": "two", "B": "one"}
        assert sql.dicts("describe table a")[0]["type"] == "VARCHAR(9)"

    def test_nested_division_by_zero(self, sql):
        sql("create table t as select 0 as d, 1 as x")
        assert "Division by zero" in sql.refusal("select 1 / (1 / d) from t")
        assert "Division by zero" in sql.refusal("select 5 / (x + x / d) from t")
        assert sql.value("select 12 / (6 / (4 / 2)) from t") == 4

    def test_the_servers_own_objects_are_out_of_reach(self, sql):
        for statement in (
            "drop schema _fs_global._firn",
            "delete from _fs_global._firn.table_times",
            "select * from ANALYTICS_DEV._fs_information_schema._fs_columns",
            "select * from pg_catalog.pg_tables",
            "select * from duckdb_tables",
            "select * from sqlite_master",
            'select * from "/etc/passwd"',
        ):
            assert "does not exist" in sql.refusal(statement), statement
        assert sql.value("select 1") == 1


class TestWhatClientsRead:
    """Results, descriptions and errors in the form that dbt and the drivers look for."""

    def test_nulls_of_times_stay_null(self, sql):
        query = "select null::timestamp_ntz as a, null::timestamp_tz as b, null::date as c"
        assert sql(query) == [(None, None, None)]

    def test_arrays_and_objects_are_json(self, sql):
        assert sql("select ['a', 'b'] as a, {'k': 1} as o") == [('["a","b"]', '{"k":1}')]
        sql("create table t as select ['a'] as a")
        assert sql.dicts("describe table t")[0]["type"] == "ARRAY"

    def test_comments_in_a_column_list(self, sql):
        sql("create view v (a comment 'the first') as select 1 as b")
        assert [(row["name"], row["comment"]) for row in sql.dicts("describe view v")] == [
            ("A", "the first")
        ]

    def test_tables_without_comment(self, sql):
        sql("create table t (id int)")
        query = "select comment from information_schema.tables where table_name = 'T' and "
        assert sql(f"{query} table_schema = '{sql.schema}'") == [(None,)]

    def test_grants_on_tables_follow_their_life(self, sql):
        role = f"R{uuid4().hex[:6].upper()}"
        sql("create table t (id int)")
        sql(f"create role {role}")
        sql(f"grant select, insert on table t to role {role}")
        granted = sql.dicts("show grants on table t")
        full_name = f"ANALYTICS_DEV.{sql.schema}.T"
        assert {(r["privilege"], r["granted_to"], r["grantee_name"]) for r in granted} == {
            ("INSERT", "ROLE", role),
            ("SELECT", "ROLE", role),
        }
        assert {r["name"] for r in granted} == {full_name}
        sql("create or replace table t copy grants (id int)")
        assert len(sql("show grants on table t")) == 2
        sql("create or replace table t (id int)")
        assert sql("show grants on table t") == []
        sql(f"drop role {role}")

    def test_grants_to_nobody_or_of_nothing(self, sql):
        sql("create table t (id int)")
        assert "Role 'NOWHERE' does not exist" in sql.refusal("grant select on t to role nowhere")
        refusal = sql.refusal("grant nonsense on table t to role sysadmin")
        assert "unexpected 'NONSENSE'" in refusal

    @pytest.mark.parametrize(
        ("statement", "number", "words"),
        [
            ("create table t (id int)", 2002, "already exists"),
            ("select * from nowhere", 2003, "'NOWHERE' does not exist or not authorized"),
            ("select nothing from t", 904, "invalid identifier 'NOTHING'"),
            ("select 1 limit 1\nlimit 1", 1003, "syntax error line 2 at position 0 unexpected"),
        ],
    )
    def test_errors_have_snowflakes_numbers_and_words(self, sql, statement, number, words):
        sql("create table t (id int)")
        refusal = sql.refusal(statement)
        assert refusal.startswith(f"{number:06d} ")
        assert words in refusal

    def test_result_scan_takes_part_in_a_query(self, sql):
        sql("create table t (id int)")
        sql("show tables")
        query = 'select lower("name") as n from table(result_scan(last_query_id())) where true'
        assert sql(query) == [("t",)]

    def test_trim_removes_the_characters_it_is_told(self, sql):
        assert sql("select trim('--a-b-', '-'), trim(12211, '1'), trim(' a ')") == [
            ("a-b", "22", "a")
        ]

    def test_to_char_of_a_column_keeps_its_format(self, sql):
        sql("create table t as select '2026-03-01'::date as d, '2026-03-01 07:08'::timestamp as m")
        found = sql("select to_char(d, 'YYYYMMDD'), to_varchar(m, 'DD.MM.YY HH24:MI') from t")
        assert found == [("20260301", "01.03.26 07:08")]
        assert "TO_CHAR with a format" in sql.refusal(
            "select to_char(column1, '09') from values (1)"
        )

    def test_convert_timezone_keeps_the_zone(self, sql):
        sql("create table t as select convert_timezone('UTC', current_timestamp()) as a")
        assert sql.dicts("describe table t")[0]["type"] == "TIMESTAMP_TZ(9)"

    def test_what_is_no_moment_is_null_when_it_is_only_tried(self, sql):
        moment = datetime.datetime.fromisoformat("2025-01-02T10:00:00")
        for tried in (
            "try_cast(column1 as timestamp_ntz)",
            "try_cast(column1 as timestamp)",
            "try_to_timestamp(column1)",
            "try_to_timestamp_ntz(column1)",
            "try_to_timestamp_ntz(column1, 'YYYY-MM-DD HH24:MI:SS')",
        ):
            found = sql(f"select {tried} from values ('2025-01-02 10:00:00'), ('x'), (null)")
            assert found == [(moment,), (None,), (None,)], tried
