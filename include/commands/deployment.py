"""``firn deploy``, ``rollback`` and ``deployment``: a commit into production and back."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from include.core.settings import REPOSITORY
from include.delivery.deployment.databases import PRODUCTION, STAGING, build_of
from include.delivery.deployment.errors import DeploymentError
from include.delivery.deployment.pipelines import Pipelines
from include.delivery.deployment.records import Book
from include.delivery.deployment.run import Deployed, Publish, Wanted, deploy, roll_back
from include.delivery.deployment.settings import DeploymentSettings
from include.warehouse.connection import (
    ConnectionSettings,
    connect,
    get_settings,
)

app = typer.Typer()
deployment = typer.Typer(no_args_is_help=True)
app.add_typer(deployment, name="deployment")


@deployment.callback()
def _deployment() -> None:
    """Look at deployments, and release the lock of a dead one."""


console = Console(highlight=False, markup=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@app.command("deploy")
def deploy_command(
    sha: Annotated[
        str | None,
        typer.Option(help="The commit that is checked out; git is asked without it."),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(help="Build this domain alone; may be repeated. All without it."),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="A mart that may be empty or differ from production; may be repeated."),
    ] = None,
    despite_changes: Annotated[
        bool,
        typer.Option("--despite-changes", help="Swap although production was written to."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also if production is built from this commit.")
    ] = False,
    accept_grants: Annotated[
        bool,
        typer.Option(
            "--accept-grants",
            help="Swap even if that changes grants that nobody has declared.",
        ),
    ] = False,
    discard_left_behind: Annotated[
        bool,
        typer.Option(
            "--discard-left-behind",
            help=f"Replace {STAGING} even if rows were committed there after the last swap.",
        ),
    ] = False,
) -> None:
    """Build the checked-out commit beside production, test it, and let the two change names."""
    wanted = Wanted(
        sha or checked_out(REPOSITORY),
        domain or (),
        accept or (),
        despite_changes,
        again,
        accept_grants,
        discard_left_behind,
    )
    settings = get_settings()
    _tell(deploy(wanted, settings, publish=_publisher(settings), say=console.print))


@app.command()
def rollback(
    yes: Annotated[
        bool, typer.Option("--yes", help="Also if something that was written since is lost.")
    ] = False,
) -> None:
    """Let production be what it was before the last deployment."""
    _tell(roll_back(get_settings(), yes=yes, say=console.print))


@deployment.command()
def status() -> None:
    """Say what both databases are built from, and what the last deployments did."""
    settings = get_settings()
    book = Book(settings)
    latest, holder, paused = book.latest(10), book.holder(), book.paused()
    with connect(settings) as connection, connection.cursor() as cursor:
        for database in (PRODUCTION, STAGING):
            build = build_of(cursor, database)
            said = "built by no deployment"
            if build:
                said = f"built from {build.sha} by {build.deployment_id}"
                said += "" if build.is_complete else ", unfinished"
            console.print(f"{database}: {said}")
    if holder:
        console.print(f"{holder}.")
    if paused:
        console.print(
            f"Paused by a deployment: {', '.join(paused)}. "
            "If none is in progress, `unlock` resumes them."
        )
    if not latest:
        console.print("Nothing was deployed yet.")
        return
    table = Table("began (UTC)", "what", "commit", "became", "at", "by", box=None)
    for one in latest:
        table.add_row(
            f"{one.started_at:%Y-%m-%d %H:%M}",
            one.kind,
            (one.sha or "")[:10],
            one.status,
            one.step,
            one.who,
        )
    console.print(table)
    for one in latest:
        if one.reason:
            console.print(f"{one.deployment_id}: {one.reason}")


@deployment.command()
def unlock(
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Even if that deployment is alive: it then ends its dbt and stops."
        ),
    ] = False,
) -> None:
    """Release the lock of a deployment that is dead, so that another one can begin.

    Pipelines that it has paused are resumed.
    """
    book = Book(get_settings())
    freed = book.unlock(force=force)
    console.print(f"{freed}. Its lock is released." if freed else "No deployment is in progress.")
    pipelines = Pipelines(DeploymentSettings().airflow, book, console.print)
    pipelines.recall()
    pipelines.resume()
    if pipelines.left:
        errors.print(pipelines.left, style="yellow")
        raise typer.Exit(1)


def checked_out(repository: Path) -> str:
    """The commit that is checked out, if what stands there is that commit.

    Raises:
        DeploymentError: git cannot say, or files were changed since.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DeploymentError(
                f"git does not know which commit {repository} holds: name it with --sha."
            )
        return done.stdout.strip()

    if changed := git("status", "--porcelain", "--untracked-files=no"):
        first = changed.splitlines()[0].split(maxsplit=1)[-1]
        raise DeploymentError(
            f"{first} is changed and not committed: what is deployed must be a commit."
        )
    return git("rev-parse", "HEAD")


def _publisher(settings: ConnectionSettings) -> Publish:
    def publish(folder: Path) -> None:
        # Looking for pipelines takes Airflow, which takes seconds to import.
        from include.monitoring.elementary import report_writer
        from include.monitoring.site import build_report

        build_report(folder, settings, write_elementary=report_writer(), say=console.print)

    return publish


def _tell(done: Deployed) -> None:
    console.print(done.message)
    if done.left:
        errors.print(done.left, style="yellow")
        raise typer.Exit(1)
