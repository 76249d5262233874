"""How many days things are kept."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from include.core.errors import UserError
from include.core.variables import env_file

Days = Annotated[int, Field(ge=7, le=36_500)]


class RetentionError(UserError):
    """Maintenance cannot be done; the message says why and what to set or do."""


class Retention(BaseSettings):
    """Days that things are kept; the reasons are in `docs/retention.md`.

    A week is the least: within it somebody looks at a run that failed.

    Raises:
        RetentionError: a value is no number of days.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    firn_keep_loads_days: Days = 400
    firn_keep_runs_days: Days = 400
    # The dbt test accounts_add_up reads this variable too: what is gone, it does not count.
    firn_keep_rejected_rows_days: Days = 180
    firn_keep_monitoring_days: Days = 90
    firn_keep_artifacts_days: Days = 90
    firn_keep_files_days: Days = 180
    firn_keep_logs_days: Days = 90

    def __init__(self, **values: Any) -> None:
        values.setdefault("_env_file", env_file())
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise RetentionError(
                " ".join(
                    f"{str(one['loc'][0]).upper()} is {one['input']!r}: set it to a whole number "
                    "of days from 7 to 36500."
                    for one in error.errors()
                )
            ) from None


VARIABLES = tuple(name.upper() for name in Retention.model_fields)
