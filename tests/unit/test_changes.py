"""What decides whether a DAG has something to build, as far as the manifest says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from include.project.changes import Scope

PURCHASES, SPINS = "source.firn.gaming.purchases", "source.firn.gaming.spins"
STAGED, MART = "model.firn.stg_purchases", "model.firn.mart_activity"


def manifest(database: str = "RAW", source_name: str = "gaming") -> dict[str, Any]:
    source = {"database": database, "source_name": source_name}
    return {
        "sources": {PURCHASES: source, SPINS: {"database": "raw", "source_name": "meta"}},
        "nodes": {one: {"relation_name": one.rpartition(".")[2]} for one in (STAGED, MART)},
        "parent_map": {STAGED: [PURCHASES], MART: [STAGED, SPINS]},
    }


def test_a_dag_that_builds_all_it_reads_depends_on_loads_alone() -> None:
    whole = Scope.of(manifest(), "gaming", {STAGED, MART})
    assert whole == Scope("gaming", (MART, STAGED), ("mart_activity", "stg_purchases"), False)
    part = Scope.of(manifest(), "gaming", {MART})
    assert part == Scope("gaming", (MART,), ("mart_activity",), True)


def test_of_sources_that_firn_does_not_load_nobody_knows_when_they_change() -> None:
    for other in (manifest("SNOWFLAKE_SAMPLE_DATA"), manifest(source_name="forex")):
        assert Scope.of(other, "gaming", {STAGED}) is None
        # Also where they are read by way of another model.
        assert Scope.of(other, "gaming", {MART}) is None


def test_the_code_is_the_parsed_project_and_the_nodes(tmp_path: Path) -> None:
    variables = {"FIRN_HOME": str(tmp_path)}
    one, other = (Scope("gaming", nodes, (), False) for nodes in ((STAGED,), (STAGED, MART)))
    assert one.code(variables) == ""
    fingerprint = tmp_path / "airflow" / "manifest" / "fingerprint"
    fingerprint.parent.mkdir(parents=True)
    (fingerprint.parent / "manifest.json").touch()
    fingerprint.write_text("new SQL or other settings")
    first = one.code(variables)
    assert first not in ("", other.code(variables))
    fingerprint.write_text("newer SQL")
    assert one.code(variables) != first
