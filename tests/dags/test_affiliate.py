"""The three affiliate DAGs: who builds what, and a source that is only declared."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from include.airflow.environment import airflow_environment
from include.ingestion.sources import load_domain
from include.project.paths import REPOSITORY
from include.warehouse.connection import ConnectionSettings

if TYPE_CHECKING:
    from tests.conftest import Warehouse

WEB, SCRAPERS, COMMISSION = DAGS = tuple(
    f"affiliate__{name}__daily" for name in ("web_traffic", "scrapers", "commission")
)


def nodes_of(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The models and snapshots of the domain."""
    return {
        unique_id: node
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] in {"model", "snapshot", "seed"}
        and "affiliate" in Path(node["original_file_path"]).parts
    }


def pipeline_of(node: dict[str, Any]) -> str:
    (pipeline,) = (tag for tag in node["config"]["tags"] if tag.startswith("affiliate__"))
    return str(pipeline)


def test_every_model_is_built_by_one_dag_and_by_one_alone(
    scheduled: dict[str, Any], manifest: dict[str, Any]
) -> None:
    built = [
        task["node"]
        for dag in DAGS
        for task in scheduled["dags"][dag]["tasks"].values()
        if task["node"]
    ]
    assert len(built) == len(set(built))
    assert set(built) == set(nodes_of(manifest))
    for dag in DAGS:
        for task in scheduled["dags"][dag]["tasks"].values():
            if task["node"]:
                node = manifest["nodes"][task["node"]]
                assert f"{pipeline_of(node)}__daily" == dag, node["name"]


def test_a_dag_reads_what_it_builds_and_the_combined_one_the_others_too(
    manifest: dict[str, Any],
) -> None:
    nodes = nodes_of(manifest)
    for unique_id, node in nodes.items():
        parents = [nodes[one] for one in manifest["parent_map"][unique_id] if one in nodes]
        others = {pipeline_of(one) for one in parents} - {pipeline_of(node)}
        assert not others or pipeline_of(node) == "affiliate__commission", node["name"]


def test_no_data_test_needs_what_another_dag_builds(manifest: dict[str, Any]) -> None:
    nodes = nodes_of(manifest)
    for unique_id, test in manifest["nodes"].items():
        if test["resource_type"] == "test":
            read = [nodes[one] for one in manifest["parent_map"][unique_id] if one in nodes]
            assert len({pipeline_of(node) for node in read}) <= 1, test["name"]


def test_the_combined_dag_is_scheduled_on_both_for_the_same_day(
    scheduled: dict[str, Any],
) -> None:
    dags = scheduled["dags"]
    for dag, asset in ((WEB, "affiliate_web_traffic"), (SCRAPERS, "affiliate_scrapers")):
        assert "CronPartitionTimetable" in dags[dag]["schedule"]
        assert "%Y-%m-%d" in dags[dag]["schedule"]
        assert dags[dag]["tasks"]["publish"]["outlets"] == [asset]
        assert f"'{asset}'" in dags[COMMISSION]["schedule"]
    assert "PartitionedAssetTimetable" in dags[COMMISSION]["schedule"]
    assert "AssetAll" in dags[COMMISSION]["schedule"]
    assert dags[COMMISSION]["tasks"]["publish"]["outlets"] == ["affiliate"]


def test_tasks_are_tried_five_times_again(scheduled: dict[str, Any]) -> None:
    for dag in DAGS:
        tasks = scheduled["dags"][dag]["tasks"]
        assert {task["retries"] for task in tasks.values()} == {0, 5}
        once = {task_id for task_id, task in tasks.items() if not task["retries"]}
        assert once <= {"check_mode", "refused"}


def sources_of(parsed: dict[str, Any], dag: str) -> set[str]:
    tasks = parsed["dags"][dag]["tasks"]
    return {task.split(".")[1] for task in tasks if task.startswith("ingest.") and "wait" in task}


def test_each_dag_waits_for_its_sources_and_can_leave_them_out(scheduled: dict[str, Any]) -> None:
    declared = {source.name for source in load_domain("affiliate").sources}
    assert sources_of(scheduled, WEB) == declared - {"scrapers"}
    assert sources_of(scheduled, SCRAPERS) == {"scrapers", "voluum"}
    assert sources_of(scheduled, COMMISSION) == set()
    for dag in (WEB, SCRAPERS):
        excluded = scheduled["dags"][dag]["params"]["exclude_sources"]
        assert set(excluded["items"]["enum"]) == sources_of(scheduled, dag)
    assert "exclude_sources" not in scheduled["dags"][COMMISSION]["params"]


BONUS = """
  - name: bonus
    description: Bonuses, agreed on by telephone.
    load: append
    archive: true
    if_missing: skip
    wait_minutes: 60
    columns:
      - {name: date, type: date, nullable: false}
      - {name: marketing_source, nullable: false}
      - {name: amount, type: "number(12, 2)"}
"""


@pytest.fixture
def with_bonus(tmp_path: Path, manifest: dict[str, Any]) -> Path:
    """The project with one entry more in its declarations and no other change."""
    project = tmp_path / "project"
    for folder in ("include", "dags"):
        shutil.copytree(
            REPOSITORY / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    declarations = project / "include" / "domains" / "affiliate" / "sources.yml"
    declarations.write_text(declarations.read_text() + BONUS)
    return project


def environment_of(project: Path, settings: ConnectionSettings) -> dict[str, str]:
    return airflow_environment(settings=settings) | {
        "PYTHONPATH": str(project),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "DBT_PROJECT_DIR": str(REPOSITORY / "dbt"),
        "FIRN_ENV_FILE": "/dev/null",
    }


def test_one_more_declared_source_has_tasks(
    with_bonus: Path, airflow_settings: ConnectionSettings, scheduled: dict[str, Any]
) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("parsed_dags.py"))],
        cwd=with_bonus,
        env=environment_of(with_bonus, airflow_settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parsed = json.loads(done.stdout.splitlines()[-1])
    assert parsed["import_errors"] == {}
    assert Path(parsed["dags"][WEB]["file"]).is_relative_to(with_bonus)
    new = set(parsed["dags"][WEB]["tasks"]) - set(scheduled["dags"][WEB]["tasks"])
    assert new == {"ingest.bonus.wait", "ingest.bonus.load"}
    assert "bonus" in parsed["dags"][WEB]["params"]["exclude_sources"]["items"]["enum"]
    for other in (SCRAPERS, COMMISSION):
        assert set(parsed["dags"][other]["tasks"]) == set(scheduled["dags"][other]["tasks"])


@pytest.mark.integration
def test_one_more_declared_source_has_a_raw_table(
    with_bonus: Path, warehouse: Warehouse, tmp_path: Path
) -> None:
    landing = tmp_path / "landing"
    delivered = landing / "affiliate" / "bonus"
    delivered.mkdir(parents=True)
    (delivered / "may.csv").write_text("Date,MarketingSource,Amount\n2025-05-01,Atlas,12.5\n")

    def load(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "include.commands", "load", "affiliate", *arguments],
            cwd=with_bonus,
            env=warehouse.environment()
            | {"FIRN_LANDING": str(landing), "PYTHONPATH": str(with_bonus)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "may.csv" in load("bonus")
    with warehouse.connect(database="RAW") as connection, connection.cursor() as cursor:
        cursor.execute('select "DATE"::varchar, marketing_source, amount from affiliate.bonus')
        rows: Callable[[], list[Any]] = cursor.fetchall
        assert [(day, name, float(amount)) for day, name, amount in rows()] == [
            ("2025-05-01", "Atlas", 12.5)
        ]
    assert "nothing to load" in load("bonus")
