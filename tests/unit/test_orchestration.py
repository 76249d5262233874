"""The parts of the orchestration that decide something on their own."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from include.airflow import local as local_airflow
from include.airflow.environment import (
    airflow_environment,
    airflow_hosts,
    airflow_passwords,
    airflow_port,
    shared_secret,
)
from include.airflow.local import SUPERVISOR
from include.airflow.local_login import LocalAuthManager
from include.airflow.supervisor import DELAYS, QUICK_SECONDS, Part, how_it_is
from include.orchestration.single_run import DagRunOutcome
from include.project.builds import BuildLog, NodeResult, keep_run_results, read_run_results
from include.project.manifest import (
    ManifestError,
    ensure_manifest,
    manifest_path,
    project_fingerprint,
    read_manifest,
)
from include.project.manifest import tests_by_owner as owners_of_tests
from include.warehouse.connection import REPOSITORY, ConnectionSettings
from tests.conftest import free_port


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return airflow_environment(settings=ConnectionSettings(firn_home=tmp_path, firn_user="test"))


class TestEnvironment:
    def test_nothing_is_told_to_anybody(self, variables: dict[str, str]) -> None:
        assert variables["AIRFLOW__COSMOS__ENABLE_TELEMETRY"] == "False"
        assert variables["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
        assert variables["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "False"
        assert variables["DO_NOT_TRACK"] == "1"
        assert variables["AIRFLOW__OPENLINEAGE__DISABLED"] == "True"
        assert "AIRFLOW__OPENLINEAGE__TRANSPORT" not in variables

    def test_the_page_asks_for_a_login_and_is_bound_to_this_machine(
        self, variables: dict[str, str]
    ) -> None:
        assert variables["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"
        module, _, name = variables["AIRFLOW__CORE__AUTH_MANAGER"].rpartition(".")
        assert (module, name) == (LocalAuthManager.__module__, LocalAuthManager.__name__)
        assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"

    def test_host_names_are_read_and_what_is_none_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = {"127.0.0.1", "localhost"}
        for text, named in {
            "": set(),
            " Airflow.internal, box-1,": {"airflow.internal", "box-1"},
        }.items():
            monkeypatch.setenv("FIRN_AIRFLOW_HOSTS", text)
            assert airflow_hosts() == own | named
        for text in ("*", "http://airflow.internal", "airflow:8080", "a b", "-a"):
            monkeypatch.setenv("FIRN_AIRFLOW_HOSTS", text)
            with pytest.raises(ValueError, match=r"FIRN_AIRFLOW_HOSTS is .* host names alone"):
                airflow_environment()

    def test_processes_of_one_home_share_their_secrets_and_others_do_not_read_them(
        self, variables: dict[str, str], tmp_path: Path
    ) -> None:
        again = airflow_environment(
            settings=ConnectionSettings(firn_home=tmp_path, firn_user="test"), headless=True
        )
        other = airflow_environment(
            settings=ConnectionSettings(firn_home=tmp_path / "other", firn_user="test")
        )
        name = "AIRFLOW__API_AUTH__JWT_SECRET"
        assert again[name] == variables[name] != other[name]
        assert (tmp_path / "airflow" / "jwt_secret").stat().st_mode & 0o777 == 0o600

    def test_a_secret_has_its_name_when_it_is_complete(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file, seen = tmp_path / "new" / "jwt_secret", list[bool]()
        real = secrets.token_urlsafe

        def made(*arguments: int) -> str:
            seen.append(file.exists())
            return real(*arguments)

        monkeypatch.setattr(secrets, "token_urlsafe", made)
        found = shared_secret(file)
        assert seen == [False]
        assert found == shared_secret(file) == file.read_text()
        assert [one.name for one in file.parent.iterdir()] == [file.name]

    @pytest.mark.parametrize("content", [b"", b"\n", b"\xff"])
    def test_an_empty_secret_is_refused(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "jwt_secret"
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"jwt_secret holds no secret: remove that file and"):
            shared_secret(file)

    def test_a_home_that_takes_no_secret_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(
            ValueError, match=r"A secret of Airflow cannot be kept in .*/jwt_secret"
        ):
            shared_secret(tmp_path / "file" / "jwt_secret")

    @pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "80.5"])
    def test_a_port_that_is_none_is_refused_by_name(
        self, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        monkeypatch.setenv("FIRN_AIRFLOW_PORT", text)
        with pytest.raises(ValueError, match=r"FIRN_AIRFLOW_PORT is .* set it to a port"):
            airflow_port()


class TestManifest:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        project = tmp_path / "project"
        (project / "models").mkdir(parents=True)
        (project / "dbt_project.yml").write_text("name: firn\nversion: 1.0.0\nprofile: firn\n")
        (project / "profiles.yml").write_text(
            json.dumps(
                {
                    "firn": {
                        "target": "local",
                        "outputs": {
                            "local": {
                                "type": "snowflake",
                                "account": "local",
                                "user": "firn",
                                "password": "firn",
                                "database": "x",
                                "schema": "x",
                                "warehouse": "x",
                            }
                        },
                    }
                }
            )
        )
        (project / "models" / "one.sql").write_text("select 1 as id")
        return project

    @pytest.fixture
    def with_project(self, variables: dict[str, str], project: Path) -> dict[str, str]:
        return variables | {"DBT_PROJECT_DIR": str(project)}

    def test_it_is_written_once_and_again_when_a_model_changes_and_can_be_parsed(
        self, with_project: dict[str, str], project: Path
    ) -> None:
        # Programs that start together parse once.
        with ThreadPoolExecutor(3) as pool:
            paths = list(pool.map(ensure_manifest, [with_project] * 3))
        assert len(set(paths)) == 1
        path = paths[0]
        assert list(read_manifest(path)["nodes"]) == ["model.firn.one"]
        log = path.with_name("target") / "dbt.log"
        assert log.read_text().count("Running with dbt=") == 1
        written = path.stat().st_mtime_ns

        assert ensure_manifest(with_project).stat().st_mtime_ns == written
        (project / "models" / "two.sql").write_text("select 2 as id")
        assert sorted(read_manifest(ensure_manifest(with_project))["nodes"]) == [
            "model.firn.one",
            "model.firn.two",
        ]

        before = path.read_bytes()
        (project / "models" / "one.sql").write_text("select * from {{ ref('nowhere') }}")
        with pytest.raises(ManifestError, match="nowhere"):
            ensure_manifest(with_project)
        assert manifest_path(with_project) == path
        assert path.read_bytes() == before

    def test_what_dbt_generates_does_not_count_as_a_change(
        self, with_project: dict[str, str], project: Path
    ) -> None:
        before = project_fingerprint(with_project)
        (project / "target").mkdir()
        (project / "target" / "compiled.sql").write_text("select 1")
        assert project_fingerprint(with_project) == before
        assert project_fingerprint(with_project | {"FIRN_TARGET": "prod"}) != before
        # What tasks give dbt to hide is not read by the project.
        assert project_fingerprint(with_project | {"DBT_ENV_SECRET_FIRN_0": "x"}) == before

    def test_a_missing_manifest_says_how_to_write_it(self, variables: dict[str, str]) -> None:
        with pytest.raises(FileNotFoundError, match="firn manifest"):
            read_manifest(manifest_path(variables))


class TestOwners:
    MANIFEST = {  # noqa: RUF012
        "nodes": {
            "model.a": {"resource_type": "model", "tags": []},
            "test.generic": {"resource_type": "test", "tags": [], "attached_node": "model.b"},
            "test.singular": {"resource_type": "test", "tags": [], "attached_node": None},
            "test.of_two": {"resource_type": "test", "tags": []},
            "test.of_source": {"resource_type": "test", "tags": []},
        },
        "parent_map": {
            "model.a": ["source.s"],
            "model.b": ["model.a"],
            "model.c": ["source.s"],
            "test.generic": ["model.a", "model.b"],
            "test.singular": ["model.a", "model.b"],
            "test.of_two": ["model.b", "model.c"],
            "test.of_source": ["source.s"],
        },
    }

    def test_a_generic_test_belongs_to_the_node_it_is_declared_on(self) -> None:
        assert "test.generic" in owners_of_tests(self.MANIFEST)["model.b"]
        assert "model.a" not in owners_of_tests(self.MANIFEST)

    def test_a_singular_test_belongs_to_the_last_of_the_nodes_it_reads(self) -> None:
        owners = owners_of_tests(self.MANIFEST)
        assert "test.singular" in owners["model.b"]
        assert owners["model.c"] == ["test.of_two"]
        assert "test.of_two" in owners["model.b"]
        assert owners["source.s"] == ["test.of_source"]


class TestBuilds:
    STARTED = {  # noqa: RUF012
        "info": {"name": "NodeStart"},
        "data": {"node_info": {"unique_id": "model.firn.one", "resource_type": "model"}},
    }
    FINISHED = {  # noqa: RUF012
        "info": {"name": "NodeFinished"},
        "data": {
            "node_info": {"unique_id": "model.firn.one", "node_status": "success"},
            "run_result": {
                "status": "success",
                "execution_time": 1.5,
                "adapter_response": {"rows_affected": 7},
                "message": "SUCCESS 7",
            },
        },
    }

    def test_the_log_is_followed_from_its_present_end(self, tmp_path: Path) -> None:
        log = tmp_path / "dbt.log"
        log.write_text(json.dumps(self.STARTED) + "\n")
        build = BuildLog(tmp_path)
        assert list(build.news()) == []

        with log.open("a") as end:
            end.write(json.dumps(self.STARTED) + "\n" + json.dumps(self.FINISHED)[:40])
        assert [node.status for node in build.news()] == ["started"]

        with log.open("a") as end:
            end.write(json.dumps(self.FINISHED)[40:] + "\n")
        (finished,) = build.news()
        assert (finished.name, finished.status, finished.rows) == ("one", "success", 7)
        assert list(build.news()) == []

    def test_a_log_that_was_begun_anew_is_read_from_its_start(self, tmp_path: Path) -> None:
        log = tmp_path / "dbt.log"
        log.write_text("x" * 4000 + "\n")
        build = BuildLog(tmp_path)
        log.write_text(json.dumps(self.FINISHED) + "\n")
        assert [node.name for node in build.news()] == ["one"]

    def test_what_stood_at_the_end_of_the_old_log_is_read_too(self, tmp_path: Path) -> None:
        log = tmp_path / "dbt.log"
        log.write_text("x" * 4000 + "\n")
        build = BuildLog(tmp_path)
        with log.open("a") as end:
            end.write(json.dumps(self.STARTED) + "\n")
        log.rename(tmp_path / "dbt.log.1")
        log.write_text(json.dumps(self.FINISHED) + "\n")
        assert [node.status for node in build.news()] == ["started", "success"]

    def test_results_outlive_the_folder_they_were_made_in(self, tmp_path: Path) -> None:
        target = tmp_path / "copy" / "target"
        target.mkdir(parents=True)
        result = {"unique_id": "test.firn.t.1", "status": "fail", "execution_time": 0.1}
        (target / "run_results.json").write_text(json.dumps({"results": [result]}))
        kept = tmp_path / "kept"
        assert read_run_results(kept) == []
        keep_run_results(str(tmp_path / "copy"), folder=str(kept))
        (node,) = read_run_results(kept)
        assert NodeResult("unit_test.firn.parent.child", "unit_test", "pass").name == "child"
        assert (node.kind, node.name, node.failed, node.rows) == ("test", "t", True, None)


class TestOutcome:
    def test_the_end_of_the_log_is_that_of_the_first_failed_task(self, tmp_path: Path) -> None:
        log = tmp_path / "run.log"
        log.write_text(
            "[DAG TEST] starting task_id=good map_index=-1\nfine\n"
            "[DAG TEST] end task task_id=good map_index=-1\n"
            "[DAG TEST] starting task_id=bad map_index=-1\nfirst\nsecond\n"
            '{"data": {}}\n[error] Task failed with exception\nTraceback\n'
            "[DAG TEST] end task task_id=bad map_index=-1\n"
            "something else\n"
        )
        tasks = {"good": "success", "bad": "failed", "after": "upstream_failed"}
        outcome = DagRunOutcome("dag", "run", "failed", tasks, 1.0, log)
        assert outcome.failed_tasks == ["bad"]
        assert outcome.last_lines(2) == ["first", "second"]
        nothing = DagRunOutcome("dag", "", "failed", {}, 1.0, log)
        assert nothing.last_lines(1) == ["something else"]


class TestStop:
    """`stop` ends what `start` started; here a sleeping program stands where a component was."""

    @pytest.fixture
    def sleeper(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        yield process
        process.kill()
        process.wait()

    @staticmethod
    def _note(variables: dict[str, str], pid: int, created: float) -> Path:
        note = Path(variables["FIRN_HOME"]) / "run" / "airflow-scheduler.pid"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{pid} {created}\n")
        return note

    def test_a_process_that_only_has_the_same_number_is_left_alone(
        self, variables: dict[str, str], sleeper: subprocess.Popen[bytes]
    ) -> None:
        created = psutil.Process(sleeper.pid).create_time()
        note = self._note(variables, sleeper.pid, created - 3600)
        assert not local_airflow.is_running("scheduler", variables)
        assert local_airflow.stop(variables) == []
        assert sleeper.poll() is None
        assert not note.exists()

    def test_the_noted_process_ends(
        self, variables: dict[str, str], sleeper: subprocess.Popen[bytes]
    ) -> None:
        self._note(variables, sleeper.pid, psutil.Process(sleeper.pid).create_time())
        assert local_airflow.is_running("scheduler", variables)
        assert local_airflow.stop(variables) == ["scheduler"]
        assert not psutil.pid_exists(sleeper.pid)
        assert local_airflow.stop(variables) == []

    def test_a_note_that_is_no_note_is_no_process(self, variables: dict[str, str]) -> None:
        self._note(variables, os.getpid(), 0).write_text("garbage")
        assert not local_airflow.is_running("scheduler", variables)

    def test_what_an_ended_component_left_running_ends_too(self, variables: dict[str, str]) -> None:
        # In a process group of its own, as Airflow's tasks are.
        parent = (
            "import subprocess, sys, time\n"
            "child = subprocess.Popen(['sleep', '60'], process_group=0)\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(60)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True
        ) as leader:
            assert leader.stdout
            child = psutil.Process(int(leader.stdout.readline()))
            self._note(variables, leader.pid, psutil.Process(leader.pid).create_time())
            assert local_airflow.left_behind("scheduler", variables) == set()
            leader.kill()
        assert local_airflow.left_behind("scheduler", variables) == {child}
        assert local_airflow.stop(variables) == []
        assert not child.is_running()


class TestStart:
    """`start` while a supervisor is running; a sleeping program takes the place of each part."""

    @pytest.mark.parametrize("meanwhile", ["prepare", "_stop_supervisor"])
    def test_what_the_supervisor_has_started_meanwhile_is_not_started_twice(
        self, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, meanwhile: str
    ) -> None:
        part, started = "dag-processor", list[subprocess.Popen[bytes]]()
        monkeypatch.setattr(local_airflow, "COMPONENTS", {part: ["60"]})
        monkeypatch.setattr(local_airflow, "_airflow", lambda: ["sleep"])
        monkeypatch.setattr(local_airflow, "health", lambda _: {part: "healthy"})
        real = local_airflow.start_component

        def start(*arguments: Any, **named: Any) -> subprocess.Popen[bytes]:
            started.append(real(*arguments, **named))
            return started[-1]

        def supervise(variables: dict[str, str]) -> None:
            local_airflow.start_component(part, variables, again=True)

        monkeypatch.setattr(local_airflow, "start_component", start)
        monkeypatch.setattr(local_airflow, "prepare", lambda _: None)
        monkeypatch.setattr(local_airflow, meanwhile, supervise)
        watcher = local_airflow._start(SUPERVISOR, ["sleep", "60"], variables)
        try:
            local_airflow.start(variables | {"AIRFLOW__API__PORT": str(free_port())})
            assert len(started) == 1
            assert watcher.poll() is None
        finally:
            monkeypatch.undo()
            for one in (watcher, *started):
                one.kill()
                one.wait()


class TestParts:
    """When a component that has ended is restarted."""

    def test_each_quick_end_in_a_row_is_waited_for_longer_and_then_it_is_given_up(self) -> None:
        part, waits = Part(), []
        while not part.given_up:
            part.has_ended(now=100.0, lived=QUICK_SECONDS - 1)
            waits.append(part.due and part.due - 100.0)
        assert waits == [*DELAYS, None]
        assert part.ended == len(DELAYS) + 1

    def test_an_end_after_a_while_is_none_of_the_quick_ones_in_a_row(self) -> None:
        part = Part()
        part.has_ended(now=100.0, lived=QUICK_SECONDS)
        for delay in (DELAYS[0], *DELAYS):
            assert (part.given_up, part.due) == (False, 100.0 + delay)
            part.has_ended(now=100.0, lived=1.0)
        assert (part.given_up, part.ended) == (True, len(DELAYS) + 2)

    def test_one_that_has_lived_for_a_while_is_started_again_for_ever(self) -> None:
        part = Part()
        for lived in (1.0, 1.0, 1.0, QUICK_SECONDS) * 20:
            part.has_ended(now=100.0, lived=lived)
            assert not part.given_up
        assert (part.due, part.ended) == (100.0 + DELAYS[0], 80)

    def test_an_airflow_that_is_gone_without_down_is_told_of(self, tmp_path: Path) -> None:
        settings = ConnectionSettings(firn_home=tmp_path, firn_user="test")
        assert how_it_is(settings) == []
        TestStop._note({"FIRN_HOME": str(tmp_path)}, os.getpid(), 0)
        [(level, text)] = how_it_is(settings)
        assert (level, text) == (
            "note",
            "Airflow was started here and has ended without make down: run make up.",
        )


@pytest.mark.parametrize("text", ["{", "[]", '{"admin": 5}', "\udcff"])
def test_a_damaged_file_of_passwords_is_said_in_one_sentence(
    variables: dict[str, str], text: str
) -> None:
    airflow_passwords(variables).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(local_airflow.LocalAirflowError, match=r"passwords\.json does not hold the"):
        local_airflow.start(variables | {"AIRFLOW__API__PORT": str(free_port())})


def test_airflow_s_own_commands_are_about_the_airflow_of_this_home(tmp_path: Path) -> None:
    command = ["config", "get-value", "database", "sql_alchemy_conn"]
    ran = subprocess.run(
        [sys.executable, "-m", "include.commands", "airflow", *command],
        cwd=REPOSITORY,
        env=os.environ | {"FIRN_HOME": str(tmp_path), "FIRN_ENV_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"sqlite:///{tmp_path}/airflow/airflow.db" in ran.stdout, ran.stderr


def test_a_taken_port_is_said_in_one_sentence(variables: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(local_airflow.LocalAirflowError, match=f"Port {port} is taken"):
            local_airflow.start(variables | {"AIRFLOW__API__PORT": str(port)})
