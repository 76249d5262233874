"""The image and the compose files: what can be known of them without Docker."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pathspec
import pytest
import yaml
from sqlalchemy.engine import make_url

from include.airflow import container
from include.airflow import local as local_airflow
from include.airflow.container import ContainerError, container_environment, read_secrets
from include.airflow.environment import LOCAL_LOGIN, airflow_environment
from include.project.manifest import (
    BUILT_IN,
    DECISIVE,
    ManifestError,
    project_fingerprint,
    require_manifest,
)
from include.warehouse.connection import REPOSITORY, ConnectionSettings
from tests.firn_command import ROOT, command_of

SHARED, DEVELOPMENT, PRODUCTION = (
    f"docker-compose{kind}.yml" for kind in ("", ".override", ".production")
)
BIN = Path(sys.executable).parent


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


# -- Dockerfile ------------------------------------------------------------------------------------


def hadolint(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "hadolint", "--no-color", file], capture_output=True, text=True, check=False
    )


def test_hadolint_finds_nothing_here_and_something_in_a_bad_file(tmp_path: Path) -> None:
    found = hadolint(REPOSITORY / "Dockerfile")
    assert (found.returncode, found.stdout) == (0, ""), found.stdout
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian:latest\nRUN cd /tmp && apt-get install curl\n")
    assert {"DL3007", "DL3008"} <= set(re.findall(r"DL\d+", hadolint(bad).stdout))


def instructions() -> list[tuple[str, str]]:
    """Each instruction with what follows it, continued lines joined, comments left out."""
    lines = "\n".join(line for line in text("Dockerfile").splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return [(name, rest) for name, rest in re.findall(r"(?m)^([A-Z]+) (.+)$", joined)]


def test_the_base_is_of_the_locked_airflow_and_of_the_locked_python() -> None:
    (base,) = [
        rest.split("=", 1)[1]
        for name, rest in instructions()
        if name == "ARG" and rest.startswith("BASE_IMAGE")
    ]
    (airflow,) = re.findall(r"(?m)^apache-airflow==(\S+)", text("requirements-image.txt"))
    assert re.fullmatch(
        rf"apache/airflow:slim-{re.escape(airflow)}-python3\.11(@sha256:[0-9a-f]{{64}})?", base
    )
    for told in re.findall(r"apache/airflow:[\w.-]+\w", text("docs/images.md")):
        assert told == base.partition("@")[0]
    stages = {"${BASE_IMAGE}"}
    for name, rest in instructions():
        if name == "FROM":
            source, _, stage = rest.partition(" AS ")
            assert source in stages, source
            stages.add(stage)


def test_packages_are_installed_by_hash_and_programs_run_as_nobody_special() -> None:
    commands = [rest for name, rest in instructions() if name == "RUN"]
    (install,) = [command for command in commands if "pip install" in command]
    assert "--require-hashes --requirement /tmp/requirements-image.txt" in install
    users = [rest for name, rest in instructions() if name == "USER"]
    assert users[-1] == "50000:0"
    last = [name for name, _ in instructions()]
    assert {"HEALTHCHECK", "ENTRYPOINT", "CMD"} <= set(
        last[len(last) - 1 - last[::-1].index("FROM") :]
    )


def test_no_secret_gets_into_a_layer() -> None:
    named = re.compile(r"PASSWORD|SECRET|TOKEN|PASSPHRASE|PRIVATE|_KEY")
    for name, rest in instructions():
        if name in {"ARG", "ENV"}:
            assert not named.search(rest), rest
        if name == "COPY":
            files = {part for part in rest.split()[:-1] if not part.startswith("--")}
            assert files <= {
                *("LICENSE", "NOTICE", "requirements-image.txt", "packages.yml"),
                *("dbt", "include", "include/commands/firn.sh", "dags", "plugins"),
            }, rest


def test_the_build_sees_what_is_copied_and_nothing_private(tmp_path: Path) -> None:
    # As Git's, but that a pattern begins at the top.
    patterns = [
        re.sub(r"^(!?)(?=[^/*#])", r"\1/", line) for line in text(".dockerignore").splitlines()
    ]
    ignored = pathspec.PathSpec.from_lines("gitwildmatch", patterns)
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    seen = [name for name in tracked if not ignored.match_file(name)]
    assert {name.split("/")[0] for name in seen} == {
        *("LICENSE", "NOTICE", "dags", "dbt", "include", "packages.yml", "plugins"),
        "requirements-image.txt",
    }
    assert "dbt/packages.yml" in seen
    assert not ignored.match_file("dbt/dbt_packages/elementary/dbt_project.yml")
    for name in (
        *(".env", "dbt/.env", "include/.env.prod", "secrets/jwt_secret", ".git/config"),
        *("include/warehouse/rsa_key.p8", "dbt/key.pem", ".firn/airflow/airflow.db"),
        *("dbt/target/manifest.json", "dbt/logs/dbt.log", "include/__pycache__/x.pyc"),
    ):
        assert ignored.match_file(name), name


# -- manifest --------------------------------------------------------------------------------------


def test_every_variable_that_dbt_reads_is_about_the_connection_or_decides_on_the_manifest() -> None:
    read = {
        name
        for file in (REPOSITORY / "dbt").rglob("*")
        if file.suffix in {".yml", ".sql"} and not {"target", "dbt_packages"} & {*file.parts}
        for name in re.findall(r"env_var\(\s*'([A-Z_]+)'", file.read_text(encoding="utf-8"))
    }
    connection = {name for name in read if name.startswith(("SNOWFLAKE_", "AIRFLOW_CTX_"))} | {
        *("FIRN_HOME", "FIRN_LOCAL_PORT", "FIRN_LOCAL_PASSWORD"),
        *("FIRN_DBT_THREADS", "FIRN_DBT_PACKAGES_DIR"),
        # FIRN_USER is always set beside them.
        *("LOGNAME", "USER", "USERNAME"),
    }
    assert read - connection <= set(DECISIVE)
    assert set(DECISIVE) <= read


def test_an_image_s_manifest_is_taken_for_its_own_settings_alone(tmp_path: Path) -> None:
    variables = airflow_environment(
        settings=ConnectionSettings(firn_home=tmp_path, firn_user="firn")
    ) | {"DBT_PROJECT_DIR": str(tmp_path / "dbt"), BUILT_IN: str(tmp_path / "manifest.json")}
    (tmp_path / "dbt").mkdir()
    (tmp_path / "dbt" / "one.sql").write_text("select 1")
    with pytest.raises(ManifestError, match="was not written for this dbt project"):
        require_manifest(variables)
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "fingerprint").write_text(project_fingerprint(variables))
    assert require_manifest(variables) == tmp_path / "manifest.json"
    # Another port or home, another place of the same project: the same manifest.
    shutil.copytree(tmp_path / "dbt", tmp_path / "moved")
    moved = {"FIRN_LOCAL_PORT": "1", "FIRN_HOME": "/x", "DBT_PROJECT_DIR": str(tmp_path / "moved")}
    assert require_manifest(variables | moved) == tmp_path / "manifest.json"
    with pytest.raises(ManifestError, match=r"FIRN_TARGET=prod.*: build the image with them, or"):
        require_manifest(variables | {"FIRN_TARGET": "prod"})
    # Any account is as good as another, but for the rehearsal, which some models are off in.
    assert require_manifest(variables | {"SNOWFLAKE_ACCOUNT": "myorg-one"})
    with pytest.raises(ManifestError):
        require_manifest(variables | {"SNOWFLAKE_ACCOUNT": "local"})
    (tmp_path / "dbt" / "one.sql").write_text("select 2")
    with pytest.raises(ManifestError):
        require_manifest(variables)


# -- programs of a container -----------------------------------------------------------------------


@pytest.fixture
def here(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    clean_environment.setenv("FIRN_HOME", str(tmp_path / "home"))
    clean_environment.setenv(
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg://airflow@postgres:5432/airflow"
    )
    return clean_environment


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("pass word\n")
    variables = {"SNOWFLAKE_PASSWORD_FILE": str(file), "FIRN_ENV_FILE": "x"}
    read_secrets(variables)
    assert variables == {"SNOWFLAKE_PASSWORD": "pass word", "FIRN_ENV_FILE": "x"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SNOWFLAKE_PASSWORD_FILE": "/nowhere"}, r"names /nowhere, which cannot be read"),
        ({"SNOWFLAKE_PASSWORD_FILE": "/dev/null"}, r"names /dev/null, which is empty"),
        (
            {"SNOWFLAKE_PASSWORD_FILE": "/dev/null", "SNOWFLAKE_PASSWORD": "x"},
            r"SNOWFLAKE_PASSWORD and SNOWFLAKE_PASSWORD_FILE are both set: remove one",
        ),
    ],
)
def test_a_secret_that_is_not_there_is_told_of(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        read_secrets(variables)


def test_passwords_are_put_into_urls_whatever_they_hold(here: pytest.MonkeyPatch) -> None:
    password = "p@ss:/w?rd%#"
    here.setenv("FIRN_DATABASE_PASSWORD", password)
    here.setenv("FIRN_BROKER_PASSWORD", password)
    here.setenv("AIRFLOW__CELERY__BROKER_URL", "redis://redis:6379/0")
    made = container_environment()
    for name in (container.DATABASE, f"{container.DATABASE}_ASYNC", container.BROKER):
        assert make_url(made[name]).password == password, name
    # Redis's URL names no user, and would be written without the password.
    assert made[container.BROKER].startswith("redis://:p%40ss")
    assert not {"FIRN_DATABASE_PASSWORD", "FIRN_BROKER_PASSWORD"} & set(made)


def test_what_the_environment_says_of_airflow_goes_first(here: pytest.MonkeyPatch) -> None:
    here.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    here.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "given")
    made = container_environment()
    assert made["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert made["AIRFLOW__API_AUTH__JWT_SECRET"] == "given"
    assert made["AIRFLOW__API__SECRET_KEY"] == container_environment()["AIRFLOW__API__SECRET_KEY"]
    assert made["AIRFLOW__COSMOS__ENABLE_TELEMETRY"] == "False"
    # No page without a login comes from here.
    assert "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS" not in made


def test_a_worker_imports_what_tasks_need_before_it_forks(here: pytest.MonkeyPatch) -> None:
    here.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    here.setenv("AIRFLOW__CELERY__BROKER_URL", "redis://redis:6379/0")
    script = """
import sys
from airflow.providers.celery.executors.celery_executor import app
assert "dbt.cli.main" not in sys.modules
app.loader.init_worker()
assert {"dbt.cli.main", "cosmos.operators.watcher", "snowflake.connector"} <= set(sys.modules)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=container_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("url", ["", "postgres"])
def test_a_container_without_a_database_is_told_what_to_set(
    here: pytest.MonkeyPatch, url: str
) -> None:
    here.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
    with pytest.raises(ContainerError, match=r"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN is n"):
        container_environment()


# -- compose files ---------------------------------------------------------------------------------


def conforms(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_files_keep_to_the_compose_specification(tmp_path: Path) -> None:
    checked = conforms(*(REPOSITORY / name for name in (SHARED, DEVELOPMENT, PRODUCTION)))
    assert checked.returncode == 0, checked.stdout
    wrong = tmp_path / "compose.yml"
    wrong.write_text("services: {web: {image: nginx, healtcheck: {test: [NONE]}}}\n")
    assert conforms(wrong).returncode == 1


def merged(*names: str) -> dict[str, Any]:
    """The files as Compose lays them over each other: mappings are joined, lists are added to."""

    def join(below: Any, above: Any, name: str = "") -> Any:
        if isinstance(below, dict) and isinstance(above, dict):
            return below | {
                key: join(below[key], value, key) if key in below else value
                for key, value in above.items()
            }
        replaces = name in {"command", "entrypoint", "test"}
        if isinstance(below, list) and isinstance(above, list) and not replaces:
            return [*below, *(one for one in above if one not in below)]
        return above

    result: dict[str, Any] = {}
    for name in names:
        result = join(result, yaml.safe_load(text(name)))
    return result


development = merged(SHARED, DEVELOPMENT)
production = merged(SHARED, PRODUCTION)
both = pytest.mark.parametrize(
    "shape", [development, production], ids=["development", "production"]
)
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer"}


@both
def test_every_program_of_airflow_is_there_and_is_one_that_the_image_can_start(
    shape: dict[str, Any],
) -> None:
    services = shape["services"]
    wanted = {*AIRFLOW, "migrate", "postgres"}
    wanted |= {"worker", "redis"} if shape is production else {"warehouse", "sample-data"}
    assert set(services) == wanted
    assert set(local_airflow.COMPONENTS) == AIRFLOW
    for name in wanted - {"postgres", "redis", "warehouse", "sample-data"}:
        assert services[name]["command"] == [name]
        assert name in container.PROGRAMS
        assert services[name]["environment"]["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


@both
def test_images_are_pinned(shape: dict[str, Any]) -> None:
    for name, service in shape["services"].items():
        if "build" in service:
            assert service["image"] == "${FIRN_IMAGE:-firn:development}", name
        else:
            assert re.fullmatch(r"[a-z]+:[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}", service["image"])


@both
def test_nothing_is_published_beyond_this_machine(shape: dict[str, Any]) -> None:
    published = [
        port for service in shape["services"].values() for port in service.get("ports", ())
    ]
    assert published == ["127.0.0.1:8080:8080"]


@both
def test_every_service_is_watched_restarted_and_has_no_rights_of_root(
    shape: dict[str, Any],
) -> None:
    for name, service in shape["services"].items():
        if name != "sample-data":
            assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name
        once = name in {"migrate", "sample-data"}
        assert service["restart"] == ("on-failure:3" if once else "unless-stopped"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        # Of our image the Dockerfile says who.
        user = service.get("user", "50000:0" if "build" in service else "0")
        assert not user.startswith(("0", "root")), name
        for dependency in service.get("depends_on", {}):
            assert dependency in shape["services"], name


@both
def test_every_volume_network_and_secret_that_is_used_is_declared(shape: dict[str, Any]) -> None:
    for name, service in shape["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source.startswith("./") or source in shape["volumes"], name
            assert not source.startswith("./") or volume.endswith(":ro"), name
        assert set(service.get("secrets", ())) <= set(shape.get("secrets", {})), name
        assert set(service.get("networks", ())) <= {"default", *shape.get("networks", {})}, name


def test_production_does_not_take_over_what_development_has_made() -> None:
    # Its database would go on without a password.
    assert production["name"] != development["name"]


def test_development_needs_no_account_and_no_secret() -> None:
    assert not re.search(r"secrets:|SNOWFLAKE_|PASSWORD|:\?", text(SHARED) + text(DEVELOPMENT))
    for name in AIRFLOW:
        service = development["services"][name]
        assert service["network_mode"] == "service:warehouse"
        assert "ports" not in service
        assert service["environment"]["FIRN_TARGET"] == "local"
        # Its login, and no request of another site's pages.
        assert service["environment"]["AIRFLOW__CORE__AUTH_MANAGER"] == LOCAL_LOGIN
        assert service["environment"]["FIRN_AIRFLOW_HOSTS"] == "${FIRN_AIRFLOW_HOSTS:-}"
        assert not any("ALL_ADMINS" in variable for variable in service["environment"])
        # What is mounted may be newer than what the image was built of.
        assert service["environment"]["FIRN_DBT_MANIFEST"] == ""


def test_development_has_the_databases_before_anything_builds_in_them() -> None:
    services = development["services"]
    (command,) = services["sample-data"]["command"]
    made, filled = command.split(" && ")
    assert made.endswith("firn warehouse start")
    assert filled.endswith("firn sample tpch --scale 0.1")
    assert services["migrate"]["depends_on"]["sample-data"] == {
        "condition": "service_completed_successfully"
    }
    # Its health check is about itself, whatever the image was built for.
    assert services["warehouse"]["environment"]["FIRN_TARGET"] == "local"
    data, folder, at, port = services["warehouse"]["command"]
    assert (data, at) == ("--data", "--port")
    (home,) = re.findall(r"(?m)^    FIRN_HOME=(\S+) \\$", text("Dockerfile"))
    assert folder == f"{home}/warehouse"
    assert int(port) == ConnectionSettings().port


def test_production_takes_secrets_from_files_alone() -> None:
    named = re.compile(r"PASSWORD|SECRET|TOKEN|PASSPHRASE|PRIVATE_KEY|FERNET_KEY")
    for name, service in production["services"].items():
        for variable, value in service.get("environment", {}).items():
            if named.search(variable):
                assert variable.endswith(("_FILE", "_PATH")), f"{name}: {variable}"
                held = value.removeprefix("/run/secrets/")
                assert held in service["secrets"], f"{name}: {variable}"
            if "://" in str(value) and not value.startswith("$"):
                assert make_url(value).password is None, f"{name}: {variable}"
        if name in AIRFLOW | {"worker", "migrate"}:
            read = {one.removesuffix("_FILE") for one in service["environment"] if "_FILE" in one}
            assert read <= set(container.SECRETS)
    for secret, where in production["secrets"].items():
        assert where == {"file": f"./secrets/{secret}"}
        ignored = subprocess.run(["git", "check-ignore", "-q", where["file"]], cwd=REPOSITORY)
        assert ignored.returncode == 0, f"{secret} could be committed"


def test_production_is_bounded_and_cannot_be_written_to() -> None:
    for name, service in production["services"].items():
        assert service["read_only"] is True, name
        assert any(mount.startswith("/tmp") for mount in service["tmpfs"]), name
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} == set(limits), name
        assert service["logging"]["options"]["max-size"], name
    assert production["networks"]["backend"] == {"internal": True}
    for name in ("postgres", "redis"):
        assert production["services"][name]["networks"] == ["backend"]
        assert "ports" not in production["services"][name]


def test_production_has_logins_and_its_queue_waits_for_tasks() -> None:
    for name in AIRFLOW | {"worker"}:
        environment = production["services"][name]["environment"]
        assert environment["AIRFLOW__CORE__AUTH_MANAGER"].endswith("FabAuthManager")
        assert environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
        assert not any("ALL_ADMINS" in variable for variable in environment)
    worker = production["services"]["worker"]
    assert worker["deploy"]["replicas"] >= 2
    assert worker["environment"]["DUMB_INIT_SETSID"] == "0"
    assert worker["stop_grace_period"] == "15m"
    manager = production["services"]["scheduler"]["environment"]["AIRFLOW__CORE__AUTH_MANAGER"]
    assert find_spec(manager.rpartition(".")[0]) is not None


def test_every_program_that_a_container_starts_exists() -> None:
    files = [REPOSITORY / "Dockerfile", *REPOSITORY.glob("docker-compose*.yml")]
    for file in files:
        content = file.read_text(encoding="utf-8")
        for module in re.findall(r"-m\W+(include[.\w]*)", content):
            path = REPOSITORY / module.replace(".", "/")
            program = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
            assert program.exists(), f"{file.name} starts {module}"
        for line in re.findall(
            r"(?<![\w/-])firn[ ,]+([a-z][a-z ,]*)", re.sub(r"(?m)#.*", "", content)
        ):
            words = re.findall(r"[a-z]+", line)
            assert command_of(words)[0] is not ROOT, f"{file.name}: firn {line}"
