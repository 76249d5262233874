"""What the demo says before it starts anything, and how it reads a dbt project."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from include.commands.firn import app
from include.demo.show import Show
from include.project.builds import NodeResult
from include.project.nodes import Project

MANIFEST = {
    "nodes": {
        "model.firn.stg": {
            "resource_type": "model",
            "original_file_path": "models/staging/tpch/stg.sql",
            "relation_name": "db.x_staging.stg",
            "config": {"materialized": "incremental"},
        },
        "model.firn.other": {
            "resource_type": "model",
            "original_file_path": "models/staging/retail/other.sql",
            "relation_name": "db.x_staging.other",
            "config": {"materialized": "view"},
        },
        "test.firn.t": {
            "resource_type": "test",
            "original_file_path": "models/staging/tpch/stg.yml",
            "attached_node": "model.firn.stg",
        },
        "test.firn.other": {
            "resource_type": "test",
            "original_file_path": "models/staging/retail/other.yml",
            "attached_node": "model.firn.other",
        },
        "test.firn.of_source": {
            "resource_type": "test",
            "original_file_path": "models/staging/tpch/_tpch__sources.yml",
        },
    },
    "parent_map": {"test.firn.of_source": ["source.firn.tpch.orders"]},
}


def test_models_and_tests_of_the_domain_are_put_into_their_layer() -> None:
    project = Project.read(MANIFEST, "tpch")
    assert project.layers == {
        "model.firn.stg": "staging",
        "test.firn.t": "staging",
        "test.firn.of_source": "source",
    }
    assert project.relations == {"model.firn.stg": "db.x_staging.stg"}
    assert project.incremental == {"model.firn.stg"}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_build_is_shown_while_it_runs(terminal: bool) -> None:
    output = io.StringIO()
    show = Show(Console(file=output, force_terminal=terminal, width=100))
    with show.build(Project.read(MANIFEST, "tpch")) as on_node:
        on_node(NodeResult("model.firn.stg", "model", "started"))
        on_node(NodeResult("model.firn.stg", "model", "success", 0.5))
        on_node(NodeResult("test.firn.t", "test", "fail"))
        on_node(NodeResult("model.elsewhere.unknown", "test", "pass"))
    shown = output.getvalue()
    if terminal:
        assert "2/2" in shown
    else:
        assert "\x1b" not in shown
        assert [line.split()[2:] for line in shown.splitlines()] == [
            ["success", "stg"],
            ["fail", "t"],
        ]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"FIRN_DEMO_SCALE": "big"}, "FIRN_DEMO_SCALE is 'big'"),
        ({"FIRN_TARGET": "moon"}, "FIRN_TARGET is 'moon'"),
        ({"FIRN_AIRFLOW_PORT": "no"}, "FIRN_AIRFLOW_PORT is 'no'"),
        (
            {
                "FIRN_TARGET": "dev",
                "SNOWFLAKE_ACCOUNT": "org-acc",
                "SNOWFLAKE_USER": "u",
                "SNOWFLAKE_PASSWORD": "p",
                "SNOWFLAKE_WAREHOUSE": "w",
            },
            "FIRN_TARGET is dev, and the demo is for the local warehouse",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_exit_code_2(
    tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    done = CliRunner(env={"FIRN_HOME": str(tmp_path), **variables}).invoke(app, ["demo"])
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert sentence in " ".join(done.stderr.split())
    assert done.stdout == ""
