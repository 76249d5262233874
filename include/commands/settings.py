"""``firn settings``: every setting, its value and where it comes from."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Annotated

import typer
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from include.core.logs import HIDDEN, secrets
from include.core.settings import (
    GROUPS,
    PATH,
    SECRETS,
    TEXT,
    ConfigurationError,
    origin,
    written,
)

app = typer.Typer()


@app.command()
def settings(
    as_example: Annotated[
        bool, typer.Option("--example", help="Print .env.example instead.")
    ] = False,
    as_page: Annotated[
        bool, typer.Option("--page", help="Print docs/settings.md instead.")
    ] = False,
) -> None:
    """Show every setting, its value now, and where that comes from; secrets are hidden."""
    if as_example or as_page:
        typer.echo(example() if as_example else page(), nl=False)
    else:
        Console().print(settings_table())


def settings_table() -> Table:
    """Every setting, its value and where that comes from."""
    table = Table(title="Settings", title_justify="left")
    for heading in ("variable", "value", "from"):
        table.add_column(heading, overflow="fold")
    hidden = secrets()
    try:
        given = written()
    except ConfigurationError:  # reported beside the table
        given = dict(os.environ)
    for fields in _sections().values():
        for name, field in fields.items():
            if given.get(name):
                value, where = given[name], Path(origin(name)).name.removeprefix("the ")
            else:
                made = field.default_factory
                value = str(made()) if made else _default(field)  # type: ignore[call-arg]
                where = "default" if value else ""
            if name in SECRETS:
                value = "set" if value else ""
            for secret in hidden:
                value = value.replace(secret, HIDDEN)
            table.add_row(name, escape(value) or "not set", where)
        table.add_section()
    return table


# -- what is made from them ------------------------------------------------------------------------

_EXAMPLE = """\
# The settings of Firn. Copy this file to .env and fill in what you need: on the local target,
# nothing. A variable in the environment overrides the same one here. `make doctor` says what is
# set, what is missing and whether the warehouse answers.
#
# dbt started by hand does not read .env; load it first with: set -a; . ./.env; set +a
#
# This file is made by: firn settings --example > .env.example
"""

_PAGE = """\
# Settings

A variable in the environment overrides the same one in `.env`, beside the Makefile. An empty value
counts as not set. `.env.example` is a file to start from. A relative path starts at the repository.

`firn settings` shows each setting, its value and where it comes from. `make doctor` also says what
is wrong or missing, and names variables that nothing reads. Commands check what they use.

This page is made by `firn settings --page > docs/settings.md`.
"""


def _sections() -> dict[str, dict[str, FieldInfo]]:
    """The settings below the headings of their sections."""
    found: dict[str, dict[str, FieldInfo]] = {}
    for group in GROUPS:
        fields = {name.upper(): field for name, field in group.model_fields.items()}
        found.setdefault(str(group.model_config["title"]), {}).update(fields)
    return found


def _default(field: FieldInfo) -> str:
    """A setting's default, where that is a fixed value."""
    value = None if field.default_factory else field.default
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def example() -> str:
    """The content of `.env.example`."""
    lines = [_EXAMPLE]
    for title, fields in _sections().items():
        lines.append(f"# --- {title} ".ljust(100, "-") + "\n")
        before = None
        for name, field in fields.items():
            text = str(field.description) + (" A secret." if name in SECRETS else "")
            if field.title not in {PATH, TEXT, before}:
                text += f"\nValue: {field.title}."
            before = field.title
            for line in text.splitlines():
                lines += textwrap.wrap(f"# {line}", 100, subsequent_indent="# ")
            (value,) = field.examples or [None]
            lines.append(f"# {name}={value or _default(field)}\n")
    return "\n".join(lines)


def page() -> str:
    """The content of `docs/settings.md`."""
    lines = [_PAGE]
    for title, fields in _sections().items():
        lines += [f"## {title}\n", "| setting | what for | what it may be | default |"]
        lines.append("|---|---|---|---|")
        for name, field in fields.items():
            expected = "a secret" if name in SECRETS else str(field.title)
            cells = [f"`{name}`", str(field.description), expected, _default(field)]
            cells = [cell.replace("\n", "<br>").replace("|", "\\|") for cell in cells]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)
