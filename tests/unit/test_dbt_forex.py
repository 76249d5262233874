"""Where the forex models go on each target, as dbt sees it; no warehouse is needed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.dbt_project import PROJECT, dbt

ACCOUNT = {"SNOWFLAKE_ACCOUNT": "a-b", "SNOWFLAKE_USER": "c", "SNOWFLAKE_WAREHOUSE": "d"}


@pytest.fixture(scope="module")
def forex_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project without its other domains, which parses faster."""
    project = tmp_path_factory.mktemp("forex") / "dbt"
    for folder in ("macros", "tests/generic", "tests/singular/forex", "seeds/forex"):
        shutil.copytree(PROJECT / folder, project / folder)
    for layer in ("staging", "intermediate", "mart"):
        shutil.copytree(PROJECT / "models" / layer / "forex", project / "models" / layer / "forex")
    shutil.copytree(PROJECT / "models/staging/meta", project / "models/staging/meta")
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, project / name)
    return project


@pytest.mark.parametrize(
    ("target", "database", "prefix"),
    [("dev", "ANALYTICS_DEV", "ana_lopez_"), ("prod", "ANALYTICS", "")],
)
def test_models_go_to_the_layers_schema_of_the_environment_and_raw_is_only_read(
    forex_alone: Path, target: str, database: str, prefix: str
) -> None:
    outcome = dbt("parse", forex_alone, forex_alone / target, FIRN_TARGET=target, **ACCOUNT)
    built = [
        node
        for node in outcome.manifest["nodes"].values()
        if node["resource_type"] in {"model", "seed"}
    ]
    assert len(built) == 14
    for node in built:
        layer = Path(node["original_file_path"]).parts[1 if node["resource_type"] == "model" else 0]
        assert (node["database"], node["schema"]) == (database, f"{prefix}{layer}"), node["name"]
    assert {source["database"] for source in outcome.manifest["sources"].values()} == {"RAW"}
