"""The settings of deployments, from the environment, else from the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from include.core.settings import HERE, ConfigurationError, Deployments


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


class DeploymentSettings(Deployments):
    """What a deployment allows, and where it publishes.

    Raises:
        ConfigurationError: a value is malformed.
    """

    @property
    def site(self) -> Path | None:
        """The folder that dbt's documentation and the report are published to, if any."""
        return self.firn_site

    @property
    def airflow(self) -> Airflow | None:
        """The Airflow whose DAGs are paused, if one is set.

        Raises:
            ConfigurationError: a part of the login is missing.
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
        return Airflow(
            self.firn_airflow_url,
            self.firn_airflow_user,
            self.firn_airflow_password,
            urlsplit(self.firn_airflow_url).hostname in HERE,
        )
