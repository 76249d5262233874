"""The rules of dbt-project-evaluator that a manifest is enough for, and how it is meant here.

Each rule is a function from a manifest to the names of what breaks it. dbt Labs' package asks the
same of a warehouse it has loaded the project's graph into; a manifest needs neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.unit.quotients import loose_quotients

Node = dict[str, Any]
Rule = Callable[["Graph"], Iterator[str]]

MOST_PARENTS = 6
MOST_LEAF_CHILDREN = 2
LONGEST_VIEW_CHAIN = 4
LAYERS = {
    "staging": re.compile(r"stg_(?P<domain>[a-z]+)__[a-z_]+"),
    "intermediate": re.compile(r"int_(?P<domain>[a-z]+)__[a-z_]+"),
    "mart": re.compile(r"mart_[a-z_]+|(dim|fct)_(?P<domain>[a-z]+)__[a-z_]+"),
}

RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


def described(thing: Node) -> bool:
    return len(thing["description"].strip()) > 3


class Graph:
    """A manifest with the questions the rules ask of it. Names are dbt's without the project."""

    def __init__(self, manifest: Node) -> None:
        self.nodes: Node = {
            unique_id: node
            for unique_id, node in manifest["nodes"].items()
            if node["resource_type"] in {"model", "seed", "snapshot"}
        }
        self.sources: Node = manifest["sources"]
        self.exposures: Node = manifest["exposures"]
        self.tests = [
            node for node in manifest["nodes"].values() if node["resource_type"] == "test"
        ]
        self.parents: dict[str, list[str]] = {
            unique_id: [
                parent
                for parent in dict.fromkeys(node["depends_on"].get("nodes", []))
                if parent in self.nodes or parent in self.sources
            ]
            for unique_id, node in {**self.nodes, **self.exposures}.items()
        }
        self.children: dict[str, list[str]] = {one: [] for one in {**self.nodes, **self.sources}}
        for child, parents in self.parents.items():
            for parent in parents:
                self.children[parent].append(child)

    def of_kind(self, kind: str) -> Iterator[Node]:
        yield from (node for node in self.nodes.values() if node["resource_type"] == kind)

    def models(self, layer: str | None = None) -> Iterator[Node]:
        yield from (
            node for node in self.of_kind("model") if layer is None or self.layer(node) == layer
        )

    @staticmethod
    def layer(node: Node) -> str:
        return str(Path(node["original_file_path"]).parts[1])

    def source_parents(self, node: Node) -> list[str]:
        return [one for one in self.parents[node["unique_id"]] if one in self.sources]

    def node_parents(self, node: Node) -> list[Node]:
        return [self.nodes[one] for one in self.parents[node["unique_id"]] if one in self.nodes]

    def generic_tests(self, node: Node) -> list[Node]:
        return [test for test in self.tests if test.get("attached_node") == node["unique_id"]]

    @staticmethod
    def refused_when_null(node: Node) -> set[str]:
        """The columns in which the warehouse refuses a null when the table is written."""
        config = node["config"]
        if (
            config["materialized"] not in {"table", "incremental"}
            or not (config["contract"]["enforced"])
        ):
            return set()
        return {
            column["name"]
            for column in node["columns"].values()
            if any(constraint["type"] == "not_null" for constraint in column["constraints"])
        }

    def has_key(self, node: Node) -> bool:
        """Whether some columns are tested to be unique together, and are never null."""
        tests = self.generic_tests(node)
        never_null = self.refused_when_null(node) | {
            test["column_name"] for test in tests if test["test_metadata"]["name"] == "not_null"
        }
        keys = [
            {test["column_name"]} for test in tests if test["test_metadata"]["name"] == "unique"
        ] + [
            set(test["test_metadata"]["kwargs"]["columns"])
            for test in tests
            if test["test_metadata"]["name"] == "unique_combination"
        ]
        return any(key <= never_null for key in keys)

    def rests_on_account_usage(self, node: Node) -> bool:
        """Whether it is made of what the account tells of itself, which is a year's."""
        return any(
            self.sources[source]["database"].upper() == "SNOWFLAKE"
            for source in self.source_parents(node)
        ) or any(self.rests_on_account_usage(parent) for parent in self.node_parents(node))

    def view_chain(self, node: Node) -> int:
        """How many views stand on one another, this one on top."""
        if node["config"]["materialized"] not in {"view", "ephemeral"}:
            return 0
        return 1 + max((self.view_chain(parent) for parent in self.node_parents(node)), default=0)


# -- modeling --------------------------------------------------------------------------------------


@rule
def a_source_is_not_joined_to_a_model(graph: Graph) -> Iterator[str]:
    for model in graph.models():
        if graph.source_parents(model) and graph.node_parents(model):
            yield model["name"]


@rule
def sources_are_not_joined_to_each_other(graph: Graph) -> Iterator[str]:
    for model in graph.models():
        if len(graph.source_parents(model)) > 1:
            yield model["name"]


@rule
def only_staging_reads_sources(graph: Graph) -> Iterator[str]:
    for node in graph.nodes.values():
        if graph.source_parents(node) and graph.layer(node) != "staging":
            yield node["name"]


@rule
def staging_does_not_read_staging(graph: Graph) -> Iterator[str]:
    for model in graph.models("staging"):
        if any(graph.layer(parent) == "staging" for parent in graph.node_parents(model)):
            yield model["name"]


@rule
def layers_build_on_those_below_them(graph: Graph) -> Iterator[str]:
    order = list(LAYERS)
    for model in graph.models():
        for parent in graph.node_parents(model):
            if parent["resource_type"] == "model" and (
                order.index(graph.layer(parent)) > order.index(graph.layer(model))
            ):
                yield model["name"]


@rule
def a_model_has_parents(graph: Graph) -> Iterator[str]:
    for model in graph.models():
        if not graph.parents[model["unique_id"]]:
            yield model["name"]


@rule
def a_model_has_few_parents(graph: Graph) -> Iterator[str]:
    for model in graph.models():
        if len(graph.parents[model["unique_id"]]) > MOST_PARENTS:
            yield model["name"]


@rule
def a_model_has_few_children_that_lead_nowhere(graph: Graph) -> Iterator[str]:
    for model in graph.models():
        children = graph.children[model["unique_id"]]
        leaves = [child for child in children if child in graph.nodes and not graph.children[child]]
        if len(leaves) > MOST_LEAF_CHILDREN:
            yield model["name"]


@rule
def what_is_read_through_one_model_is_not_read_beside_it(graph: Graph) -> Iterator[str]:
    """A model between two others that has no other use, while the second reads the first too."""
    for unique_id, node in graph.nodes.items():
        parents = set(graph.parents[unique_id])
        for between in parents & set(graph.nodes):
            rejoined = parents & set(graph.parents[between])
            if rejoined and graph.children[between] == [unique_id]:
                yield f"{node['name']} over {graph.nodes[between]['name']}"


@rule
def a_source_is_read_once(graph: Graph) -> Iterator[str]:
    for unique_id, source in graph.sources.items():
        if len(graph.children[unique_id]) > 1:
            yield f"{source['source_name']}.{source['name']}"


@rule
def a_source_is_read(graph: Graph) -> Iterator[str]:
    """By a model, or by a test of another table, which is what the books of ingestion are for."""
    for unique_id, source in graph.sources.items():
        itself = f"source('{source['source_name']}', '{source['name']}')"
        compared = any(
            unique_id in test["depends_on"]["nodes"]
            and itself not in test.get("test_metadata", {"kwargs": {}})["kwargs"].get("model", "")
            for test in graph.tests
        )
        if not graph.children[unique_id] and not compared:
            yield f"{source['source_name']}.{source['name']}"


@rule
def a_table_is_one_source(graph: Graph) -> Iterator[str]:
    tables = [source["relation_name"].upper() for source in graph.sources.values()]
    for source in graph.sources.values():
        if tables.count(source["relation_name"].upper()) > 1:
            yield f"{source['source_name']}.{source['name']}"


@rule
def tables_are_named_by_ref_and_source(graph: Graph) -> Iterator[str]:
    for model in graph.models():
        sql = re.sub(r"--.*|/\*.*?\*/|{#.*?#}|'[^'{}]*'", " ", model["raw_code"])
        sql = re.sub(
            r"{{.*?}}",
            lambda one: "known" if re.search(r"\b(ref|source|this)\b", one[0]) else "unknown",
            sql,
        )
        # `is distinct from` compares and `extract(year from ...)` takes apart.
        read = re.findall(r"(?i)(?<!distinct )\b(?:from|join)\s+([\w.$\"]+)", sql)
        sql_names = set(re.findall(r"(?im)^(\w+) as \($", sql)) | {"known"}
        if set(read) - sql_names:
            yield model["name"]


# -- tests -----------------------------------------------------------------------------------------


@rule
def a_key_is_tested(graph: Graph) -> Iterator[str]:
    yield from (node["name"] for node in graph.nodes.values() if not graph.has_key(node))


@rule
def what_the_warehouse_refuses_is_not_tested_again(graph: Graph) -> Iterator[str]:
    for node in graph.nodes.values():
        refused = graph.refused_when_null(node)
        for test in graph.generic_tests(node):
            if test["test_metadata"]["name"] == "not_null" and test["column_name"] in refused:
                yield f"{node['name']}.{test['column_name']}"


@rule
def tests_that_take_all_columns_stand_once(graph: Graph) -> Iterator[str]:
    """Each test is a statement and a scan: a second one needs another configuration."""
    for node in graph.nodes.values():
        seen = set()
        for test in graph.generic_tests(node):
            name, arguments = test["test_metadata"]["name"], test["test_metadata"]["kwargs"]
            config = test["config"]
            scan = (name, arguments.get("compare_to"), config["severity"], config["where"])
            if name in {"accepted_ranges", "same_totals"} and scan in seen:
                yield f"{node['name']}: {name}"
            seen.add(scan)


@rule
def every_source_table_has_a_freshness(graph: Graph) -> Iterator[str]:
    for source in graph.sources.values():
        freshness = source["freshness"] or {}
        bounds = [freshness.get("warn_after") or {}, freshness.get("error_after") or {}]
        if not all(bound.get("count") and bound.get("period") for bound in bounds):
            yield f"{source['source_name']}.{source['name']}"


# -- documentation ---------------------------------------------------------------------------------


@rule
def everything_is_described(graph: Graph) -> Iterator[str]:
    for thing in [*graph.nodes.values(), *graph.sources.values()]:
        if not described(thing) or not thing["columns"]:
            yield thing["name"]
        for column in thing["columns"].values():
            if not described(column):
                yield f"{thing['name']}.{column['name']}"
    for source in graph.sources.values():
        if not source["source_description"].strip():
            yield str(source["source_name"])
    yield from (one["name"] for one in graph.exposures.values() if not described(one))


# -- structure -------------------------------------------------------------------------------------


@rule
def a_model_is_named_after_its_layer_and_domain(graph: Graph) -> Iterator[str]:
    for model in graph.models():
        _, layer, domain, *deeper = Path(model["original_file_path"]).parts
        match = LAYERS[layer].fullmatch(model["name"]) if layer in LAYERS else None
        if not match or (match.groupdict().get("domain") or domain) != domain or len(deeper) != 1:
            yield model["name"]


@rule
def a_staging_model_stands_with_its_source(graph: Graph) -> Iterator[str]:
    for model in graph.models("staging"):
        for source in graph.source_parents(model):
            if Path(model["original_file_path"]).parts[2] != graph.sources[source]["source_name"]:
                yield model["name"]


@rule
def a_source_is_declared_where_it_is_staged(graph: Graph) -> Iterator[str]:
    for source in graph.sources.values():
        if Path(source["original_file_path"]).parts[1:3] != ("staging", source["source_name"]):
            yield f"{source['source_name']}.{source['name']}"


@rule
def yaml_stands_beside_what_it_is_about(graph: Graph) -> Iterator[str]:
    for node in graph.nodes.values():
        beside = Path(node["original_file_path"]).with_suffix(".yml")
        # A snapshot without SQL has no patch: it is its YAML.
        if node["patch_path"] not in {f"{node['package_name']}://{beside}", None} or (
            node["patch_path"] is None and node["resource_type"] != "snapshot"
        ):
            yield node["name"]


# -- performance -----------------------------------------------------------------------------------


@rule
def views_do_not_pile_up(graph: Graph) -> Iterator[str]:
    for model in graph.models():
        if graph.view_chain(model) > LONGEST_VIEW_CHAIN:
            yield model["name"]


@rule
def an_exposure_rests_on_tables(graph: Graph) -> Iterator[str]:
    for unique_id, exposure in graph.exposures.items():
        for parent in graph.parents[unique_id]:
            node = graph.nodes.get(parent)
            if node is None or node["config"]["materialized"] not in {"table", "incremental"}:
                yield f"{exposure['name']} on {parent.split('.')[-1]}"


# -- the same answer everywhere --------------------------------------------------------------------


@rule
def a_quotient_is_used_to_the_decimals_it_has(graph: Graph) -> Iterator[str]:
    """On an account; cast the numerator to more, or the quotient to fewer. See quotients.py."""
    for node in [*graph.nodes.values(), *graph.tests]:
        for quotient in loose_quotients(node.get("compiled_code") or ""):
            yield f"{node['name']}: {quotient}"


# -- history ---------------------------------------------------------------------------------------


@rule
def what_cannot_be_built_again_is_permanent(graph: Graph) -> Iterator[str]:
    """Snapshots, models that no full refresh rebuilds, and those that outlive what they are of."""
    for node in graph.nodes.values():
        config = node["config"]
        accumulates = node["resource_type"] == "snapshot" or (
            config["materialized"] == "incremental"
            and (config.get("full_refresh") is False or graph.rests_on_account_usage(node))
        )
        # Nothing said is transient, to dbt's adapter.
        if accumulates and config.get("transient") is not False:
            yield node["name"]


# -- governance ------------------------------------------------------------------------------------


@rule
def an_exposure_rests_on_public_models(graph: Graph) -> Iterator[str]:
    for unique_id, exposure in graph.exposures.items():
        if not graph.parents[unique_id]:
            yield str(exposure["name"])
        for parent in graph.parents[unique_id]:
            node = graph.nodes.get(parent, {})
            if node.get("access") != "public":
                yield f"{exposure['name']} on {parent.split('.')[-1]}"


@rule
def a_public_model_has_a_contract(graph: Graph) -> Iterator[str]:
    for model in graph.models():
        types = [column["data_type"] for column in model["columns"].values()]
        if model["access"] == "public" and not (
            model["config"]["contract"]["enforced"] and types and all(types)
        ):
            yield model["name"]


@rule
def marts_are_public_and_nothing_else_is(graph: Graph) -> Iterator[str]:
    for model in graph.models():
        if (model["access"] == "public") != (graph.layer(model) == "mart"):
            yield model["name"]
