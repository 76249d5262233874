"""Errors as Snowflake reports them: a sentence, an error number, an SQL state."""

from __future__ import annotations

from snowflake.connector.errors import ProgrammingError


class WarehouseError(Exception):
    """The local warehouse cannot start, stop or go on; the text says why and what to do."""


def compilation_error(message: str) -> ProgrammingError:
    """A statement that Snowflake would refuse to compile (error 1003)."""
    return ProgrammingError(msg=f"SQL compilation error:\n{message}", errno=1003, sqlstate="42000")


def unsupported(what: str) -> ProgrammingError:
    """A Snowflake feature that needs an account (error 2, SQL state 0A000)."""
    return ProgrammingError(
        msg=f"{what} not supported by the local warehouse; run this statement on a Snowflake "
        "account.",
        errno=2,
        sqlstate="0A000",
    )


def cancelled() -> ProgrammingError:
    """A statement that its client, or the loss of it, ended (error 604)."""
    return ProgrammingError(msg="SQL execution canceled", errno=604, sqlstate="57014")


def no_container() -> ProgrammingError:
    """A schema or database that SHOW looks into and that does not exist (error 2043)."""
    return ProgrammingError(
        msg="SQL compilation error:\nObject does not exist, or operation cannot be performed.",
        errno=2043,
        sqlstate="02000",
    )


def not_found(kind: str, name: str) -> ProgrammingError:
    """An object that does not exist (error 2003)."""
    return ProgrammingError(
        msg=f"SQL compilation error:\n{kind} '{name}' does not exist or not authorized.",
        errno=2003,
        sqlstate="02000",
    )
