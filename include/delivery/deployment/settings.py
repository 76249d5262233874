"""The settings of deployments, from the environment, else from the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from include.core.variables import REPOSITORY, env_file
from include.warehouse.connection import ConfigurationError

_EXPECTED = {
    "FIRN_DEPLOY_ROW_CHANGE": "a whole number of percent, 0 or above",
    "FIRN_SITE": "a folder",
}


_HERE = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Airflow:
    """Where the pipelines are.

    Attributes:
        url: of Airflow's page, without a slash at its end.
        user: who may read and edit DAGs; empty where Airflow asks for nobody.
        password: of that user.
        is_here: whether it is on this machine.
    """

    url: str
    user: str
    password: SecretStr
    is_here: bool


class DeploymentSettings(BaseSettings):
    """What a deployment allows, and where it publishes.

    Raises:
        ConfigurationError: a value is malformed.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    # Percent by which the rows of a mart may differ from production's.
    firn_deploy_row_change: Annotated[int, Field(ge=0)] = 20
    firn_site: Path | None = None
    firn_airflow_url: str | None = None
    firn_airflow_user: str = ""
    firn_airflow_password: SecretStr = SecretStr("")

    def __init__(self, **values: Any) -> None:
        values.setdefault("_env_file", env_file())
        try:
            super().__init__(**values)
        except ValidationError as error:
            problem = error.errors()[0]
            name = str(problem["loc"][0]).upper()
            raise ConfigurationError(
                [f"{name} is {problem['input']!r}: set it to {_EXPECTED[name]}."]
            ) from None

    @property
    def site(self) -> Path | None:
        """The folder that dbt's documentation and the report are published to, if any."""
        return REPOSITORY / self.firn_site.expanduser() if self.firn_site else None

    @property
    def airflow(self) -> Airflow | None:
        """The Airflow whose DAGs are paused, if one is set.

        Raises:
            ConfigurationError: the address is none, or a part of the login is missing.
        """
        login = (bool(self.firn_airflow_user), bool(self.firn_airflow_password.get_secret_value()))
        if login[0] != login[1] or (any(login) and not self.firn_airflow_url):
            text = (
                "FIRN_AIRFLOW_URL, FIRN_AIRFLOW_USER and FIRN_AIRFLOW_PASSWORD belong together: "
                "set what is missing, or none of them."
            )
            raise ConfigurationError([text])
        if not self.firn_airflow_url:
            return None
        try:
            found = urlsplit(self.firn_airflow_url)
            is_here = found.hostname in _HERE
            usable = found.hostname and not found.username and found.port != 0
            usable = usable and (found.scheme == "https" or (found.scheme == "http" and is_here))
        except ValueError:
            usable = False
        if not usable or found.query or found.fragment:
            # Not quoted: it may hold a password.
            text = (
                "FIRN_AIRFLOW_URL cannot be used: set it to the address of Airflow's page, such as "
                "https://airflow.example.com; with https unless it is on this machine, and without "
                "a user."
            )
            raise ConfigurationError([text])
        return Airflow(
            self.firn_airflow_url.rstrip("/"),
            self.firn_airflow_user,
            self.firn_airflow_password,
            is_here,
        )
