"""``python -m include.airflow.container``: one of Airflow's programs in a container.

On a laptop the programs share a folder, SQLite and the loopback address. In containers each has a
place of its own. Settings come from the environment, secrets from files: for each name in
``SECRETS`` a variable of that name with ``_FILE`` behind it may say where the secret is.

    python -m include.airflow.container scheduler
    python -m include.airflow.container health
    python -m include.airflow.container -- firn doctor
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, MutableMapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NoReturn

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from include.airflow.environment import (
    LOOPBACK,
    PRELOADED,
    project_environment,
    shared_secret,
)
from include.airflow.local import COMPONENTS
from include.core.errors import UserError
from include.core.settings import IN_FILES
from include.project.manifest import ManifestError, require_manifest

PROGRAMS: Mapping[str, list[str]] = {
    **COMPONENTS,
    # As of the others: nobody serves logs, all write to one folder, which the page reads.
    "worker": ["celery", "worker", "--skip-serve-logs"],
    "migrate": ["db", "migrate"],
}

COMMANDS = (*PROGRAMS, "health")
"""What may be asked for by one word."""

DATABASE_PASSWORD, BROKER_PASSWORD = "FIRN_DATABASE_PASSWORD", "FIRN_BROKER_PASSWORD"
DATABASE, BROKER = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CELERY__BROKER_URL"

SECRETS = (
    *IN_FILES,
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
)
"""Settings that may come from a file."""

API_PORT, SCHEDULER_HEALTH_PORT = 8080, 8974
SCHEDULER_PORT = "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT"


class ContainerError(UserError, ValueError):
    """A program cannot be started here; the message says why and what to do."""


def read_secrets(variables: MutableMapping[str, str]) -> None:
    """Set each secret whose file is named, without the line break at its end.

    Raises:
        ContainerError: a file cannot be read, or holds nothing, or the secret is there already.
    """
    for name in SECRETS:
        file = variables.pop(f"{name}_FILE", "")
        if not file:
            continue
        if variables.get(name):
            raise ContainerError(f"{name} and {name}_FILE are both set: remove one.")
        try:
            value = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ContainerError(
                f"{name}_FILE names {file}, which cannot be read ({type(error).__name__}): "
                "put the secret there, readable by the user of the container."
            ) from None
        if not value:
            raise ContainerError(f"{name}_FILE names {file}, which is empty: put the secret there.")
        variables[name] = value


def container_environment() -> dict[str, str]:
    """The environment of a program in a container, on top of the current one.

    What the environment says of Airflow goes before what stands here.

    Raises:
        ContainerError: the metadata database or the broker is not given as a URL.
        ConfigurationError: the connection settings cannot be used.
        ValueError: a variable of ours is malformed.
    """
    given = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW__")}
    variables = project_environment()
    home = Path(variables["AIRFLOW_HOME"])
    variables |= {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__API__HOST": "0.0.0.0",  # noqa: S104 - of the container; compose publishes it
        "AIRFLOW__API__PORT": str(API_PORT),
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "True",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": LOOPBACK,
        SCHEDULER_PORT: str(SCHEDULER_HEALTH_PORT),
        # What plugins/firn.py does for the scheduler.
        "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": json.dumps({"imports": [PRELOADED]}),
    }
    # Where no secret is given, containers that share the folder share one that is made there.
    for name, file in (
        ("AIRFLOW__API__SECRET_KEY", "api_secret_key"),
        ("AIRFLOW__API_AUTH__JWT_SECRET", "jwt_secret"),
    ):
        if not given.get(name):
            variables[name] = shared_secret(home / file)
    variables |= {name: value for name, value in given.items() if value}
    database = _with_password(variables, DATABASE, DATABASE_PASSWORD)
    if database is None:
        raise ContainerError(
            f"{DATABASE} is not set: set it to the metadata database, such as "
            f"postgresql+psycopg://airflow@postgres:5432/airflow, and put its password into "
            f"{DATABASE_PASSWORD}_FILE."
        )
    # psycopg speaks both ways, so that one driver does.
    variables |= {DATABASE: database, f"{DATABASE}_ASYNC": database}
    if broker := _with_password(variables, BROKER, BROKER_PASSWORD):
        variables[BROKER] = broker
    # From here on they are parts of the URLs.
    for name in (DATABASE_PASSWORD, BROKER_PASSWORD):
        variables.pop(name, None)
    return variables


def start(program: str) -> NoReturn:
    """Become one of ``PROGRAMS``.

    Raises:
        ContainerError: see `container_environment`.
        ManifestError: the manifest of the image is of other settings, or cannot be written.
    """
    variables = container_environment()
    require_manifest(variables)
    _note().write_text(program)
    _become([sys.executable, "-m", "airflow", *PROGRAMS[program]], variables)


def health() -> None:
    """Return if the program of this container works, end the process with 1 if not.

    Raises:
        ContainerError: no program was started here.
    """
    note = _note()
    if not note.exists():
        raise ContainerError("No program of Airflow was started in this container.")
    match note.read_text():
        case "api-server":
            # Of the page alone: what the others are up to is their own checks' business.
            _answers(_port("AIRFLOW__API__PORT", API_PORT), "/api/v2/version")
        case "scheduler":
            _answers(_port(SCHEDULER_PORT, SCHEDULER_HEALTH_PORT), "/health")
        case "worker":
            app = "airflow.providers.celery.executors.celery_executor.app"
            ping = ["-m", "celery", "--app", app, "inspect", "ping", "--timeout", "10"]
            host = os.uname().nodename
            _become(
                [sys.executable, *ping, "--destination", f"celery@{host}"], container_environment()
            )
        case "dag-processor":
            _has_job("DagProcessorJob")
        case "triggerer":
            _has_job("TriggererJob")


def _port(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


def _answers(port: int, path: str) -> None:
    # Not urllib: this address must not be looked for behind a proxy.
    connection = HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise SystemExit(f"Port {port} does not answer ({type(error).__name__}).") from None
    finally:
        connection.close()
    if status != 200:
        raise SystemExit(f"Port {port} answers with {status}.")


def _has_job(kind: str) -> NoReturn:
    check = ["-m", "airflow", "jobs", "check", "--job-type", kind, "--local"]
    _become([sys.executable, *check, "--limit", "100", "--allow-multiple"], container_environment())


def _with_password(variables: Mapping[str, str], name: str, password: str) -> str | None:
    """A URL with its password put in, if one is given; None if there is no URL."""
    text = variables.get(name)
    if not text:
        return None
    try:
        url = make_url(text)
    except ArgumentError:
        raise ContainerError(
            f"{name} is no URL: set it to one such as postgresql+psycopg://airflow@postgres/airflow."
        ) from None
    if secret := variables.get(password):
        # A password is left out of a URL that names no user, as Redis's does.
        url = url.set(username=url.username or "", password=secret)
    return url.render_as_string(hide_password=False)


def _note() -> Path:
    """Says which program runs in this container."""
    return Path(tempfile.gettempdir(), "firn-program")


def _become(command: list[str], variables: Mapping[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(command[0], command, dict(variables))  # noqa: S606 - no shell, our own command


def main(arguments: list[str]) -> None:
    """Entry point of the container."""
    try:
        read_secrets(os.environ)
        match arguments:
            case ["health"]:
                health()
            case [program] if program in PROGRAMS:
                start(program)
            case ["--", *command] if command:
                _become(command, container_environment())
            case _:
                raise ContainerError(f"Name one of {', '.join(COMMANDS)}, or a command after --.")
    except (ValueError, ManifestError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main(sys.argv[1:])
