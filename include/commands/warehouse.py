"""``firn warehouse``, ``sql``, ``doctor`` and ``setup``: the configured warehouse."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from include.commands.doctor import doctor as run_doctor
from include.core.settings import LocalServer
from include.delivery.account import create_databases
from include.delivery.account.command import read_options, set_up
from include.delivery.account.declaration import configured_prefix, declare
from include.delivery.account.plan import script
from include.delivery.account.privileges import matrix
from include.local_warehouse.process import LocalWarehouse
from include.warehouse.connection import (
    ConnectionSettings,
    connect,
    get_settings,
)

app = typer.Typer()
warehouse = typer.Typer(no_args_is_help=True)
app.add_typer(warehouse, name="warehouse")
console = Console()


@warehouse.callback()
def _warehouse() -> None:
    """Start, stop and look at the local Snowflake-compatible warehouse."""


def local_warehouse(settings: ConnectionSettings | None = None) -> LocalWarehouse:
    """The local warehouse that the settings name."""
    settings = settings or get_settings()
    return LocalWarehouse(
        settings.warehouse_home,
        settings.port,
        settings.run_home,
        settings.variables(*LocalServer.model_fields),
    )


@warehouse.command()
def start() -> None:
    """Start the local warehouse, with the databases that the project uses."""
    settings = get_settings()
    local = local_warehouse(settings)
    started = local.start()
    create_databases(settings)
    verb = "Started" if started else "Already running:"
    console.print(f"{verb} the local warehouse on 127.0.0.1:{local.port}, data in {local.folder}.")


@warehouse.command()
def stop() -> None:
    """Stop the local warehouse; the data stays."""
    stopped = local_warehouse().stop()
    console.print(
        "Stopped the local warehouse." if stopped else "The local warehouse does not run."
    )


@warehouse.command()
def status() -> None:
    """Say whether the local warehouse runs, and how busy it is; exit code 1 if it does not."""
    local = local_warehouse()
    health = local.health()
    if health is None:
        console.print(f"The local warehouse does not run (port {local.port}, {local.folder}).")
        raise typer.Exit(1)
    table = Table(show_header=False, box=None)
    table.add_column()
    # A path in full can be copied.
    table.add_column(overflow="fold")
    for key in ("folder", "pid", "databases", "sessions", "locks"):
        table.add_row(key, str(health[key]))
    table.add_row("free disk", f"{health['free_bytes'] / 1024**3:.1f} GiB")
    table.add_row("log", str(local.log))
    table.add_row("password", get_settings().local_login.origin)
    console.print(table)


@warehouse.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
) -> None:
    """Delete all data of the stopped local warehouse."""
    local = local_warehouse()
    if not yes:
        typer.confirm(f"Delete everything in {local.folder}?", abort=True)
    local.reset()
    console.print(f"Deleted {local.folder}.")


@app.command()
def sql(
    statement: Annotated[
        str | None, typer.Argument(help="One or more statements; standard input without it.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Rows shown of each result.", min=1)] = 100,
) -> None:
    """Run SQL on the configured warehouse and print the results."""
    text = statement if statement is not None else sys.stdin.read()
    with connect() as connection:
        for cursor in connection.execute_string(text):
            columns = [column.name for column in cursor.description or []]
            rows = cursor.fetchmany(limit)
            table = Table(*columns)
            for row in rows:
                table.add_row(*("" if value is None else str(value) for value in row))
            console.print(table)
            console.print(f"{len(rows)} of {cursor.rowcount or 0} rows", style="dim")


@app.command()
def doctor() -> None:
    """Say what is configured, what is missing, and what to set."""
    raise typer.Exit(run_doctor())


@app.command()
def setup(
    do: Annotated[bool, typer.Option("--apply", help="Do it, without asking.")] = False,
    show_sql: Annotated[
        bool,
        typer.Option("--print", help="Print all statements, and connect to nothing."),
    ] = False,
    show_matrix: Annotated[
        bool,
        typer.Option("--matrix", help="Print who may do what, and connect to nothing."),
    ] = False,
    key: Annotated[
        list[str] | None,
        typer.Option(help="SERVICE=FILE: a public key, for the user AIRFLOW or GITHUB."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="An address, or a range, that services log in from; any by default."),
    ] = None,
    size: Annotated[
        list[str] | None, typer.Option(help="ROLE=SIZE of a warehouse; XSMALL by default.")
    ] = None,
    quota: Annotated[
        list[str] | None, typer.Option(help="ROLE=CREDITS that a warehouse may use in a month.")
    ] = None,
    retention_days: Annotated[
        int,
        typer.Option(help="Days that RAW and ANALYTICS can be taken back; above 1, Enterprise."),
    ] = 1,
    prefix: Annotated[
        str | None,
        typer.Option(help="How names of roles, warehouses and users begin; FIRN_PREFIX else."),
    ] = None,
) -> None:
    """Show what an account lacks: databases, roles, grants, warehouses, users; and do it.

    Nothing is done without --apply, or a yes. It stops at the first statement that is refused, and
    can be run again.
    """
    options = read_options(
        prefix or configured_prefix(),
        retention_days,
        size or [],
        quota or [],
        key or [],
        allow or [],
    )
    declaration = declare(options)
    if show_matrix:
        typer.echo(matrix(declaration, options.prefix.upper()), nl=False)
    elif show_sql:
        typer.echo(script(declaration), nl=False)
    else:
        set_up(declaration, get_settings(), console, do=do)
