"""How every part of Firn reaches its warehouse, local or on a Snowflake account.

`dbt/profiles.yml` reads the same settings for dbt. Secrets are kept in types that do not print, and
no message of this module holds one.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import snowflake.connector
from snowflake.connector import SnowflakeConnection

from include.core.errors import UserError
from include.core.settings import REPOSITORY as REPOSITORY
from include.core.settings import (
    Account,
    Authenticator,
    Builds,
    Goal,
    Home,
    KeptForDbt,
    LocalServer,
    Project,
    Target,
    reveal,
)
from include.core.settings import ConfigurationError as ConfigurationError
from include.core.settings import env_file as env_file
from include.local_warehouse.login import SETTING as PASSWORD_SETTING
from include.local_warehouse.login import LocalLogin, LocalLoginError

APPLICATION = "firn"
LOCAL_HOST = "127.0.0.1"
LOCAL_ACCOUNT = "local"
MAX_QUERY_TAG_LENGTH = 2000  # characters; longer ones are refused by Snowflake

DATABASES: Mapping[Target, str] = {
    "local": "ANALYTICS_DEV",
    "dev": "ANALYTICS_DEV",
    "ci": "ANALYTICS_CI",
    "prod": "ANALYTICS",
}


class WarehouseUnreachableError(UserError, ConnectionError):
    """The warehouse took no connection; the message says where and what to do."""


class ConnectionSettings(Account, LocalServer, KeptForDbt, Project, Home, Builds, Goal):
    """Which warehouse to use, and as whom.

    Raises:
        ConfigurationError: if a value is malformed, or if one is missing or contradicts another
            for the chosen target.
    """

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if problems := self._problems():
            raise ConfigurationError(problems)

    @property
    def target(self) -> Target:
        """Where things go: local, dev, ci or prod."""
        return self.firn_target

    @property
    def is_local(self) -> bool:
        """Whether the warehouse is the local one; it can also play the account of a target."""
        return self.firn_target == "local" or self.is_rehearsal

    @property
    def is_rehearsal(self) -> bool:
        """Whether the local warehouse plays the account of dev, ci or prod."""
        account = (self.snowflake_account or "").lower()
        return self.firn_target != "local" and account == LOCAL_ACCOUNT

    @property
    def database(self) -> str:
        """The database models are built in."""
        return DATABASES[self.firn_target]

    @property
    def default_schema(self) -> str:
        """The `schema` of the dbt profile: the prefix without its underscore, public on prod."""
        return self.schema_prefix.removesuffix("_") or "public"

    @property
    def schema_prefix(self) -> str:
        """What stands before a layer in a schema's name: `<user>_`, `pr_<number>_` or nothing."""
        match self.firn_target:
            case "prod":
                return ""
            case "ci":
                return f"pr_{self.firn_pr_number}_"
            case _:
                return f"{self.firn_user}_"

    @property
    def port(self) -> int:
        """The port of the local warehouse."""
        return self.firn_local_port

    @property
    def local_login(self) -> LocalLogin:
        """The password and the key of the local warehouse."""
        return LocalLogin(self.home, reveal(self.firn_local_password))

    @property
    def home(self) -> Path:
        """The folder for everything generated."""
        return self.firn_home

    @property
    def warehouse_home(self) -> Path:
        """The local warehouse's data."""
        return self.home / "warehouse"

    @property
    def airflow_home(self) -> Path:
        """Airflow's home folder."""
        return self.home / "airflow"

    @property
    def dbt_home(self) -> Path:
        """The target and log folders of the dbt runs that Firn starts."""
        return self.home / "dbt"

    @property
    def logs_home(self) -> Path:
        """Logs of the programs that Firn starts."""
        return self.home / "logs"

    @property
    def run_home(self) -> Path:
        """Process id files."""
        return self.home / "run"

    @property
    def authenticator(self) -> Authenticator:
        """The chosen way to log in, else key pair if there is a key file, else password."""
        if self.snowflake_authenticator:
            return self.snowflake_authenticator
        return "snowflake_jwt" if self.snowflake_private_key_path else "snowflake"

    def query_tag(self, extra: Mapping[str, object] | None = None) -> str:
        """The JSON every session is tagged with: application, target and what is given.

        In a task of Airflow's also its DAG and its name, as dbt's sessions have them.

        Raises:
            ValueError: if the tag is longer than Snowflake takes.
        """
        of_all = {"application": APPLICATION, "target": self.target}
        tag = json.dumps(of_all | _airflow_task(os.environ) | dict(extra or {}))
        if len(tag) > MAX_QUERY_TAG_LENGTH:
            raise ValueError(
                f"The query tag has {len(tag)} characters, Snowflake takes {MAX_QUERY_TAG_LENGTH}: "
                "put less into it."
            )
        return tag

    def connector_arguments(self) -> dict[str, Any]:
        """The arguments of `snowflake.connector.connect` for this target, secrets in the clear.

        Raises:
            LocalLoginError: the target is local, and there is no password yet.
        """
        arguments: dict[str, Any] = {
            "application": APPLICATION,
            "database": self.database,
            "session_parameters": {"QUERY_TAG": self.query_tag()},
        }
        if self.is_local:
            arguments |= {
                "account": LOCAL_ACCOUNT,
                "user": APPLICATION,
                "password": self.local_login.password(),
                "host": LOCAL_HOST,
                "port": self.port,
                "protocol": "http",
                # The default would go on asking for minutes, and a machine is up or it is not.
                "login_timeout": 10,
            }
            arguments["session_parameters"]["CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED"] = False
            return arguments

        arguments |= {
            "account": _account(self.snowflake_account or ""),
            "user": self.snowflake_user,
            "warehouse": self.snowflake_warehouse,
            "authenticator": self.authenticator,
            "login_timeout": 60,
        }
        if self.snowflake_role:
            arguments["role"] = self.snowflake_role
        if self.snowflake_host:
            arguments["host"] = self.snowflake_host
        match self.authenticator:
            case "snowflake":
                arguments["password"] = reveal(self.snowflake_password)
            case "snowflake_jwt":
                arguments["private_key_file"] = str(self.snowflake_private_key_path)
                if self.snowflake_private_key_passphrase:
                    arguments["private_key_file_pwd"] = reveal(
                        self.snowflake_private_key_passphrase
                    )
            case "externalbrowser":
                # One browser window a session, not one a connection.
                arguments["client_store_temporary_credential"] = True
        return arguments

    def loader_arguments(self) -> dict[str, str]:
        """The arguments that differ for whoever writes RAW; none where nothing differs."""
        if self.is_local:
            return {}
        differing = {
            "role": self.snowflake_loader_role,
            "warehouse": self.snowflake_loader_warehouse,
        }
        return {name: value for name, value in differing.items() if value}

    def environment(self) -> dict[str, str]:
        """The variables a child process needs to connect like this one, secrets in the clear.

        Meant to be laid over the inherited environment. On the local target no account's variable
        is among them.
        """
        groups = (Goal, Builds, Home, Project, KeptForDbt, LocalServer)
        names = {name for group in groups for name in group.model_fields}
        if self.is_local:
            # If no password is set, a child reads it from Firn's home, as this program does.
            account = {"SNOWFLAKE_ACCOUNT": LOCAL_ACCOUNT} if self.is_rehearsal else {}
            return self.variables(*names) | account | _past_the_proxy(os.environ)
        unused = {"firn_local_password"}
        if self.authenticator != "snowflake":
            unused.add("snowflake_password")
        if self.authenticator != "snowflake_jwt":
            unused |= {"snowflake_private_key_path", "snowflake_private_key_passphrase"}
        return self.variables(*(names | Account.model_fields.keys()) - unused) | {
            "SNOWFLAKE_AUTHENTICATOR": self.authenticator
        }

    def _problems(self) -> list[str]:
        """What is missing or contradictory for the target, one sentence each."""
        if self.firn_target == "local":
            return []
        required = {
            "SNOWFLAKE_ACCOUNT": (self.snowflake_account, "your account identifier"),
            "SNOWFLAKE_USER": (self.snowflake_user, "the user to log in as"),
            "SNOWFLAKE_WAREHOUSE": (self.snowflake_warehouse, "the warehouse to run on"),
        }
        problems = [
            f"{name} is not set, and target {self.target} needs it: "
            f"set it to {meaning}, or set FIRN_TARGET=local to work without an account."
            for name, (value, meaning) in required.items()
            if not value and not self.is_rehearsal
        ]
        if self.target == "ci" and self.firn_pr_number is None:
            problems.append(
                "FIRN_PR_NUMBER is not set, and target ci names its schemas after it: "
                "set it to the number of the pull request."
            )
        if self.is_rehearsal:
            return problems
        account = (self.snowflake_account or "").lower()
        if account.endswith((".snowflakecomputing.com", ".snowflakecomputing.cn")):
            problems.append(
                "SNOWFLAKE_ACCOUNT is a host name: set it to the part before .snowflakecomputing."
            )
        return problems + self._authentication_problems()

    def _authentication_problems(self) -> list[str]:
        key = self.snowflake_private_key_path
        if self.snowflake_authenticator is None and self.snowflake_password and key:
            return [
                (
                    "SNOWFLAKE_PASSWORD and SNOWFLAKE_PRIVATE_KEY_PATH are both set: remove one, "
                    "or set SNOWFLAKE_AUTHENTICATOR to snowflake (password) or snowflake_jwt (key)."
                )
            ]
        match self.authenticator:
            case "snowflake" if not self.snowflake_password:
                return [
                    (
                        "There is nothing to log in with: set SNOWFLAKE_PASSWORD, or "
                        "SNOWFLAKE_PRIVATE_KEY_PATH for a key pair, or "
                        "SNOWFLAKE_AUTHENTICATOR=externalbrowser."
                    )
                ]
            case "snowflake_jwt" if key is None:
                return [
                    (
                        "SNOWFLAKE_PRIVATE_KEY_PATH is not set, and SNOWFLAKE_AUTHENTICATOR="
                        "snowflake_jwt needs it: set it to the file of the private key."
                    )
                ]
            case "snowflake_jwt" if key is not None and not os.access(key, os.R_OK):
                return [
                    (
                        f"SNOWFLAKE_PRIVATE_KEY_PATH names {key}, which is not a readable file: "
                        "set it to the file of the private key."
                    )
                ]
        return []


def get_settings() -> ConnectionSettings:
    """The settings as environment and file have them now.

    Raises:
        ConfigurationError: see `ConnectionSettings`.
    """
    return ConnectionSettings()


@contextmanager
def connect(
    settings: ConnectionSettings | None = None,
    *,
    database: str | None = None,
    schema: str | None = None,
    role: str | None = None,
    warehouse: str | None = None,
    as_loader: bool = False,
    query_tag: Mapping[str, object] | None = None,
    autocommit: bool = True,
    backoff_policy: Callable[[], Iterator[float]] | None = None,
) -> Iterator[SnowflakeConnection]:
    """A connection to the target's warehouse, closed at the end.

    Args:
        settings: read from the environment if not given.
        database: the target's own if not given.
        schema: none if not given; name tables in full then.
        role: the configured one, else the user's default one, if not given.
        warehouse: the configured one if not given.
        as_loader: whoever writes RAW says so: with the loader's role and warehouse where they are
            set, as the account's others where they are not.
        query_tag: joins application and target in the JSON tag of every query.
        autocommit: off means that the caller begins, commits and rolls back.
        backoff_policy: makes the pauses between tries of a request; the connector's own if not
            given.

    Raises:
        ConfigurationError: if the settings cannot be used.
        WarehouseUnreachableError: if no connection comes about. It is tried once: a command that
            waits for a starting warehouse does so itself.
    """
    settings = settings or get_settings()
    if settings.is_local:
        _require_local_server(settings.port)
        os.environ.update(_past_the_proxy(os.environ))
    try:
        arguments = settings.connector_arguments()
    except LocalLoginError as error:
        raise WarehouseUnreachableError(str(error)) from None
    if as_loader:
        arguments |= settings.loader_arguments()
    chosen = {"database": database, "schema": schema, "role": role, "warehouse": warehouse}
    arguments |= {name: value for name, value in chosen.items() if value is not None}
    arguments["autocommit"] = autocommit
    if backoff_policy:
        arguments["backoff_policy"] = backoff_policy
    arguments["session_parameters"]["QUERY_TAG"] = settings.query_tag(query_tag)
    try:
        connection = snowflake.connector.connect(**arguments)
    except (snowflake.connector.Error, OSError, ValueError, TypeError) as error:
        raise WarehouseUnreachableError(_refusal(settings, error)) from error
    with closing(connection):
        yield connection


def local_server_answers(port: int) -> bool:
    """Whether something accepts connections on the local warehouse's port."""
    try:
        with socket.create_connection((LOCAL_HOST, port), timeout=1):
            return True
    except OSError:
        return False


def _require_local_server(port: int) -> None:
    # The connector would retry a refused connection for as long as its login timeout.
    if not local_server_answers(port):
        raise WarehouseUnreachableError(
            f"The local warehouse does not answer on {LOCAL_HOST}:{port}: start it with "
            "`firn warehouse start` (or everything with `make up`), "
            "or set FIRN_LOCAL_PORT if it runs on another port."
        )


def _refusal(settings: ConnectionSettings, error: Exception) -> str:
    reason = " ".join(str(error).split()).rstrip(".")
    if settings.is_local and "Incorrect username or password" in reason:
        return (
            f"The local warehouse on {LOCAL_HOST}:{settings.port} does not take the password of "
            f"{settings.home}: set FIRN_HOME or {PASSWORD_SETTING} to the value that it was "
            "started with, or FIRN_LOCAL_PORT to the port of your own local warehouse."
        )
    if settings.is_local:
        return (
            f"What answers on {LOCAL_HOST}:{settings.port} is not a working local warehouse "
            f"({reason}): look at `firn warehouse status`."
        )
    return (
        f"Snowflake account {settings.snowflake_account} refused user {settings.snowflake_user} "
        f"({reason}): check the SNOWFLAKE_ variables with `make doctor`."
    )


def _airflow_task(environment: Mapping[str, str]) -> dict[str, str]:
    """DAG and task of the process, as Airflow tells every task."""
    variables = {"dag": "AIRFLOW_CTX_DAG_ID", "task": "AIRFLOW_CTX_TASK_ID"}
    return {
        name: value for name, variable in variables.items() if (value := environment.get(variable))
    }


def _past_the_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep a machine's proxy from being asked for the machine itself.

    The connector takes this from the environment only, and dbt has no setting for it either.
    """
    inherited = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    hosts = [host.strip() for host in inherited.split(",") if host.strip()]
    if LOCAL_HOST not in hosts:
        hosts.append(LOCAL_HOST)
    return {"NO_PROXY": ",".join(hosts), "no_proxy": ",".join(hosts)}


def _account(identifier: str) -> str:
    # Host names have no underscore; an account's host has a hyphen in its place.
    return identifier.replace("_", "-")
