"""``firn ci``: what happens to a pull request."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from include.core.settings import Builds
from include.delivery.pull_requests import schemas, text
from include.delivery.pull_requests.errors import CiError
from include.delivery.pull_requests.github import API, BOT, GitHub
from include.delivery.pull_requests.slim import Outcome, make_plan, slim_build
from include.delivery.pull_requests.state import commit_of, find_base, fork_point
from include.warehouse.connection import (
    ConnectionSettings,
    get_settings,
)

app = typer.Typer()
ci = typer.Typer(no_args_is_help=True)
app.add_typer(ci, name="ci")
console = Console(highlight=False, markup=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

BaseOption = Annotated[
    str | None,
    typer.Option(help="The commit to compare with; where the branch left main by default."),
]
CommentOption = Annotated[
    Path | None, typer.Option(help="Write the comment's text into this file.")
]


@ci.callback()
def _ci() -> None:
    """What happens to a pull request: its slim build, its comment, its clean-up."""


@ci.command()
def build(
    base: BaseOption = None,
    comment: CommentOption = None,
) -> None:
    """Build and test what the pull request changes, in schemas of its own in ANALYTICS_CI."""
    with _told_if_not_done():
        settings = _ci_settings()
        sha = commit_of(base) if base else fork_point()
        folder = settings.dbt_home / "ci" / f"pr_{settings.firn_pr_number}"
        found = find_base(settings, sha, folder / "base")
        console.print(found.how)
        plan = make_plan(settings, found, folder)
        console.print(f"To build or test: {len(plan.selected)} nodes")
        outcome = slim_build(settings, plan, folder, say=console.print)
        said = text.comment(outcome)
        if comment:
            comment.write_text(said, encoding="utf-8")
        _tell_workflow(said)
    console.print(f"\n{said}")
    _end(outcome)


@ci.command()
def rehearse(
    base: BaseOption = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(help="Only what belongs to this domain; all that are touched by default."),
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="The pull request that is played.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave what was built.")] = False,
    comment: CommentOption = None,
) -> None:
    """Do on the local warehouse what happens to a pull request; no account is touched."""
    # Only here: a runner that drops schemas needs no sample data.
    from include.delivery.pull_requests.rehearsal import rehearsal_settings, rehearse
    from include.project.domains import pipelines

    known = pipelines()
    chosen = set(domain or ())
    if unknown := sorted(chosen - set(known)):
        raise CiError(f"There is no domain {', '.join(unknown)}: choose from {', '.join(known)}.")
    outcome = rehearse(
        commit_of(base) if base else fork_point(),
        known,
        rehearsal_settings("ci", number).dbt_home / "ci" / "rehearsal",
        number=number,
        domains=chosen,
        keep=keep,
        say=console.print,
    )
    said = text.comment(outcome)
    if comment:
        comment.write_text(said, encoding="utf-8")
    console.rule("The comment")
    Console(highlight=False).print(Markdown(said.removeprefix(text.MARKER)))
    _end(outcome)


@ci.command(name="comment")
def write_comment(
    file: Annotated[
        Path | None, typer.Option(help="The text; read from the standard input by default.")
    ] = None,
) -> None:
    """Write the comment on the pull request, or bring it up to date where it stands."""
    said = file.read_text(encoding="utf-8") if file else sys.stdin.read()
    with _github() as github:
        done = github.say(_number(), said)
    console.print(f"The comment on pull request {_number()} is {done}.")


@ci.command()
def drop() -> None:
    """Drop the schemas of the pull request."""
    settings = _ci_settings()
    gone = schemas.drop(settings, settings.firn_pr_number or 0)
    console.print(f"Dropped: {', '.join(gone)}" if gone else "There was nothing to drop.")


@ci.command()
def sweep(
    days: Annotated[
        float, typer.Option(min=0, help="Leave what has changed within so many days.")
    ] = 7,
    github: Annotated[
        bool,
        typer.Option("--github/--no-github", help="Ask GitHub; only closed ones are swept then."),
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Drop the schemas of pull requests in which nothing has changed for some days."""
    # All pull requests are meant, and target ci wants the number of one.
    settings = _ci_settings(number=1)
    age = timedelta(days=days)
    if github:
        with _github() as asked:
            swept = schemas.sweep(settings, age, asked.state, dry_run=dry_run)
    else:
        swept = schemas.sweep(settings, age, dry_run=dry_run)
    table = Table(
        "pull request", "last change", "would go" if dry_run else "gone", "kept", box=None
    )
    for one in swept:
        days_ago = f"{one.age / timedelta(days=1):.1f} days ago"
        table.add_row(str(one.number), days_ago, ", ".join(one.dropped), one.kept)
    console.print(table if swept else "No pull request has schemas.")


def _ci_settings(number: int | None = None) -> ConnectionSettings:
    settings = get_settings() if number is None else ConnectionSettings(firn_pr_number=number)
    if settings.target != "ci":
        raise CiError(
            f"FIRN_TARGET is {settings.target}, and pull requests are built on ci: set "
            "FIRN_TARGET=ci."
        )
    return settings


def _number() -> int:
    if not (number := Builds().firn_pr_number):
        raise CiError("FIRN_PR_NUMBER is not set: set it to the number of a pull request.")
    return number


def _github() -> GitHub:
    return GitHub(
        os.environ.get("GITHUB_REPOSITORY", ""),
        SecretStr(os.environ.get("GITHUB_TOKEN", "")),
        api=os.environ.get("GITHUB_API_URL") or API,
        author=os.environ.get("GITHUB_COMMENT_AUTHOR") or BOT,
    )


def _tell_workflow(said: str) -> None:
    """Hand the comment to the workflow's next job, and show it on the page of the run."""
    if output := os.environ.get("GITHUB_OUTPUT"):
        # Nobody can foresee the line that ends the text.
        end = uuid.uuid4().hex
        with Path(output).open("a", encoding="utf-8") as file:
            file.write(f"comment<<{end}\n{said}{end}\n")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(said)


@contextmanager
def _told_if_not_done() -> Iterator[None]:
    """Let no comment of an earlier push stand as if it were about this one."""
    try:
        yield
    except Exception:
        _tell_workflow(text.not_done())
        raise


def _end(outcome: Outcome) -> None:
    if outcome.failed:
        raise typer.Exit(1)
