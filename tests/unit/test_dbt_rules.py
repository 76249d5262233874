"""dbt-project-evaluator's rules over the project, and over a project that breaks each of them."""

from __future__ import annotations

import copy

import pytest

from tests.unit.dbt_project import PROJECT, Node, compiled, dbt
from tests.unit.dbt_rules import RULES, Graph

WAIVERS = {
    ("every_source_table_has_a_freshness", "meta.rejected_rows"): (
        "That nothing was rejected for long is well, and no sign of a loader that stands still."
    ),
    ("tables_are_named_by_ref_and_source", "mart_retail__data_quality"): (
        "It counts its three import CTEs in one loop; what the loop names are no tables."
    ),
    ("tables_are_named_by_ref_and_source", "int_gaming__activity_hourly"): (
        "It looks for touched days in a loop over tables that ref and this have named: its import "
        "CTEs have another reader already, and a CTE with two is not pruned."
    ),
    ("staging_does_not_read_staging", "stg_gaming__purchases"): (
        "It shows the current rows of the places; what is built by increments reads all of them."
    ),
    ("staging_does_not_read_staging", "stg_gaming__spins_hourly"): (
        "It shows the current rows of the places; what is built by increments reads all of them."
    ),
    ("a_source_is_not_joined_to_a_model", "stg_tpch__fct_lineitem"): (
        "A line may only be loaded once its order is: which lines there are depends on the orders "
        "that are here, not on those in the source."
    ),
    ("staging_does_not_read_staging", "stg_tpch__fct_lineitem"): (
        "The loaded orders are a staging model; the reason is the one above."
    ),
    (
        "what_is_read_through_one_model_is_not_read_beside_it",
        "int_tpch__order_lineitems over stg_tpch__fct_lineitem",
    ): (
        "Staged lines carry the date of their order and nothing else of it, as a bounded run needs "
        "it; the order's other columns are joined where lines are priced."
    ),
    ("a_source_is_read_once", "gaming.purchases"): (
        "Rows that can be used and rows that cannot are two tables, by one rule in one macro."
    ),
    ("a_source_is_read_once", "gaming.spins_hourly"): (
        "Rows that can be used and rows that cannot are two tables, by one rule in one macro."
    ),
    ("sources_are_not_joined_to_each_other", "stg_gaming__rejected"): (
        "Nothing is joined: the rejected rows of both sources stand below one another."
    ),
    ("staging_does_not_read_staging", "stg_forex__missing_quantity"): (
        "It is the part of the staged transactions that waits for a quantity, and only one model "
        "may read their source."
    ),
    ("a_model_has_few_children_that_lead_nowhere", "fct_forex__transaction"): (
        "Its three marts are views that readers query: no exposure may rest on views, so they lead "
        "to none."
    ),
}
"""What breaks a rule on purpose: the rule, what breaks it, and why it may."""


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return Graph(compiled(tmp_path_factory.mktemp("dbt")))


@pytest.mark.parametrize("name", RULES)
def test_the_project_keeps_the_rule(name: str, graph: Graph) -> None:
    waived = {broken for rule, broken in WAIVERS if rule == name}
    found = set(RULES[name](graph))
    assert found - waived == set(), f"breaks the rule {name}: mend it, or add it to WAIVERS"
    assert waived - found == set(), f"keeps the rule {name}: take it out of WAIVERS"


def test_a_waiver_names_a_rule_and_a_reason() -> None:
    for (name, _), reason in WAIVERS.items():
        assert name in RULES
        assert len(reason.split()) > 5


def test_there_is_something_to_look_at(graph: Graph) -> None:
    kinds = {kind: len(list(graph.of_kind(kind))) for kind in ("model", "seed", "snapshot")}
    assert all(kinds.values()), kinds
    assert graph.sources
    assert graph.exposures


# -- a project that breaks every rule --------------------------------------------------------------

SQL = {
    "staging/shop/stg_shop__fct_a": (
        "select (one / two)::number(38, 10) as share from {{ source('shop', 'a') }}"
    ),
    "staging/shop/stg_shop__fct_b": "select * from {{ source('shop', 'a') }}",
    "staging/shop/stg_shop__fct_c": (
        "select * from {{ source('shop', 'b') }} join {{ source('shop', 'c') }}"
        " join {{ ref('stg_shop__fct_a') }}"
    ),
    "staging/other/stg_other__fct_d": "select * from {{ source('shop', 'd') }}",
    "staging/shop/stg_shop__fct_e": "select * from {{ ref('int_shop__a') }}",
    "intermediate/shop/int_shop__a": "select * from {{ ref('stg_shop__fct_a') }}",
    "intermediate/shop/int_shop__from_source": "select * from {{ source('shop', 'd') }}",
    "intermediate/shop/int_shop__hard": "select * from raw.shop.orders",
    "intermediate/shop/int_shop__variable": "select * from {{ var('table') }}",
    "intermediate/shop/wrong_name": "select 1 as one",
    "intermediate/shop/int_shop__rejoined": (
        "select * from {{ ref('stg_shop__fct_b') }} join {{ ref('int_shop__between') }}"
    ),
    "intermediate/shop/int_shop__between": "select * from {{ ref('stg_shop__fct_b') }}",
    "intermediate/shop/int_shop__b": "select * from {{ ref('int_shop__a') }}",
    "intermediate/shop/int_shop__c": "select * from {{ ref('int_shop__b') }}",
    "intermediate/shop/int_shop__d": "select * from {{ ref('int_shop__c') }}",
    "mart/shop/mart_wide": "select * from "
    + " join ".join(
        f"{{{{ ref('{name}') }}}}"
        for name in (
            "stg_shop__fct_a",
            "stg_shop__fct_b",
            "stg_shop__fct_c",
            "stg_other__fct_d",
            "stg_shop__fct_e",
            "int_shop__a",
            "int_shop__d",
        )
    ),
    "mart/shop/mart_leaf": "select * from {{ ref('stg_shop__fct_a') }}",
    "mart/shop/mart_other_leaf": "select * from {{ ref('stg_shop__fct_a') }}",
}
YAML = """
sources:
  - name: shop
    database: raw
    schema: shop
    tables:
      - name: a
        columns: [{name: one}]
      - name: b
      - name: c
      - name: d
      - name: unread
        columns: [{name: one, data_tests: [not_null]}]
      - name: same
        identifier: a
exposures:
  - name: board
    type: dashboard
    owner: {name: somebody}
    depends_on: [ref('int_shop__a')]
models:
  - name: mart_leaf
    config: {access: public}
  - name: mart_other_leaf
    config:
      materialized: incremental
      full_refresh: false
      on_schema_change: fail
      contract: {enforced: true}
    columns:
      - name: share
        data_type: number
        constraints: [{type: not_null}]
        data_tests: [not_null]
    data_tests:
      - accepted_ranges: {arguments: {ranges: {share: {min: 0}}}}
      - accepted_ranges: {arguments: {ranges: {share: {max: 1}}}}
      - accepted_ranges: {arguments: {ranges: {share: {max: 2}}}, config: {severity: warn}}
"""
BROKEN = {
    "a_source_is_not_joined_to_a_model": {"stg_shop__fct_c"},
    "sources_are_not_joined_to_each_other": {"stg_shop__fct_c"},
    "only_staging_reads_sources": {"int_shop__from_source"},
    "staging_does_not_read_staging": {"stg_shop__fct_c"},
    "layers_build_on_those_below_them": {"stg_shop__fct_e"},
    "a_model_has_parents": {"int_shop__hard", "int_shop__variable", "wrong_name"},
    "a_model_has_few_parents": {"mart_wide"},
    "a_model_has_few_children_that_lead_nowhere": {"stg_shop__fct_a"},
    "what_is_read_through_one_model_is_not_read_beside_it": {
        "int_shop__rejoined over int_shop__between",
        "mart_wide over stg_shop__fct_c",
        "mart_wide over stg_shop__fct_e",
    },
    "a_source_is_read_once": {"shop.a", "shop.d"},
    "a_source_is_read": {"shop.unread", "shop.same"},
    "a_table_is_one_source": {"shop.a", "shop.same"},
    "tables_are_named_by_ref_and_source": {"int_shop__hard", "int_shop__variable"},
    "what_the_warehouse_refuses_is_not_tested_again": {"mart_other_leaf.share"},
    "tests_that_take_all_columns_stand_once": {"mart_other_leaf: accepted_ranges"},
    "every_source_table_has_a_freshness": {
        "shop.a", "shop.b", "shop.c", "shop.d", "shop.same", "shop.unread",
    },
    "a_model_is_named_after_its_layer_and_domain": {"wrong_name"},
    "a_staging_model_stands_with_its_source": {"stg_other__fct_d"},
    "a_source_is_declared_where_it_is_staged": {
        "shop.a", "shop.b", "shop.c", "shop.d", "shop.same", "shop.unread",
    },
    "views_do_not_pile_up": {"int_shop__d", "mart_wide"},
    "an_exposure_rests_on_tables": {"board on int_shop__a"},
    "what_cannot_be_built_again_is_permanent": {"mart_other_leaf"},
    "a_quotient_is_used_to_the_decimals_it_has": {"stg_shop__fct_a: one / two"},
    "an_exposure_rests_on_public_models": {"board on int_shop__a"},
    "a_public_model_has_a_contract": {"mart_leaf"},
    "marts_are_public_and_nothing_else_is": {"mart_wide", "mart_other_leaf"},
}  # fmt: skip
BROKEN_BY_ALL = {
    "a_key_is_tested",
    "everything_is_described",
    "yaml_stands_beside_what_it_is_about",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    project = tmp_path_factory.mktemp("broken")
    for name, sql in SQL.items():
        file = project / "models" / f"{name}.sql"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(sql)
    (project / "models" / "all.yml").write_text(YAML)
    (project / "tests" / "generic").mkdir(parents=True)
    (project / "tests" / "generic" / "accepted_ranges.sql").write_text(
        "{% test accepted_ranges(model, ranges) %} select 1 {% endtest %}"
    )
    (project / "dbt_project.yml").write_text(
        "name: shop\nprofile: firn\nvars: {table: raw.shop.orders}\n"
    )
    (project / "profiles.yml").write_text((PROJECT / "profiles.yml").read_text())
    options = ("--no-introspect", "--no-populate-cache")
    return Graph(dbt("compile", project, project / "target", *options).manifest)


@pytest.mark.parametrize("name", RULES)
def test_the_rule_finds_what_breaks_it(name: str, broken: Graph) -> None:
    found = set(RULES[name](broken))
    if name in BROKEN_BY_ALL:
        assert found >= {node["name"] for node in broken.nodes.values()}
    else:
        assert found == BROKEN[name]
    assert found


def test_history_of_every_kind_is_found(graph: Graph) -> None:
    nodes = copy.deepcopy(graph.nodes)
    for node in nodes.values():
        node["config"]["transient"] = None
    unsettled = Graph(
        {"nodes": nodes, "sources": graph.sources, "exposures": {}},
    )
    assert set(RULES["what_cannot_be_built_again_is_permanent"](unsettled)) == {
        *(snapshot["name"] for snapshot in graph.of_kind("snapshot")),
        "mart_platform__costs_daily",
        "mart_retail__data_quality",
    }


@pytest.mark.parametrize(
    "config", [{"materialized": "view"}, {"contract": {"enforced": False}}], ids=str
)
def test_a_constraint_that_is_not_enforced_keeps_no_key(config: Node, graph: Graph) -> None:
    nodes = {test["unique_id"]: test for test in graph.tests} | copy.deepcopy(graph.nodes)
    for model in graph.models("mart"):
        nodes[model["unique_id"]]["config"].update(config)
    loose = Graph({"nodes": nodes, "sources": graph.sources, "exposures": {}})
    found = set(RULES["a_key_is_tested"](loose))
    assert {"mart_orders", "fct_forex__transaction"} <= found
    assert found <= {model["name"] for model in graph.models("mart")}
