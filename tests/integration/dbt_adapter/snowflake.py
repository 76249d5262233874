"""What the suites of dbt-tests-adapter must know of Snowflake.

A class with the name of a suite's class stands in for it; one with a name of its own runs in
addition. Most only give the names, types and messages that differ from Postgres, for which the
suites are written.
"""

# ruff: noqa: ARG002 - pytest passes fixtures to those who name them

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from dbt.adapters.snowflake.relation_configs.policies import SnowflakeRelationType
from dbt.tests.adapter.aliases import test_aliases
from dbt.tests.adapter.basic import (
    expected_catalog,
    test_adapter_methods,
    test_docs_generate,
    test_get_catalog_for_single_relation,
    test_incremental,
)
from dbt.tests.adapter.catalog import files as catalog_files
from dbt.tests.adapter.catalog import relation_types
from dbt.tests.adapter.column_types import test_column_types
from dbt.tests.adapter.concurrency import test_concurrency
from dbt.tests.adapter.constraints import fixtures as constraints_fixtures
from dbt.tests.adapter.constraints import test_constraints
from dbt.tests.adapter.dbt_show import test_dbt_show
from dbt.tests.adapter.ephemeral import test_ephemeral
from dbt.tests.adapter.grants import (
    test_incremental_grants,
    test_invalid_grants,
    test_model_grants,
    test_seed_grants,
    test_snapshot_grants,
)
from dbt.tests.adapter.hooks import test_model_hooks, test_run_hooks
from dbt.tests.adapter.incremental import (
    test_incremental_microbatch,
    test_incremental_predicates,
    test_incremental_unique_id,
)
from dbt.tests.adapter.persist_docs import test_persist_docs
from dbt.tests.adapter.query_comment import test_query_comment
from dbt.tests.adapter.sample_mode import test_sample_mode
from dbt.tests.adapter.simple_seed import seeds as seed_files
from dbt.tests.adapter.simple_seed import test_seed, test_seed_type_override
from dbt.tests.adapter.unit_testing import test_types
from dbt.tests.adapter.utils import test_source_freshness_custom_info, test_timestamps
from dbt.tests.util import AnyInteger, AnyString, check_relations_equal, run_dbt
from dbt_common.contracts.metadata import CatalogTable, ColumnMetadata, StatsItem, TableMetadata

OWNER = "ACCOUNTADMIN"
HOOKS_DATA = Path(test_run_hooks.__file__).parent / "data"


def classes() -> list[type]:
    """The classes of this module that a suite is to run."""
    return [
        found
        for found in vars(sys.modules[__name__]).values()
        if isinstance(found, type)
        and found.__module__ == __name__
        and any(name[:4] == "test" for name in dir(found))
    ]


def adapted(suite: type) -> list[type]:
    """The classes of this module that adapt a suite's class."""
    return [found for found in classes() if _suite_of(found) is suite]


def _suite_of(found: type) -> type:
    return next(base for base in found.__mro__ if base.__module__ != __name__)


# Names: the suites know `expect_value` and string literals from their project, by Postgres's types.


class BaseAliases(test_aliases.BaseAliases):
    @pytest.fixture(scope="class")
    def macros(self) -> dict[str, str]:
        return {
            "string_literal.sql": (
                "{% macro snowflake__string_literal(s) %}cast('{{ s }}' as string){% endmacro %}"
            ),
            "expect_value.sql": (
                "{% test expect_value(model, field, value) %}"
                "select * from {{ model }} where {{ field }} != '{{ value }}'"
                "{% endtest %}"
            ),
        }


class BaseAdapterMethod(test_adapter_methods.BaseAdapterMethod):
    @pytest.fixture(scope="class")
    def equal_tables(self) -> list[str]:
        return ["MODEL", "EXPECTED"]


class BaseConcurrency(test_concurrency.BaseConcurrency):
    def test_concurrency(self, project: Any) -> None:
        run_dbt(["seed", "--select", "seed"])
        for content in (test_concurrency.seeds__seed_csv, test_concurrency.seeds__update_csv):
            (Path(project.project_root) / "seeds" / "seed.csv").write_text(content)
            run_dbt(["seed", "--select", "seed"])
            results = run_dbt(["run"], expect_pass=False)
            statuses = sorted(str(result.status) for result in results)
            assert statuses == ["error", "skipped", *["success"] * 5]
            for relation in ("VIEW_MODEL", "DEP", "TABLE_A", "TABLE_B"):
                check_relations_equal(project.adapter, ["SEED", relation])


class BaseEphemeralMulti(test_ephemeral.BaseEphemeralMulti):
    def test_ephemeral_multi(self, project: Any) -> None:
        run_dbt(["seed"])
        assert len(run_dbt(["run"])) == 3
        check_relations_equal(
            project.adapter, ["SEED", "DEPENDENT", "DOUBLE_DEPENDENT", "SUPER_DEPENDENT"]
        )


class BaseEphemeralNested(test_ephemeral.BaseEphemeralNested):
    def test_ephemeral_nested(self, project: Any) -> None:
        results = run_dbt(["run"])
        assert len(results) == 2
        compiled = Path("target/run/test/models/root_view.sql").read_text()
        schema = f"{project.database}.{project.test_schema}"
        expected = f"""
            create or replace view {schema}.root_view as (
                with __dbt__cte__ephemeral_level_two as (select * from {schema}.source_table),
                __dbt__cte__ephemeral as (select * from __dbt__cte__ephemeral_level_two)
                select * from __dbt__cte__ephemeral
            );
        """
        assert "".join(compiled.split()) == "".join(expected.split())


# The catalogue


def _statistics(value: float) -> dict[str, dict[str, Any]]:
    rows = {
        "has_stats": ("Has Stats?", True, "Indicates whether there are statistics for this table"),
        "bytes": (
            "Approximate Size",
            AnyInteger(),
            "Approximate size of the table as reported by Snowflake",
        ),
        "last_modified": ("Last Modified", AnyString(), "The timestamp for last update/change"),
        "row_count": ("Row Count", value, "An approximate count of rows in this table"),
    }
    return {
        name: {
            "id": name,
            "label": label,
            "value": found,
            "description": description,
            "include": name != "has_stats",
        }
        for name, (label, found, description) in rows.items()
    }


class BaseDocsGenerate(test_docs_generate.BaseDocsGenerate):
    @pytest.fixture(scope="class")
    def expected_catalog(self, project: Any) -> dict[str, Any]:
        catalog: dict[str, Any] = expected_catalog.base_expected_catalog(
            project,
            role=OWNER,
            id_type="NUMBER",
            text_type="TEXT",
            time_type="TIMESTAMP_NTZ",
            view_type="VIEW",
            table_type="BASE TABLE",
            model_stats=expected_catalog.no_stats(),
            seed_stats=_statistics(1.0),
            case=str.upper,
        )
        return catalog


class BaseGetCatalogForSingleRelation(
    test_get_catalog_for_single_relation.BaseGetCatalogForSingleRelation
):
    @pytest.fixture(scope="class")
    def expected_catalog_my_seed(self, project: Any) -> CatalogTable:
        return self._expected(project, "MY_SEED", SnowflakeRelationType.Table, rows=1)

    @pytest.fixture(scope="class")
    def expected_catalog_my_view_model(self, project: Any) -> CatalogTable:
        return self._expected(project, "MY_VIEW_MODEL", SnowflakeRelationType.View, rows=0)

    def _expected(
        self, project: Any, name: str, kind: SnowflakeRelationType, rows: int
    ) -> CatalogTable:
        types = {
            "ID": "NUMBER",
            "FIRST_NAME": "VARCHAR",
            "EMAIL": "VARCHAR",
            "IP_ADDRESS": "VARCHAR",
            "UPDATED_AT": "TIMESTAMP_NTZ",
        }
        statistics = {
            "has_stats": (
                "Has Stats?",
                True,
                "Indicates whether there are statistics for this table",
                False,
            ),
            "row_count": (
                "Row Count",
                rows,
                "Number of rows in the table as reported by Snowflake",
                bool(rows),
            ),
            # Storage is not Snowflake's here, so a table's size in its terms is not known.
            "bytes": (
                "Approximate Size",
                0,
                "Size of the table as reported by Snowflake",
                bool(rows),
            ),
        }
        return CatalogTable(
            metadata=TableMetadata(
                type=kind.upper(),
                schema=project.test_schema.upper(),
                name=name,
                database=project.database,
                comment="",
                owner=OWNER,
            ),
            columns={
                column: ColumnMetadata(type=kind_, index=index, name=column, comment=None)
                for index, (column, kind_) in enumerate(types.items(), start=1)
            },
            stats={
                key: StatsItem(id=key, label=label, value=value, include=shown, description=text)
                for key, (label, value, text, shown) in statistics.items()
            },
            unique_id=None,
        )


class CatalogRelationTypes(relation_types.CatalogRelationTypes):
    @pytest.fixture(scope="class", autouse=True)
    def models(self) -> dict[str, str]:
        return {"my_table.sql": catalog_files.MY_TABLE, "my_view.sql": catalog_files.MY_VIEW}

    @pytest.mark.parametrize(
        ("node_name", "relation_type"),
        [
            ("seed.test.my_seed", "BASE TABLE"),
            ("model.test.my_table", "BASE TABLE"),
            ("model.test.my_view", "VIEW"),
        ],
    )
    def test_relation_types_populate_correctly(
        self, docs: Any, node_name: str, relation_type: str
    ) -> None:
        super().test_relation_types_populate_correctly(docs, node_name, relation_type)


class BasePersistDocs(test_persist_docs.BasePersistDocs):
    def _assert_common_comments(self, *comments: str) -> None:
        for comment in comments:
            assert '"with double quotes"' in comment
            assert "'''abc123'''" in comment
            assert "\n" in comment
            # Comments go between two dollar signs each, so dbt-snowflake changes those inside.
            assert "Some [$]lbl[$] labeled [$]lbl[$] and [$][$] unlabeled [$][$]" in comment
            assert "/* comment */" in comment
            assert "--\n" in comment

    def _assert_has_table_comments(self, table_node: Any) -> None:
        found = [
            table_node["metadata"]["comment"],
            table_node["columns"]["ID"]["comment"],
            table_node["columns"]["NAME"]["comment"],
        ]
        starts = ["Table model description", "id Column description", "Some stuff here and then"]
        for comment, start in zip(found, starts, strict=True):
            assert comment.startswith(start)
        self._assert_common_comments(*found)

    def _assert_has_view_comments(
        self, view_node: Any, has_node_comments: bool = True, has_column_comments: bool = True
    ) -> None:
        comment = view_node["metadata"]["comment"]
        column_comment = view_node["columns"]["ID"]["comment"]
        if has_node_comments:
            assert comment.startswith("View model description")
            self._assert_common_comments(comment)
        else:
            assert not comment
        if has_column_comments:
            assert column_comment.startswith("id Column description")
            self._assert_common_comments(column_comment)
        else:
            assert not column_comment
        assert not view_node["columns"]["NAME"]["comment"]


class BasePersistDocsColumnMissing(test_persist_docs.BasePersistDocsColumnMissing):
    def test_missing_column(self, project: Any) -> None:
        catalog = run_dbt(["docs", "generate"])
        columns = catalog.nodes["model.test.missing_column"].columns
        assert columns["ID"].comment.startswith("test id column description")


class BasePostgresColumnTypes(test_column_types.BasePostgresColumnTypes):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        # Every integer type is a number(38, 0) on Snowflake, and dbt asks only for its kind.
        kinds = {
            "1::smallint": ["numeric", "number", "not string", "not float"],
            "2::int": ["numeric", "number", "not string", "not float"],
            "3::bigint": ["numeric", "number", "not string", "not float"],
            "4.0::real": ["float", "number", "not string"],
            "5.0::double precision": ["float", "number", "not string"],
            "6.0::number(12, 2)": ["numeric", "number", "not float"],
            "'7'::text": ["string", "not number"],
            "'8'::varchar(20)": ["string", "not number"],
        }
        columns = {f"col_{index}": checks for index, checks in enumerate(kinds.values())}
        selected = ", ".join(f"{value} as col_{index}" for index, value in enumerate(kinds))
        test = {"is_type": {"column_map": columns}}
        return {
            "model.sql": f"select {selected}",
            "schema.yml": {"models": [{"name": "model", "data_tests": [test]}]},  # type: ignore[dict-item]
        }

    def test_run_and_test(self, project: Any) -> None:
        self.run_and_test()


# Constraints and contracts


class ColumnTypes:
    """Types as a contract writes them, and as dbt-snowflake names them in its errors."""

    @pytest.fixture
    def int_type(self) -> str:
        return "FIXED"

    @pytest.fixture
    def schema_int_type(self) -> str:
        return "INT"

    @pytest.fixture
    def data_types(self, int_type: str, schema_int_type: str, string_type: str) -> list[list[str]]:
        return [
            ["1", schema_int_type, int_type],
            ["'1'", string_type, string_type],
            ["cast('2019-01-01' as date)", "date", "DATE"],
            ["true", "boolean", "BOOLEAN"],
            ["'2013-11-03 00:00:00-07'::timestamptz", "timestamp_tz", "TIMESTAMP_TZ"],
            ["'2013-11-03 00:00:00-07'::timestamp", "timestamp", "TIMESTAMP_NTZ"],
            ['to_variant(parse_json(\'{"key": "value"}\'))', "variant", "VARIANT"],
        ]


class BaseTableConstraintsColumnsEqual(
    ColumnTypes, test_constraints.BaseTableConstraintsColumnsEqual
):
    pass


class BaseViewConstraintsColumnsEqual(
    ColumnTypes, test_constraints.BaseViewConstraintsColumnsEqual
):
    pass


class BaseIncrementalConstraintsColumnsEqual(
    ColumnTypes, test_constraints.BaseIncrementalConstraintsColumnsEqual
):
    pass


def _with_header(materialized: str, on_schema_change: str) -> str:
    return (
        f"{{{{ config(materialized='{materialized}', on_schema_change='{on_schema_change}') }}}}"
        "{% call set_sql_header(config) %}set my_variable='test';{% endcall %}"
        "select $my_variable as column_name"
    )


class BaseTableContractSqlHeader(test_constraints.BaseTableContractSqlHeader):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "my_model_contract_sql_header.sql": _with_header("table", "ignore"),
            "constraints_schema.yml": constraints_fixtures.model_contract_header_schema_yml,
        }


class BaseIncrementalContractSqlHeader(test_constraints.BaseIncrementalContractSqlHeader):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        return {
            "my_model_contract_sql_header.sql": _with_header("incremental", "append_new_columns"),
            "constraints_schema.yml": constraints_fixtures.model_contract_header_schema_yml,
        }


def _expected_ddl(columns: str, selected: str, first: str) -> str:
    return f"""
        create or replace transient table <model_identifier> ({columns})
        as (
            select {selected} from (
                -- depends_on: <foreign_key_model_identifier>
                select 'blue' as {first}, 1 as id, '2019-01-01' as date_day
            ) as model_subq
        );
    """


class ReferencedKey:
    @pytest.fixture(scope="class")
    def expected_sql(self) -> str:
        return _expected_ddl(
            "id integer not null primary key references <foreign_key_model_identifier> (id) unique,"
            " color text, date_day text",
            "id, color, date_day",
            "color",
        )


class BaseConstraintsRuntimeDdlEnforcement(
    ReferencedKey, test_constraints.BaseConstraintsRuntimeDdlEnforcement
):
    pass


class BaseIncrementalConstraintsRuntimeDdlEnforcement(
    ReferencedKey, test_constraints.BaseIncrementalConstraintsRuntimeDdlEnforcement
):
    pass


class BaseModelConstraintsRuntimeEnforcement(
    test_constraints.BaseModelConstraintsRuntimeEnforcement
):
    @pytest.fixture(scope="class")
    def expected_sql(self) -> str:
        return _expected_ddl(
            "id integer not null, color text, date_day text, primary key (id),"
            " constraint strange_uniqueness_requirement unique (color, date_day),"
            " foreign key (id) references <foreign_key_model_identifier> (id)",
            "id, color, date_day",
            "color",
        )


class BaseConstraintQuotedColumn(test_constraints.BaseConstraintQuotedColumn):
    @pytest.fixture(scope="class")
    def expected_sql(self) -> str:
        return """
            create or replace transient table <model_identifier> (
                id integer not null, "from" text not null, date_day text
            ) as (
                select id, "from", date_day
                from (select 'blue' as "from", 1 as id, '2019-01-01' as date_day) as model_subq
            );
        """


class NotNullMessage:
    @pytest.fixture(scope="class")
    def expected_error_messages(self) -> list[str]:
        return ["NULL result in a non-nullable column"]


class BaseConstraintsRollback(NotNullMessage, test_constraints.BaseConstraintsRollback):
    pass


class BaseIncrementalConstraintsRollback(
    NotNullMessage, test_constraints.BaseIncrementalConstraintsRollback
):
    pass


# Incremental models: each suite with every strategy it can have


class BaseIncrementalPredicatesMerge(test_incremental_predicates.BaseIncrementalPredicates):
    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        return {
            "models": {
                "+incremental_predicates": ["dbt_internal_dest.id != 2"],
                "+incremental_strategy": "merge",
            }
        }


class BaseIncrementalUniqueKeyDeleteInsert(test_incremental_unique_id.BaseIncrementalUniqueKey):
    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        return {"models": {"+incremental_strategy": "delete+insert"}}


def _days(*days: str) -> str:
    rows = [
        f"select {number} as id, to_timestamp_tz('{day} +00:00') as event_time"
        for number, day in enumerate(days, start=1)
    ]
    return "{{ config(materialized='table', event_time='event_time') }}" + " union all ".join(rows)


class BaseMicrobatch(test_incremental_microbatch.BaseMicrobatch):
    @pytest.fixture(scope="class")
    def microbatch_model_sql(self) -> str:
        return (
            "{{ config(materialized='incremental', incremental_strategy='microbatch',"
            " event_time='event_time', batch_size='day',"
            " begin=modules.datetime.datetime(2020, 1, 1, 0, 0, 0)) }}"
            "select * from {{ ref('input_model') }}"
        )

    @pytest.fixture(scope="class")
    def input_model_sql(self) -> str:
        return _days("2020-01-01 00:00:00", "2020-01-02 00:00:00", "2020-01-03 00:00:00")

    @pytest.fixture(scope="class")
    def insert_two_rows_sql(self, project: Any) -> str:
        return (
            f"insert into {project.database}.{project.test_schema}.input_model (id, event_time)"
            " values (4, '2020-01-04 00:00:00+00:00'), (5, '2020-01-05 00:00:00+00:00')"
        )


class BaseSampleModeTest(test_sample_mode.BaseSampleModeTest):
    @pytest.fixture(scope="class")
    def input_model_sql(self) -> str:
        return _days("2025-01-01 01:25:00", "2025-01-02 13:47:00", "2025-01-03 01:32:00")


class BaseIncrementalBadStrategy(test_incremental.BaseIncrementalBadStrategy):
    def test_incremental_invalid_strategy(self, project: Any) -> None:
        run_dbt(["seed"])
        # dbt-snowflake looks for the strategy when there is a table to apply it to.
        run_dbt(["run"])
        results = run_dbt(["run"], expect_pass=False)
        assert "get_incremental_bad_strategy_sql" in results.results[0].message


# Grants, with and without `copy_grants`


class CopyGrants:
    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        return {kind: {"+copy_grants": True} for kind in ("models", "seeds", "snapshots")}


class BaseInvalidGrants(test_invalid_grants.BaseInvalidGrants):
    def grantee_does_not_exist_error(self) -> str:
        return "does not exist or not authorized"

    def privilege_does_not_exist_error(self) -> str:
        return "unexpected"


class BaseModelGrantsCopied(CopyGrants, test_model_grants.BaseModelGrants):
    pass


class BaseIncrementalGrantsCopied(CopyGrants, test_incremental_grants.BaseIncrementalGrants):
    pass


class BaseSeedGrantsCopied(CopyGrants, test_seed_grants.BaseSeedGrants):
    pass


class BaseSnapshotGrantsCopied(CopyGrants, test_snapshot_grants.BaseSnapshotGrants):
    pass


# Hooks: what they record is the connection, which is not Postgres's


class RecordedHooks:
    """The suites' table of hook runs, with Snowflake's names for its columns."""

    RECORDED = "on_model_hook"

    def recorded(self, state: str, count: int, project: Any) -> list[dict[str, Any]]:
        columns = [
            row[0]
            for row in project.run_sql(
                "select column_name from information_schema.columns"
                f" where table_name = '{self.RECORDED.upper()}'"
                f" and table_schema = '{project.test_schema.upper()}' order by ordinal_position",
                fetch="all",
            )
        ]
        rows = project.run_sql(
            f"select {', '.join(columns)} from {project.test_schema}.{self.RECORDED}"
            f" where test_state = '{state}'",
            fetch="all",
        )
        assert len(rows) == count
        return [dict(zip(map(str.lower, columns), row, strict=True)) for row in rows]

    def check_hooks(self, state: str, project: Any, host: str, count: int = 1) -> None:
        for context in self.recorded(state, count, project):
            assert context["test_state"] == state
            assert context["target_host"] == host == "127.0.0.1"
            assert context["target_name"] == "default"
            assert context["target_schema"] == project.test_schema
            assert context["target_threads"] == 4
            assert context["target_type"] == "snowflake"
            assert context["target_user"] == "firn"
            # The password must not be there for a hook to write down.
            assert context["target_pass"] == ""
            assert context["run_started_at"]
            assert context["invocation_id"]
            assert context["thread_id"].startswith(("Thread-", "MainThread"))


class RecordedModelHooks(RecordedHooks):
    """The same for hooks of models; Snowflake has no VACUUM, so another statement stands in."""

    @pytest.fixture(scope="class", autouse=True)
    def setUp(self, project: Any) -> None:
        project.run_sql((HOOKS_DATA / "seed_model.sql").read_text())

    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        outside = {
            "sql": "select count(*) from {{ this.schema }}.on_model_hook",
            "transaction": False,
        }
        return {
            "models": {
                "test": {
                    "pre-hook": [test_model_hooks.MODEL_PRE_HOOK, outside],
                    "post-hook": [outside, test_model_hooks.MODEL_POST_HOOK],
                }
            }
        }


class BasePrePostModelHooks(RecordedModelHooks, test_model_hooks.BasePrePostModelHooks):
    pass


class TestPrePostModelHooksUnderscores(
    RecordedModelHooks, test_model_hooks.TestPrePostModelHooksUnderscores
):
    __test__ = False  # collected through the class that stands for its suite

    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        return {
            "models": {
                "test": {
                    "pre_hook": [test_model_hooks.MODEL_PRE_HOOK],
                    "post_hook": [test_model_hooks.MODEL_POST_HOOK],
                }
            }
        }


class BasePrePostModelHooksInConfigWithCount(
    RecordedModelHooks, test_model_hooks.BasePrePostModelHooksInConfigWithCount
):
    pass


class ConfiguredModelHooks(RecordedModelHooks):
    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        return {}


class BasePrePostModelHooksInConfig(
    ConfiguredModelHooks, test_model_hooks.BasePrePostModelHooksInConfig
):
    pass


class BasePrePostModelHooksInConfigKwargs(
    ConfiguredModelHooks, test_model_hooks.BasePrePostModelHooksInConfigKwargs
):
    pass


class BaseHookRefs(RecordedHooks, test_model_hooks.BaseHookRefs):
    @pytest.fixture(scope="class", autouse=True)
    def setUp(self, project: Any) -> None:
        project.run_sql((HOOKS_DATA / "seed_model.sql").read_text())


class BasePrePostRunHooks(RecordedHooks, test_run_hooks.BasePrePostRunHooks):
    RECORDED = "on_run_hook"

    @pytest.fixture
    def setUp(self, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        project.run_sql((HOOKS_DATA / "seed_run.sql").read_text())
        for table in ("schemas", "db_schemas"):
            project.run_sql(f"drop table if exists {project.test_schema}.{table}")
        monkeypatch.setenv("TERM_TEST", "TESTING")


# Seeds: Snowflake never drops what depends on a table


class ViewsStay:
    def _check_relation_end_state(self, run_result: Any, project: Any, exists: bool) -> None:
        super()._check_relation_end_state(run_result, project, exists=True)  # type: ignore[misc]


class BaseBasicSeedTests(ViewsStay, test_seed.BaseBasicSeedTests):
    pass


class BaseSeedConfigFullRefreshOn(ViewsStay, test_seed.BaseSeedConfigFullRefreshOn):
    pass


class BaseSimpleSeedWithBOM(test_seed.BaseSimpleSeedWithBOM):
    @pytest.fixture(scope="class", autouse=True)
    def setUp(self, project: Any) -> None:
        project.run_sql(seed_files.seeds__expected_sql)
        source = Path(test_seed.__file__).with_name("seed_bom.csv")
        shutil.copy(source, Path(project.project_root) / "seeds")


class BaseSeedSpecificFormats(test_seed.BaseSeedSpecificFormats):
    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        # dbt-snowflake quotes no names of its own accord, and one of these has dots.
        return {"quoting": {"identifier": True}, "seeds": {"quote_columns": False}}

    @pytest.fixture(scope="class")
    def test_data_dir(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        # The suite makes this folder and deletes it.
        return tmp_path_factory.mktemp("seed") / "data"


class BaseSimpleSeedColumnOverride(test_seed_type_override.BaseSimpleSeedColumnOverride):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, Any]:
        text = "character varying(16777216)"
        types = {
            "seed_enabled": {"birthday": text, "seed_id": "FLOAT"},
            "seed_tricky": {
                "seed_id": "NUMBER(38,0)",
                "seed_id_str": text,
                "a_bool": "BOOLEAN",
                "looks_like_a_bool": text,
                "a_date": "TIMESTAMP_NTZ",
                "looks_like_a_date": text,
                "relative": text,
                "weekday": text,
            },
        }
        return {
            "schema.yml": {
                "seeds": [
                    {
                        "name": seed,
                        "columns": [
                            {"name": column, "data_tests": [{"column_type": {"type": kind}}]}
                            for column, kind in columns.items()
                        ],
                    }
                    for seed, columns in types.items()
                ]
            }
        }

    @staticmethod
    def seed_enabled_types() -> dict[str, str]:
        return {"seed_id": "FLOAT", "birthday": "TEXT"}

    @staticmethod
    def seed_tricky_types() -> dict[str, str]:
        return dict.fromkeys(("seed_id_str", "looks_like_a_bool", "looks_like_a_date"), "TEXT")


# Words of Snowflake's own


class BaseShowDoesNotHandleDoubleLimit(test_dbt_show.BaseShowDoesNotHandleDoubleLimit):
    DATABASE_ERROR_MESSAGE = "unexpected 'limit'"


class BaseQueryComments(test_query_comment.BaseQueryComments):
    def test_matches_comment(self, project: Any) -> None:
        # dbt-snowflake puts the comment behind the query, where a line break would be lost.
        assert r"/* dbt\nrules! */" in self.run_get_json()


class BaseMacroQueryComments(test_query_comment.BaseMacroQueryComments):
    def test_matches_comment(self, project: Any) -> None:
        assert r"/* dbt macros\nare pretty cool */" in self.run_get_json()


class BaseMacroArgsQueryComments(test_query_comment.BaseMacroArgsQueryComments):
    def test_matches_comment(self, project: Any) -> None:
        logs = self.run_get_json()
        for part in (r"\"app\": \"dbt++\"", r"\"message\": \"blah: default\""):
            assert part in logs


class BaseCalculateFreshnessMethod(test_source_freshness_custom_info.BaseCalculateFreshnessMethod):
    @pytest.fixture(scope="class")
    def valid_sql(self) -> str:
        return "select current_timestamp()"


class BaseCurrentTimestamps(test_timestamps.BaseCurrentTimestamps):
    @pytest.fixture(scope="class")
    def expected_schema(self) -> dict[str, str]:
        return {
            "CURRENT_TIMESTAMP": "TIMESTAMP_TZ",
            "CURRENT_TIMESTAMP_IN_UTC_BACKCOMPAT": "TIMESTAMP_NTZ",
            "CURRENT_TIMESTAMP_BACKCOMPAT": "TIMESTAMP_NTZ",
        }

    @pytest.fixture(scope="class")
    def expected_sql(self) -> str:
        return """
            select convert_timezone('UTC', current_timestamp()) as current_timestamp,
                convert_timezone('UTC', current_timestamp::TIMESTAMP)::TIMESTAMP
                    as current_timestamp_in_utc_backcompat,
                current_timestamp::TIMESTAMP as current_timestamp_backcompat
        """


class BaseUnitTestingTypes(test_types.BaseUnitTestingTypes):
    @pytest.fixture
    def data_types(self) -> list[list[str]]:
        return [
            ["1", "1"],
            ["2.0", "2.0"],
            ["'12345'", "12345"],
            ["'string'", "string"],
            ["true", "true"],
            ["DATE '2020-01-02'", "2020-01-02"],
            ["TIMESTAMP '2013-11-03 00:00:00'", "2013-11-03 00:00:00"],
            ["'2013-11-03 00:00:00+00:00'::TIMESTAMPTZ", "2013-11-03 00:00:00+00:00"],
            ["TO_NUMBER('3', 10, 9)", "3"],
            ["3::VARIANT", "3"],
            [
                "{'Alberta':'Edmonton','Manitoba':'Winnipeg'}",
                "{'Alberta':'Edmonton','Manitoba':'Winnipeg'}",
            ],
            ["['a','b','c']", "['a','b','c']"],
            ["[1,2,3]", "[1, 2, 3]"],
        ]
