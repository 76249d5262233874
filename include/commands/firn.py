"""The command ``firn``.

Exit codes: 0 if it is done, 1 if something that was loaded, built or tested failed, 2 if the
command could not do its work, 70 if Firn itself is at fault.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any

import typer
from snowflake.connector.errors import Error as SnowflakeError
from typer.core import TyperGroup

from include.core.errors import UserError
from include.core.logs import start_command
from include.local_warehouse.errors import WarehouseError
from include.local_warehouse.login import LocalLoginError

DEFECT = 70
"""Exit code of a defect, as sysexits.h has it."""

_MODULES = {
    "airflow": ("airflow", "down", "manifest", "up"),
    "backfill": ("backfill",),
    "ci": ("ci",),
    "demo": ("demo",),
    "deployment": ("deploy", "deployment", "rollback"),
    "loading": ("load", "reconcile", "rejected", "schema", "sources"),
    "monitoring": ("monitoring", "report", "schedules"),
    "new": ("new",),
    "retention": ("retention",),
    "sample": ("sample",),
    "settings": ("settings",),
    "warehouse": ("doctor", "setup", "sql", "warehouse"),
    "workbook": ("workbook",),
}
"""The commands of each module, which is imported only for them: together they take seconds."""

_HOMES = {command: module for module, commands in _MODULES.items() for command in commands}


class Firn(TyperGroup):
    """All commands; what a user can mend ends each of them with a sentence and exit code 2."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """The names in alphabetical order."""
        return sorted(_HOMES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, or None."""
        if not (module := _HOMES.get(cmd_name)):
            return None
        app = importlib.import_module(f"include.commands.{module}").app
        # Without a callback, Typer would make a single command the whole of the application.
        app.callback()(lambda: None)
        group = typer.main.get_group(app)
        return group.get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (UserError, WarehouseError, LocalLoginError) as error:
            said = str(error)
        except SnowflakeError as error:
            said = " ".join(str(error.raw_msg or error).split())
        except OSError as error:
            if error.errno is None:
                raise
            said = (
                f"{error.filename or 'A file or connection'} failed ({error.strerror}): run again."
            )
        typer.secho(said, fg="red", err=True)
        raise typer.Exit(2)


app = typer.Typer(cls=Firn, no_args_is_help=True, help="Firn: pipelines on Snowflake.")


@app.callback()
def _firn() -> None:
    """Run, look after and deploy the pipelines, on this machine and on Snowflake."""


def main() -> None:
    """Run the command that the arguments name."""
    start_command()
    try:
        app(prog_name="firn")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        sys.stderr.write("This is a defect of Firn: please report it with the lines above.\n")
        sys.exit(DEFECT)
