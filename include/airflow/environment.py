"""The settings that every local Airflow process gets.

Airflow imports this each time it parses a DAG file. So it reads variables only, and leaves the
connection settings, which need the Snowflake connector, to ``airflow_environment``: that is called
by the commands that start Airflow, and hands the settings down as variables.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.errors import SettingError
from include.core.settings import REPOSITORY as REPOSITORY
from include.core.settings import AirflowPage, Lineage, Slack, reveal
from include.local_warehouse.secret_files import make_once
from include.project.paths import airflow_home, target

if TYPE_CHECKING:
    from include.warehouse.connection import ConnectionSettings

SLACK = "AIRFLOW_CONN_SLACK_ALERTS"
"""Airflow's own name for the variable that makes the connection of ``alerts``."""

LOOPBACK = "127.0.0.1"
LOCAL_LOGIN = "include.airflow.local_login.LocalAuthManager"
AIRFLOW_USER = "admin"

PRELOADED = "include.orchestration.preloaded"
"""The module that imports what tasks need, for processes that fork for each task."""

SQLITE_WAIT_SECONDS = 60
"""How long a process waits for another's lock on Airflow's database before it gives up."""

HEADLESS = "FIRN_HEADLESS"
"""Set to 1 for a single run without scheduler and triggerer; see ``is_headless``."""


def is_headless(variables: Mapping[str, str] = os.environ) -> bool:
    """Whether this process belongs to a single run that has no scheduler and no triggerer."""
    return variables.get(HEADLESS) == "1"


def airflow_port() -> int:
    """Port of Airflow's page and API: ``FIRN_AIRFLOW_PORT``, 8080 when unset.

    Raises:
        ConfigurationError: the variable is not a port number.
    """
    return AirflowPage().firn_airflow_port


def airflow_hosts() -> frozenset[str]:
    """Host names that Airflow answers to: the local ones, and those in ``FIRN_AIRFLOW_HOSTS``.

    Raises:
        ConfigurationError: the variable holds something that is not a host name.
    """
    named = AirflowPage().firn_airflow_hosts.split(",")
    return frozenset({LOOPBACK, "localhost", *filter(None, named)})


def airflow_passwords(variables: Mapping[str, str] = os.environ) -> Path:
    """The file that holds the password Airflow generates for ``AIRFLOW_USER``."""
    return airflow_home(variables) / "passwords.json"


def airflow_environment(
    *, headless: bool = False, settings: ConnectionSettings | None = None
) -> dict[str, str]:
    """The complete environment of a local Airflow process, on top of the current one.

    Creates Airflow's folder. Two calls with the same settings agree, so that processes started
    apart belong to one Airflow.

    Args:
        headless: for a single run without scheduler and triggerer.
        settings: read from the environment if not given.

    Raises:
        ConfigurationError: the settings cannot be used.
        SettingError: a secret cannot be kept.
    """
    variables = project_environment(settings)
    home = Path(variables["AIRFLOW_HOME"])
    url = f"http://{LOOPBACK}:{airflow_port()}"
    return variables | {
        HEADLESS: "1" if headless else "0",
        # Nothing runs before somebody switches the DAG on, however long the laptop was closed.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # A task is a Python process that starts for seconds: more than the cores would only queue.
        "AIRFLOW__CORE__PARALLELISM": str(max(2, os.cpu_count() or 2)),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__AUTH_MANAGER": LOCAL_LOGIN,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{AIRFLOW_USER}:admin",
        # A changed DAG file is read at once. Others change with the code and the manifest only.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(airflow_port()),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": shared_secret(home / "api_secret_key"),
        "AIRFLOW__API_AUTH__JWT_SECRET": shared_secret(home / "jwt_secret"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": (
            f"sqlite:///{home / 'airflow.db'}?timeout={SQLITE_WAIT_SECONDS}"
        ),
    }


def project_environment(settings: ConnectionSettings | None = None) -> dict[str, str]:
    """What every Airflow process of this project gets, wherever it runs, on top of the current one.

    Creates Airflow's folder.

    Args:
        settings: read from the environment if not given.

    Raises:
        ConfigurationError: the settings cannot be used.
    """
    from include.project.environment import dbt_environment

    variables = dbt_environment(settings) | Slack().variables()
    airflow_hosts()
    home = airflow_home(variables)
    home.mkdir(parents=True, exist_ok=True)
    return variables | {
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": _prepend(REPOSITORY, os.environ.get("PYTHONPATH")),
        "PATH": _prepend(Path(sys.executable).parent, os.environ.get("PATH")),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(airflow_passwords(variables)),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        **lineage_environment(target(variables)),
        "AIRFLOW__COSMOS__CACHE_DIR": str(home / "cosmos"),
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "False",
        "DO_NOT_TRACK": "1",
        "SCARF_NO_ANALYTICS": "true",
    }


def lineage_environment(target: str) -> dict[str, str]:
    """What switches lineage events on, where ``FIRN_OPENLINEAGE_URL`` names a receiver, or off.

    Raises:
        ConfigurationError: it is not the address of a server.
    """
    settings = {
        "AIRFLOW__OPENLINEAGE__NAMESPACE": f"firn_{target}",
        # The source of tasks is in the repository.
        "AIRFLOW__OPENLINEAGE__EMISSION_POLICY": json.dumps(
            [{"scope": {}, "controls": {"include_source_code": False}}]
        ),
        # A task waits so long for an event at most; the transport gives up sooner.
        "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "5",
    }
    lineage = Lineage()
    if lineage.firn_openlineage_url is None:
        return settings | {"AIRFLOW__OPENLINEAGE__DISABLED": "True"}
    transport: dict[str, Any] = {
        "type": "include.orchestration.lineage.PausingHttpTransport",
        "url": lineage.firn_openlineage_url,
        "timeout": 2,
        "retry": {"total": 0},
    }
    if key := reveal(lineage.firn_openlineage_api_key):
        transport["auth"] = {"type": "api_key", "apiKey": key}
    return settings | {
        "AIRFLOW__OPENLINEAGE__DISABLED": "False",
        # Otherwise the task's log has a line for each event that was sent.
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow.providers.openlineage=WARNING",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
    }


def _prepend(folder: Path, search_path: str | None) -> str:
    return os.pathsep.join([str(folder), *([search_path] if search_path else [])])


def shared_secret(file: Path) -> str:
    """A random secret of this Airflow home, made once; Airflow's processes must share it.

    Raises:
        SettingError: the file cannot be written or read, or it holds no secret.
    """
    try:
        make_once(file, lambda: secrets.token_urlsafe(32).encode())
        found = file.read_text("ascii").strip()
    except OSError as error:
        raise SettingError(
            f"A secret of Airflow cannot be kept in {file} ({error.strerror}): set FIRN_HOME to a "
            "folder of your own on a local disk."
        ) from None
    except UnicodeDecodeError:
        found = ""
    if not found:
        raise SettingError(
            f"{file} holds no secret: remove that file and restart all of Airflow (make down, "
            "make up), which makes a new one."
        )
    return found
