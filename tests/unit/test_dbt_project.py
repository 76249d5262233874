"""Rules of the dbt project, checked on what dbt makes of it; no warehouse is needed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

PROJECT = Path(__file__).parents[2] / "dbt"
LAYERS = {
    "staging": re.compile(r"stg_(?P<domain>[a-z]+)__(dim|fct)_[a-z_]+"),
    "intermediate": re.compile(r"int_(?P<domain>[a-z]+)__[a-z_]+"),
    "mart": re.compile(r"mart_[a-z_]+"),
}
MOST_PARENTS = 6

STAGING_THAT_READS_MODELS = {
    "stg_tpch__fct_lineitem": "a line may only be loaded once its order is",
}
"""Waivers from the rule that staging reads its source alone, each with its reason."""

Node = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What one dbt command did, without a connection to any warehouse."""

    success: bool
    messages: list[str]
    target: Path

    @property
    def said(self) -> str:
        """All that dbt said, in one line."""
        return " ".join(" ".join(self.messages).split())

    @property
    def manifest(self) -> Node:
        assert self.success, self.said
        manifest: Node = json.loads((self.target / "manifest.json").read_text())
        return manifest


def dbt(command: str, project: Path, target: Path, *arguments: str, **environment: str) -> Outcome:
    messages: list[str] = []

    def listen(event: Any) -> None:
        if event.info.level in {"warn", "error"}:
            messages.append(f"{event.info.level}: {event.info.msg}")

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"FIRN_USER": "Ana.Lopez", **environment}.items():
            patch.setenv(name, value)
        done = dbtRunner(callbacks=[listen]).invoke(
            [
                command,
                f"--project-dir={project}",
                f"--profiles-dir={project}",
                f"--target-path={target}",
                f"--log-path={target / 'logs'}",
                *arguments,
            ]
        )
    if done.exception:
        messages.append(str(done.exception))
    return Outcome(done.success, messages, target)


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return dbt("parse", PROJECT, tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="module")
def manifest(parsed: Outcome) -> Node:
    return parsed.manifest


def nodes(manifest: Node, kind: str) -> Iterator[Node]:
    found = [node for node in manifest["nodes"].values() if node["resource_type"] == kind]
    assert found, f"no {kind} in the project: the test would pass without looking"
    yield from found


def layer(model: Node) -> str:
    return str(model["fqn"][1])


def described(thing: Node) -> bool:
    return len(thing["description"].strip()) > 3


def generic_tests(manifest: Node, model: Node) -> list[Node]:
    return [
        test for test in nodes(manifest, "test") if test.get("attached_node") == model["unique_id"]
    ]


def test_parses_without_a_warning(parsed: Outcome) -> None:
    assert parsed.success
    assert parsed.messages == []


def test_a_model_stands_in_the_folder_its_name_says(manifest: Node) -> None:
    for model in nodes(manifest, "model"):
        folder = Path(model["original_file_path"]).parent
        _, layer_folder, domain = folder.parts
        match = LAYERS[layer_folder].fullmatch(model["name"])
        assert match, f"{model['name']} is not a name for {folder}"
        assert match.groupdict().get("domain", domain) == domain, model["name"]
        assert model["tags"] == [domain], model["name"]
        assert model["config"]["schema"] == layer_folder, model["name"]


def test_every_model_has_one_yaml_beside_it(manifest: Node) -> None:
    for model in nodes(manifest, "model"):
        expected = Path(model["original_file_path"]).with_suffix(".yml")
        assert model["patch_path"] == f"firn://{expected}", model["name"]


def test_everything_is_described(manifest: Node) -> None:
    things = [*nodes(manifest, "model"), *manifest["sources"].values()]
    bare = [thing["unique_id"] for thing in things if not described(thing)]
    bare += [
        f"{thing['unique_id']}.{column['name']}"
        for thing in things
        for column in thing["columns"].values()
        if not described(column)
    ]
    bare += [thing["unique_id"] for thing in things if not thing["columns"]]
    bare += [
        source["unique_id"]
        for source in manifest["sources"].values()
        if not source["source_description"].strip()
    ]
    bare += [test["unique_id"] for test in manifest["unit_tests"].values() if not described(test)]
    assert not bare


def test_every_macro_and_each_of_its_arguments_is_described(manifest: Node) -> None:
    own = [macro for macro in manifest["macros"].values() if macro["package_name"] == "firn"]
    assert own
    for macro in own:
        head = re.search(r"{%-?\s*(?:macro|test)\s+\w+\s*\((.*?)\)\s*-?%}", macro["macro_sql"])
        assert head, macro["name"]
        written = [part.split("=")[0].strip() for part in head[1].split(",") if part.strip()]
        assert described(macro), macro["name"]
        assert [argument["name"] for argument in macro["arguments"]] == written, macro["name"]
        assert all(described(argument) for argument in macro["arguments"]), macro["name"]


def test_every_model_has_a_tested_key(manifest: Node) -> None:
    for model in nodes(manifest, "model"):
        tests = generic_tests(manifest, model)
        never_null = {t["column_name"] for t in tests if t["test_metadata"]["name"] == "not_null"}
        keys = [{t["column_name"]} for t in tests if t["test_metadata"]["name"] == "unique"]
        keys += [
            set(t["test_metadata"]["kwargs"]["columns"])
            for t in tests
            if t["test_metadata"]["name"] == "unique_combination"
        ]
        assert any(key <= never_null for key in keys), f"{model['name']}: {keys}, {never_null}"


def test_marts_have_contracts_and_unit_tests(manifest: Node) -> None:
    unit_tested = {
        node
        for test in manifest["unit_tests"].values()
        for node in test["depends_on"]["nodes"]
        if node.startswith("model.")
    }
    for model in nodes(manifest, "model"):
        if layer(model) != "mart":
            continue
        assert model["config"]["contract"]["enforced"], model["name"]
        assert all(column["data_type"] for column in model["columns"].values()), model["name"]
        assert model["unique_id"] in unit_tested, model["name"]


def test_only_staging_reads_sources_and_each_reads_one(manifest: Node) -> None:
    waived = set()
    for model in nodes(manifest, "model"):
        parents = model["depends_on"]["nodes"]
        sources = [parent for parent in parents if parent.startswith("source.")]
        if layer(model) != "staging":
            assert not sources, model["name"]
            continue
        assert len(sources) == 1, model["name"]
        if len(parents) > 1:
            waived.add(model["name"])
    assert waived == set(STAGING_THAT_READS_MODELS)


def test_each_source_is_staged_once(manifest: Node) -> None:
    staged = [
        parent
        for model in nodes(manifest, "model")
        for parent in model["depends_on"]["nodes"]
        if parent.startswith("source.")
    ]
    assert sorted(staged) == sorted(manifest["sources"])


def test_models_build_on_layers_below_them(manifest: Node) -> None:
    order = list(LAYERS)
    for model in nodes(manifest, "model"):
        parents = [manifest["nodes"].get(parent) for parent in model["depends_on"]["nodes"]]
        models = [parent for parent in parents if parent]
        assert len(parents) <= MOST_PARENTS, model["name"]
        assert parents, f"{model['name']} reads nothing"
        for parent in models:
            assert order.index(layer(parent)) <= order.index(layer(model)), model["name"]


def test_incremental_models_can_be_bounded_and_merged_by_key(manifest: Node) -> None:
    incremental = [
        model
        for model in nodes(manifest, "model")
        if model["config"]["materialized"] == "incremental"
    ]
    assert incremental
    for model in incremental:
        config = model["config"]
        keys = config["unique_key"]
        columns = set(model["columns"])
        assert {keys} <= columns if isinstance(keys, str) else set(keys) <= columns, model["name"]
        assert config["incremental_strategy"] == "bucket_merge", model["name"]
        assert config["meta"]["bucket"], model["name"]
        assert config["meta"]["window_column"] in columns, model["name"]
        assert "lookback_months" in config["meta"], model["name"]
        assert config["cluster_by"], model["name"]


def test_sources_have_freshness(manifest: Node) -> None:
    for source in manifest["sources"].values():
        freshness = source["freshness"]
        assert 0 < freshness["warn_after"]["count"] < freshness["error_after"]["count"]
        assert freshness["error_after"]["period"] == "day"


def test_no_package_is_needed(manifest: Node) -> None:
    builtin = {"dbt", "dbt_snowflake", "firn"}
    for node in [*nodes(manifest, "model"), *nodes(manifest, "test")]:
        used = {macro.split(".")[1] for macro in node["depends_on"]["macros"]}
        assert used <= builtin, node["name"]


def test_ctes_come_first_and_the_last_line_selects_one(manifest: Node) -> None:
    for model in nodes(manifest, "model"):
        sql = model["raw_code"]
        assert re.search(r"\nselect \* from [a-z_]+$", sql.rstrip()), model["name"]
        reads = re.findall(r"{{ (?:ref|source)\(", sql)
        imports = re.findall(r"select \* from {{ (?:ref|source)\(.*?\) }}\n\)", sql)
        assert len(reads) == len(imports), model["name"]


def schemas(manifest: Node) -> set[str]:
    return {model["schema"] for model in nodes(manifest, "model")}


def test_schemas_on_local_are_those_of_the_user(manifest: Node) -> None:
    assert schemas(manifest) == {"ana_lopez_staging", "ana_lopez_intermediate", "ana_lopez_mart"}


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """Firn's settings, profile and macros over one model a layer, which parses faster."""
    project = tmp_path / "dbt"
    shutil.copytree(PROJECT / "macros", project / "macros")
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, project / name)
    for folder in LAYERS:
        (project / "models" / folder).mkdir(parents=True)
        (project / "models" / folder / f"in_{folder}.sql").write_text("select 1 as one\n")
    return project


ACCOUNT = {"SNOWFLAKE_ACCOUNT": "a-b", "SNOWFLAKE_USER": "c", "SNOWFLAKE_WAREHOUSE": "d"}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("dev", {"ana_lopez_staging", "ana_lopez_intermediate", "ana_lopez_mart"}),
        ("ci", {"pr_42_staging", "pr_42_intermediate", "pr_42_mart"}),
        ("prod", {"staging", "intermediate", "mart"}),
    ],
)
def test_schemas_on_an_account(target: str, expected: set[str], small_project: Path) -> None:
    outcome = dbt(
        "parse",
        small_project,
        small_project / "target",
        FIRN_TARGET=target,
        FIRN_PR_NUMBER="42",
        **ACCOUNT,
    )
    assert schemas(outcome.manifest) == expected


def failure(project: Path, **environment: str) -> str:
    """What dbt says when the project does not parse."""
    outcome = dbt("parse", project, project / "target", **environment)
    assert not outcome.success
    return outcome.said


def test_ci_without_a_pull_request_number_fails(small_project: Path) -> None:
    said = failure(small_project, FIRN_TARGET="ci", FIRN_PR_NUMBER="main", **ACCOUNT)
    assert "set FIRN_PR_NUMBER to the number of the pull request" in said


def test_a_target_without_a_rule_fails(small_project: Path) -> None:
    profiles = small_project / "profiles.yml"
    profiles.write_text(profiles.read_text().replace("    local:\n", "    elsewhere:\n"))
    said = failure(small_project, FIRN_TARGET="elsewhere")
    assert "No schema rule for target 'elsewhere'" in said


def test_a_model_without_a_schema_fails_and_is_named(small_project: Path) -> None:
    (small_project / "models" / "stray.sql").write_text("select 1 as one\n")
    assert "model.firn.stray (models/stray.sql) has no schema" in failure(small_project)


def test_a_model_that_names_its_own_layer_needs_no_folder(small_project: Path) -> None:
    (small_project / "models" / "stray.sql").write_text(
        "{{ config(schema='mart') }}\nselect 1 as one\n"
    )
    outcome = dbt("parse", small_project, small_project / "target")
    assert outcome.manifest["nodes"]["model.firn.stray"]["schema"] == "ana_lopez_mart"


def window(project: Path, **variables: object) -> Outcome:
    """Compile a model whose text is the condition that limits an incremental run."""
    (project / "models" / "staging" / "in_staging.sql").write_text(
        "{{ config(meta={'window_column': 'day', 'lookback_months': var('months', none)}) }}\n"
        "{{ bucket_window('loaded') }}\n"
    )
    return dbt(
        "compile",
        project,
        project / "target",
        "--no-introspect",
        "--no-populate-cache",
        "--select=in_staging",
        f"--vars={json.dumps(variables)}",
    )


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "true"),
        ({"backfill_start": "1995-01-01"}, "day >= '1995-01-01'::date"),
        ({"backfill_end": "1996-02-29", "months": 3}, "day < '1996-02-29'::date"),
        (
            {"backfill_start": "1995-01-01", "backfill_end": "1995-02-01"},
            "day >= '1995-01-01'::date and day < '1995-02-01'::date",
        ),
        (
            {"months": 3},
            "day >= ( select dateadd(month, -2, date_trunc('month', max(day))) from loaded )",
        ),
    ],
)
def test_bounds_go_before_the_look_back(
    variables: dict[str, object], expected: str, small_project: Path
) -> None:
    compiled = window(small_project, **variables).manifest["nodes"]["model.firn.in_staging"]
    assert " ".join(compiled["compiled_code"].split()) == expected


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"backfill_start": "yesterday"}, "Variable backfill_start is 'yesterday': give a date"),
        ({"backfill_start": "1995-02-29"}, "Variable backfill_start is '1995-02-29': give a date"),
        ({"backfill_end": "1995-02-01' or true"}, "Variable backfill_end is '1995-02-01' or true'"),
        (
            {"backfill_start": "1995-03-01", "backfill_end": "1995-03-01"},
            "backfill_start 1995-03-01 is not before backfill_end 1995-03-01",
        ),
        ({"months": 0}, "The look-back of in_staging is '0': give a whole number of months"),
        ({"months": "all"}, "The look-back of in_staging is 'all'"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(
    variables: dict[str, object], message: str, small_project: Path
) -> None:
    outcome = window(small_project, **variables)
    assert not outcome.success
    assert message in outcome.said
