"""Swaps the two databases, unless that would lose a write, and swaps them back if it did.

A transaction that was open at the last check before the swap can still commit before the swap, or
while the swap waits. So both databases are compared once more after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from include.delivery.deployment import databases
from include.delivery.deployment.databases import PRODUCTION, STAGING
from include.delivery.deployment.errors import DeploymentError
from include.warehouse import catalogue

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

    from include.delivery.deployment.records import Book


def exchange(
    cursor: SnowflakeCursor,
    book: Book,
    since: Mapping[str, str] | None,
    refusal: Callable[[str], str],
) -> None:
    """Swap the databases.

    Args:
        cursor: of a session whose role owns both.
        book: records each step.
        since: the state of production, after which nothing may have been written; None if that
            does not matter.
        refusal: the message about tables that were written to before the swap.

    Raises:
        LostError: another deployment has the lock by now.
        DeploymentError: production was written to. It is as it was, including what was written.
    """
    coming = databases.state(cursor, STAGING)
    book.at("swap")
    replaced = databases.state(cursor, PRODUCTION)
    if since is not None and (written := databases.changed(since, replaced)):
        raise DeploymentError(refusal(listed(written)))
    book.about_to_swap(coming, replaced)
    book.still_alone()
    databases.swap(cursor)
    book.at("compare")
    found = databases.state(cursor, STAGING)
    if since is None:
        book.about_to_swap(coming, found)
    elif late := databases.changed(replaced, found):
        book.still_alone()
        databases.swap(cursor)
        stray = databases.changed(coming, databases.state(cursor, STAGING))
        raise DeploymentError(
            f"{PRODUCTION} was written to at the moment of the swap ({listed(late)}), so the swap "
            "was undone: production is as it was, including what was written. Pause what writes, "
            "let it end, and run this again."
            + (
                f" While {STAGING} was production, it was written to as well ({listed(stray)}): "
                "bring those rows over first, because the next deployment replaces it."
                if stray
                else ""
            )
        )


def left_behind(cursor: SnowflakeCursor, replaced: Mapping[str, str]) -> list[str]:
    """The tables of the replaced database that were written to after the swap.

    Args:
        cursor: of any session that sees both.
        replaced: the state of that database at the swap; empty if it is not known.

    Returns:
        schema and name of each; empty if that database was dropped since.
    """
    if not replaced or STAGING not in catalogue.databases(cursor):
        return []
    there = databases.state(cursor, STAGING)
    return sorted(name for name, time in there.items() if time and time != replaced.get(name))


def listed(names: Sequence[str]) -> str:
    """Names as part of a sentence, five at most."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
