"""Rules of the dbt project, checked on what dbt makes of it; no warehouse is needed."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.dbt_project import EVERYTHING, PROJECT, Node, Outcome, dbt
from tests.unit.dbt_rules import LAYERS, described


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    # Whole: with the models that are on for an account alone.
    return dbt("parse", PROJECT, tmp_path_factory.mktemp("dbt"), *EVERYTHING)


@pytest.fixture(scope="module")
def manifest(parsed: Outcome) -> Node:
    return parsed.manifest


def nodes(manifest: Node, kind: str) -> Iterator[Node]:
    found = [node for node in manifest["nodes"].values() if node["resource_type"] == kind]
    assert found, f"no {kind} in the project: the test would pass without looking"
    yield from found


def layer(model: Node) -> str:
    return str(model["fqn"][1])


def domain(node: Node) -> str:
    return Path(node["original_file_path"]).parent.name


def test_parses_without_a_warning(parsed: Outcome) -> None:
    assert parsed.success
    assert parsed.messages == []


def test_folders_set_the_layer(manifest: Node) -> None:
    for model in nodes(manifest, "model"):
        _, layer_folder, _ = Path(model["original_file_path"]).parent.parts
        assert model["config"]["schema"] == layer_folder, model["name"]
    for kind in ("seed", "snapshot"):
        for node in nodes(manifest, kind):
            folder, _ = Path(node["original_file_path"]).parent.parts
            assert node["config"]["schema"] == folder == f"{kind}s", node["name"]


def test_unit_tests_are_described(manifest: Node) -> None:
    tests = manifest["unit_tests"].values()
    assert tests
    assert [test["name"] for test in tests if not described(test)] == []


def written_descriptions() -> Iterator[tuple[str, str]]:
    """Every description in the YAML files as it is written there, with the name it is of."""

    def walk(thing: Any) -> Iterator[tuple[str, str]]:
        if isinstance(thing, dict):
            if isinstance(thing.get("description"), str) and "name" in thing:
                yield str(thing["name"]), " ".join(thing["description"].split())
            for value in thing.values():
                yield from walk(value)
        elif isinstance(thing, list):
            for value in thing:
                yield from walk(value)

    for folder in ("models", "snapshots", "seeds"):
        for file in (PROJECT / folder).rglob("*.yml"):
            yield from walk(yaml.safe_load(file.read_text()))


def test_a_description_is_written_once_and_reused_as_a_doc_block() -> None:
    texts = Counter(text for _, text in written_descriptions() if "doc(" not in text)
    assert len(texts) > 100
    assert [text for text, times in texts.items() if times > 1] == []


def test_every_doc_block_is_used(manifest: Node) -> None:
    own = {block["name"] for block in manifest["docs"].values() if block["package_name"] == "firn"}
    used = {
        name for _, text in written_descriptions() for name in re.findall(r"doc\('(\w+)'\)", text)
    }
    assert own == used


UNITS = re.compile(
    r"(?i)US dollars|currency|fraction|ratio\b|\bdays\b|months of|pieces|number|rank\b|scores?\b"
    r"|percent|1 for average|from 1 to|1 to 50"
)


def test_numbers_of_marts_have_a_unit(manifest: Node) -> None:
    bare = [
        f"{model['name']}.{column['name']}"
        for model in nodes(manifest, "model")
        if layer(model) == "mart"
        for column in model["columns"].values()
        if column["data_type"].startswith("number") and not UNITS.search(column["description"])
    ]
    assert bare == []


def test_marts_say_their_question_and_what_the_data_cannot_tell(manifest: Node) -> None:
    for model in nodes(manifest, "model"):
        if model["name"].startswith("mart_"):
            said = model["description"]
            assert re.search(r"Questions? it answers: \w+", said), model["name"]
            assert "What TPC-H cannot tell" in said or domain(model) != "tpch", model["name"]


PAGES = {"platform": "cost"}


def test_every_mart_stands_in_the_documentation_of_its_domain(manifest: Node) -> None:
    for model in nodes(manifest, "model"):
        if layer(model) == "mart":
            page = PROJECT.parent / "docs" / f"{PAGES.get(domain(model), domain(model))}.md"
            assert f"`{model['name']}` |" in page.read_text(), model["name"]


def test_history_is_kept_of_changes_and_deletions(manifest: Node) -> None:
    for snapshot in nodes(manifest, "snapshot"):
        config = snapshot["config"]
        assert (config["strategy"], config["hard_deletes"]) == ("check", "new_record")
        assert snapshot["name"].startswith(f"snap_{domain(snapshot)}__"), snapshot["name"]


def test_every_macro_and_each_of_its_arguments_is_described(manifest: Node) -> None:
    own = [macro for macro in manifest["macros"].values() if macro["package_name"] == "firn"]
    assert own
    for macro in own:
        if macro["name"].startswith("materialization_"):
            assert macro["description"], macro["name"]
            continue
        head = re.search(r"{%-?\s*(?:macro|test)\s+\w+\s*\((.*?)\)\s*-?%}", macro["macro_sql"])
        assert head, macro["name"]
        written = [part.split("=")[0].strip() for part in head[1].split(",") if part.strip()]
        assert described(macro), macro["name"]
        assert [argument["name"] for argument in macro["arguments"]] == written, macro["name"]
        assert all(described(argument) for argument in macro["arguments"]), macro["name"]


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
        strategy, meta = config["incremental_strategy"], config["meta"]
        assert strategy in {"bucket_merge", "key_sync", "merge", "delete+insert"}, model["name"]
        if strategy == "bucket_merge":
            assert meta["bucket"], model["name"]
        if strategy == "key_sync":
            told_by = {meta.get("gone_when_null"), meta.get("written_at")} - {None}
            assert told_by, model["name"]
            assert told_by <= columns - set(keys), model["name"]
        assert meta["window_column"] in columns, model["name"]
        assert any(name.startswith("lookback_") for name in meta), model["name"]
        assert config["cluster_by"], model["name"]


def test_sources_have_freshness(manifest: Node) -> None:
    for source in manifest["sources"].values():
        freshness = source["freshness"]
        if not freshness:
            # Waived by name in test_dbt_rules.py.
            continue
        assert 0 < freshness["warn_after"]["count"] < freshness["error_after"]["count"]
        assert freshness["warn_after"]["period"] == freshness["error_after"]["period"]


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
        ({"backfill_start": "1995-01-01"}, "day >= '1995-01-01 00:00:00'::timestamp_ntz"),
        ({"backfill_end": "1996-02-29", "months": 3}, "day < '1996-02-29 00:00:00'::timestamp_ntz"),
        (
            {"backfill_start": "1995-01-01", "backfill_end": "1995-02-01"},
            "day >= '1995-01-01 00:00:00'::timestamp_ntz"
            " and day < '1995-02-01 00:00:00'::timestamp_ntz",
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
        ({"backfill_start": "yesterday"}, "Variable backfill_start is 'yesterday': give a moment"),
        (
            {"backfill_start": "1995-02-29"},
            "Variable backfill_start is '1995-02-29': give a moment",
        ),
        ({"backfill_end": "1995-02-01' or true"}, "Variable backfill_end is '1995-02-01' or true'"),
        (
            {"backfill_start": "1995-03-01", "backfill_end": "1995-03-01"},
            "backfill_start 1995-03-01 00:00:00 is not before backfill_end 1995-03-01 00:00:00",
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


@pytest.mark.parametrize("level", ["0.3", "95", "1", "'high'"])
def test_a_service_level_that_makes_no_sense_is_refused(level: str, small_project: Path) -> None:
    (small_project / "models" / "mart" / "in_mart.sql").write_text(
        f"select {{{{ standard_normal_quantile({level}) }}}} as factor\n"
    )
    outcome = dbt(
        "compile",
        small_project,
        small_project / "target",
        "--no-introspect",
        "--no-populate-cache",
        "--select=in_mart",
    )
    assert not outcome.success
    assert "makes no sense: give a number from 0.5 to 0.9999" in outcome.said
