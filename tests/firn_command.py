"""The commands of ``firn``, for tests of what names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from include.commands.firn import app

ROOT: Any = typer.main.get_command(app)


def command_of(words: Sequence[str]) -> tuple[Any, list[str]]:
    """The command that words begin with, and the words after it.

    A group without one of its commands is found as itself.
    """
    found, rest = ROOT, list(words)
    while rest and hasattr(found, "get_command"):
        following = found.get_command(None, rest[0])
        if following is None:
            break
        found, rest = following, rest[1:]
    return found, rest
