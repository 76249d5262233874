"""Which differences between two manifests dbt gets to see."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from include.delivery.pull_requests.errors import CiError
from include.delivery.pull_requests.state import (
    after_deployment,
    checked_out,
    commit_of,
    comparable,
    fork_point,
    project_variables,
    readers,
)

MODEL = "model.firn.a"


def manifest(**changes: Any) -> dict[str, Any]:
    node = {
        "name": "a",
        "language": "sql",
        "raw_code": "select {{ var('limit') }} as b from {{ ref('c') }}",
        "fqn": ["firn", "a"],
        "description": "About a.",
        "columns": {"b": {"name": "b", "description": "About b."}},
        "contract": {"enforced": False},
        "config": {"persist_docs": {"relation": True, "columns": True}},
        "unrendered_config": {},
        "depends_on": {"macros": [], "nodes": []},
    }
    source = {
        "name": "orders",
        "source_name": "shop",
        "identifier": "orders",
        "freshness": {"warn_after": {"count": 1, "period": "day"}},
        "config": {"freshness": 1, "enabled": True},
        "unrendered_config": {"freshness": 1},
    }
    macro = {
        "name": "m",
        "macro_sql": "{% macro m() %} 1 {% endmacro %}",
        "depends_on": {"macros": []},
    }
    return {
        "nodes": {MODEL: node | changes.pop("node", {})},
        "sources": {"source.firn.shop.orders": source | changes.pop("source", {})},
        "macros": {"macro.firn.m": macro | changes.pop("macro", {})},
    }


def test_a_comment_is_taken_over_and_named() -> None:
    head = manifest(
        node={"raw_code": "-- new\nselect {{ var('limit') }} as b from {{ ref('c') }}"},
        macro={"macro_sql": "{% macro m() %} {# one #}1 {% endmacro %}"},
    )
    base = manifest()
    state, silent = comparable(base, head, set())
    assert state["nodes"] == head["nodes"]
    assert state["macros"] == head["macros"]
    assert silent.comments == ["m", "a"]
    assert base == manifest()


def test_another_query_and_another_macro_stay_different() -> None:
    head = manifest(
        node={"raw_code": "select 2 as b"}, macro={"macro_sql": "{% macro m() %} 2 {% endmacro %}"}
    )
    state, silent = comparable(manifest(), head, set())
    assert state == manifest()
    assert silent.comments == []


@pytest.mark.parametrize(
    ("node", "macro"),
    [
        ({"raw_code": "{% if is_incremental() %}{{ m() }}{% endif %}"}, "m"),
        ({"config": {"incremental_strategy": "key_sync"}}, "get_incremental_key_sync_sql"),
    ],
)
def test_a_macro_that_is_called_while_no_parser_looks_changes_its_callers(
    node: dict[str, Any], macro: str
) -> None:
    before = manifest(node=node, macro={"name": macro})
    for text, differs in (("{% macro m() %} 2 {% endmacro %}", True), ("", False)):
        head = manifest(node=node, macro={"name": macro} | ({"macro_sql": text} if text else {}))
        state, _ = comparable(before, head, set())
        assert (state["nodes"][MODEL]["fqn"] != head["nodes"][MODEL]["fqn"]) is differs
    worded = manifest(
        node=node, macro={"name": macro, "macro_sql": "{% macro m() %} {# a #}1 {% endmacro %}"}
    )
    state, _ = comparable(before, worded, set())
    assert state["nodes"] == worded["nodes"]


def test_a_description_is_taken_over_and_named() -> None:
    columns = {"b": {"name": "b", "description": "More about b."}}
    head = manifest(node={"description": "More about a.", "columns": columns})
    state, silent = comparable(manifest(), head, set())
    assert state["nodes"] == head["nodes"]
    assert silent.descriptions == ["a"]


def test_a_column_of_a_contract_is_no_description() -> None:
    contract = {"contract": {"enforced": True}}
    columns = {
        "b": {"name": "b", "description": "More about b."},
        "c": {"name": "c", "description": "New."},
    }
    head = manifest(node={"columns": columns, **contract})
    state, _ = comparable(manifest(node=contract), head, set())
    assert set(state["nodes"][MODEL]["columns"]) == {"b"}


def test_how_old_a_source_may_be_is_no_change_of_what_is_built_on_it() -> None:
    changed = {
        "freshness": {"warn_after": {"count": 2, "period": "day"}},
        "config": {"freshness": 2, "enabled": True},
        "unrendered_config": {"freshness": 2},
    }
    head = manifest(source=changed)
    state, silent = comparable(manifest(), head, set())
    found = state["sources"]["source.firn.shop.orders"]
    assert {name: found[name] for name in changed} == changed
    assert silent.freshness == ["shop.orders"]
    other, silent = comparable(manifest(), manifest(source={"identifier": "sales"}), set())
    assert other["sources"]["source.firn.shop.orders"]["identifier"] == "orders"
    assert silent.freshness == []


def test_a_changed_variable_changes_its_readers_and_no_one_else() -> None:
    state, _ = comparable(manifest(), manifest(), {"limit"})
    assert state["nodes"][MODEL]["fqn"] != ["firn", "a"]
    state, _ = comparable(manifest(), manifest(), {"limit_of_others"})
    assert state["nodes"][MODEL]["fqn"] == ["firn", "a"]


def test_a_variable_is_read_through_macros_too() -> None:
    read = manifest(
        node={
            "raw_code": "select {{ n() }}",
            "depends_on": {"macros": ["macro.firn.n"], "nodes": []},
        },
        macro={"macro_sql": "{% macro m() %}{{ var( 'limit', 1) }}{% endmacro %}"},
    )
    read["macros"]["macro.firn.n"] = {
        "name": "n",
        "macro_sql": "{% macro n() %}{{ m() }}{% endmacro %}",
        "depends_on": {"macros": ["macro.firn.m"]},
    }
    assert readers(read, {"limit"}) == {MODEL}
    assert readers(read, {"n"}) == set()


def test_a_variable_is_read_by_the_arguments_of_a_test_too() -> None:
    found = manifest(
        node={
            "raw_code": "{{ test_at_most(**_dbt_generic_test_kwargs) }}",
            "test_metadata": {"name": "at_most", "kwargs": {"limit": "{{ var('limit') }}"}},
        }
    )
    assert readers(found, {"limit"}) == {MODEL}
    assert readers(found, {"at_most"}) == set()


def test_variables_of_a_project_are_found_in_either_place() -> None:
    assert project_variables("vars:\n  a: 1\n  firn:\n    b: 2\n") == {"a": 1, "b": 2}
    assert project_variables("name: firn\n") == {}


def test_production_is_called_what_it_is_called_after_the_swap() -> None:
    built = {"database": "ANALYTICS_STAGING", "relation_name": "ANALYTICS_STAGING.mart.a"}
    assert after_deployment({"nodes": {MODEL: built}})["nodes"][MODEL] == {
        "database": "ANALYTICS",
        "relation_name": "ANALYTICS.mart.a",
    }


# -- commits ---------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True
        )

    git("init", "--quiet", "--initial-branch=main")
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        git("add", ".")
        git("commit", "--quiet", "--message", name)
    git("checkout", "--quiet", "-b", "change", "main~1")
    git("commit", "--quiet", "--allow-empty", "--message", "change")
    return tmp_path


def test_the_base_is_where_the_branch_left_main(clone: Path) -> None:
    assert fork_point(repository=clone) == commit_of("main~1", clone)
    with pytest.raises(CiError, match="no branch trunk: name the base with --base"):
        fork_point("trunk", clone)


@pytest.mark.parametrize("revision", ["nothing", "--all", "$(touch x)"])
def test_a_revision_that_is_none_is_refused(clone: Path, revision: str) -> None:
    with pytest.raises(CiError, match="This clone has no commit"):
        commit_of(revision, clone)


def test_a_commit_is_looked_at_beside_the_working_tree(clone: Path) -> None:
    with checked_out(commit_of("main", clone), clone) as tree:
        assert (tree / "two").exists()
        assert not (clone / "two").exists()
    assert not tree.exists()
    listed = subprocess.run(
        ["git", "worktree", "list"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1
