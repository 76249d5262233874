"""Programs of the image for real: its manifest, a PostgreSQL, Airflow's programs, their checks."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from include.airflow import container
from include.warehouse.connection import REPOSITORY
from tests.conftest import free_port
from tests.integration.postgres import postgres

pytestmark = [pytest.mark.integration, pytest.mark.slow]


class Containers:
    """Starts what containers would, each with a temporary folder of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment

    def variables(self, name: str, **more: str) -> dict[str, str]:
        own = self.folder / name
        own.mkdir(exist_ok=True)
        return self.environment | {"TMPDIR": str(own)} | more

    def run(
        self, *arguments: str, name: str = "one", **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", container.__name__, *arguments],
            cwd=REPOSITORY,
            env=self.variables(name, **more),
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, program: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{program}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", container.__name__, program],
                cwd=REPOSITORY,
                env=self.variables(program),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest as the Dockerfile's own command writes it."""
    dockerfile = re.sub(r"\\\n\s*", " ", (REPOSITORY / "Dockerfile").read_text(encoding="utf-8"))
    (command,) = re.findall(r"RUN (SNOW.* python -m include\.commands manifest)", dockerfile)
    file = tmp_path_factory.mktemp("built") / "manifest.json"
    build = {
        "FIRN_TARGET": "prod",
        "FIRN_ELEMENTARY": "off",
        "FIRN_USER": "firn",
        "FIRN_DBT_MANIFEST": str(file),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = command.replace("/tmp/build", str(file.parent / "home"))
    subprocess.run(["bash", "-c", command], cwd=REPOSITORY, env=os.environ | build, check=True)
    return file


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> Iterator[Containers]:
    folder = tmp_path_factory.mktemp("containers")
    with postgres() as url:
        (folder / "password").write_text(f"{url.password}\n")
        key = folder / "key"
        key.write_text("of an account that is not asked")
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("NO_PROXY", raising=False)
            yield Containers(
                folder,
                os.environ
                | {
                    "FIRN_TARGET": "prod",
                    "FIRN_ELEMENTARY": "off",
                    "FIRN_USER": "firn",
                    "FIRN_HOME": str(folder / "home"),
                    "FIRN_DBT_MANIFEST": str(manifest),
                    "SNOWFLAKE_ACCOUNT": "myorg-myaccount",
                    "SNOWFLAKE_USER": "FIRN_AIRFLOW",
                    "SNOWFLAKE_WAREHOUSE": "FIRN_TRANSFORMER",
                    "SNOWFLAKE_PRIVATE_KEY_PATH": str(key),
                    container.DATABASE: url.set(password=None).render_as_string(),
                    "FIRN_DATABASE_PASSWORD_FILE": str(folder / "password"),
                    "AIRFLOW__CORE__AUTH_MANAGER": (
                        "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
                    ),
                },
            )


def test_an_image_s_programs_start_on_postgres_and_are_found_healthy(
    containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing of the account is needed to start; the manifest is the one of the build.
    migrated = containers.run("migrate")
    assert migrated.returncode == 0, migrated.stderr[-3000:]
    assert "Database migration done" in migrated.stdout + migrated.stderr
    assert "FABDBManager" in migrated.stdout + migrated.stderr
    assert not (containers.folder / "home" / "airflow" / "manifest").exists()

    other = containers.run("migrate", FIRN_TARGET="dev")
    assert other.returncode == 2
    assert "FIRN_TARGET=dev" in other.stderr
    assert len(other.stderr.strip().splitlines()) == 1

    idle = containers.run("health", name="idle")
    assert (idle.returncode, idle.stdout) == (2, "")
    assert idle.stderr == "No program of Airflow was started in this container.\n"

    port, health_port = str(free_port()), str(free_port())
    containers.environment |= {
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": health_port,
    }
    programs = ("api-server", "scheduler")
    started = {name: containers.start(name) for name in programs}
    try:
        for name, at in zip(programs, (port, health_port), strict=True):
            log = containers.folder / f"{name}.log"
            # A check is a process: this waits for something to check.
            for attempt in Retrying(stop=stop_after_delay(120), wait=wait_fixed(0.3), reraise=True):
                with attempt:
                    assert started[name].poll() is None, log.read_text()[-3000:]
                    socket.create_connection(("127.0.0.1", int(at)), timeout=5).close()
            waiting = Retrying(
                stop=stop_after_delay(60),
                wait=wait_fixed(1),
                retry=retry_if_result(lambda code: code != 0),
                retry_error_callback=lambda attempt: attempt.outcome and attempt.outcome.result(),
            )
            code = waiting(lambda name=name: containers.run("health", name=name).returncode)
            assert code == 0, log.read_text()[-3000:]
            assert started[name].poll() is None, name
        page = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
        page.request("GET", "/api/v2/dags")
        assert page.getresponse().status == 401
        page.close()
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.wait(timeout=60)
    for name in programs:
        assert containers.run("health", name=name).returncode == 1, name
    for log in containers.folder.glob("*.log"):
        assert "secret-of-the-game" not in log.read_text(), log.name
