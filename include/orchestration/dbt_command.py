"""A dbt command that somebody asks for, as an Airflow task."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator, Param
from airflow.sdk.exceptions import AirflowFailException

from include.project.dbt import TELL_NOBODY, Dbt
from include.project.paths import dbt_project, firn_home, target
from include.project.run_mode import RunMode, RunModeError

COMMANDS = ("build", "run", "test", "seed", "snapshot", "ls")
_SELECTOR = r"^[A-Za-z0-9_@+*][A-Za-z0-9_.:@+*,/-]*$"
"""A dbt selector, which is no option of the command line."""


def command_params() -> dict[str, Param]:
    """The parameters that name the command and the nodes."""

    def selectors(title: str, description: str) -> Param:
        return Param(
            default=[],
            type="array",
            items={"type": "string", "pattern": _SELECTOR},
            title=title,
            description=description,
        )

    return {
        "command": Param(default="build", type="string", enum=[*COMMANDS], title="Command"),
        "select": selectors("Select", "dbt selectors, one a line, such as stg_forex__customers+."),
        "exclude": selectors("Exclude", "dbt selectors of what is left out."),
    }


class DbtCommandOperator(BaseOperator):
    """Runs the command that the run's parameters name, and writes what dbt says to the log."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._hook: SubprocessHook | None = None

    def execute(self, context: Any) -> None:
        """Run dbt.

        Raises:
            AirflowFailException: the parameters contradict one another, or dbt failed.
        """
        params = context["params"]
        if not params["select"]:
            # Everything at once is not what somebody wants who has left the field empty.
            raise AirflowFailException("Name what to run in `select`, such as path:models/mart.")
        try:
            mode = RunMode.from_params(params)
        except RunModeError as error:
            raise AirflowFailException(str(error)) from None
        bounds = {"backfill_start": mode.start, "backfill_end": mode.end}
        words = [params["command"], "--select", *params["select"]]
        words += ["--exclude", *params["exclude"]] if params["exclude"] else []
        words += ["--vars", json.dumps(bounds)]
        if mode.name == "full_refresh" and params["command"] in {"build", "run", "seed"}:
            words.append("--full-refresh")
        dbt = Dbt(dbt_project(), target(), firn_home() / "dbt" / "by_hand")
        self._hook = SubprocessHook()
        done = self._hook.run_command(dbt.command(*words), env={**os.environ, **TELL_NOBODY})
        if done.exit_code:
            raise AirflowFailException(f"dbt ended with exit code {done.exit_code}; see above.")

    def on_kill(self) -> None:
        """End dbt, which cancels its statements."""
        if self._hook:
            self._hook.send_sigterm()  # type: ignore[no-untyped-call]
