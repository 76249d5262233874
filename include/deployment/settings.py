"""The settings of deployments, from the environment, else from the settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from include.variables import REPOSITORY, env_file
from include.warehouse.connection import ConfigurationError

_EXPECTED = {
    "FIRN_DEPLOY_ROW_CHANGE": "a whole number of percent, 0 or above",
    "FIRN_SITE": "a folder",
}


class DeploymentSettings(BaseSettings):
    """What a deployment allows, and where it publishes.

    Raises:
        ConfigurationError: a value is malformed.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    # Percent by which the rows of a mart may differ from production's.
    firn_deploy_row_change: Annotated[int, Field(ge=0)] = 20
    firn_site: Path | None = None

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
