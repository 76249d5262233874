"""The command that shows what an account lacks, and brings it there."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from rich.console import Console

from include.delivery.account.declaration import (
    ACCOUNTADMIN,
    Declaration,
    Options,
    SetupError,
    warehouse_size,
)
from include.delivery.account.plan import Found, Step, apply, beyond, left_out, look, plan
from include.warehouse.connection import ConnectionSettings, connect

SHORTEST_KEY = 2048
"""Bits."""


def read_public_key(path: Path) -> str:
    """The base64 of a public key, as users have it, from a PEM file.

    Raises:
        SetupError: the file does not hold an RSA public key.
    """
    cure = "make it with `openssl rsa -in rsa_key.p8 -pubout -out rsa_key.pub`"
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path} cannot be read ({error.strerror}): {cure}.") from None
    if b"PRIVATE KEY" in pem:
        raise SetupError(f"{path} holds a private key, which is nobody's to give away: {cure}.")
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        raise SetupError(f"{path} holds no public key: {cure}.") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_KEY:
        raise SetupError(
            f"{path} holds a key that Snowflake does not take: make one of RSA with "
            f"{SHORTEST_KEY} bits or more."
        )
    lines = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().split("\n")
    return "".join(line for line in lines if not line.startswith("-----"))


def read_options(
    prefix: str,
    retention_days: int,
    sizes: Sequence[str],
    quotas: Sequence[str],
    keys: Sequence[str],
    addresses: Sequence[str],
) -> Options:
    """The options of the command, of which some are written as NAME=VALUE.

    Raises:
        SetupError: one cannot be used.
    """
    quota = {}
    for name, value in _pairs(quotas, "--quota", "TRANSFORMER=200").items():
        if not value.isdecimal():
            raise SetupError(f"--quota {name}={value} is no whole number of credits.")
        quota[name] = int(value)
    return Options(
        prefix=prefix,
        retention_days=retention_days,
        sizes={
            name: warehouse_size(size)
            for name, size in _pairs(sizes, "--size", "TRANSFORMER=SMALL").items()
        },
        quotas=quota,
        public_keys={
            name: read_public_key(Path(path))
            for name, path in _pairs(keys, "--key", "AIRFLOW=rsa_key.pub").items()
        },
        addresses=tuple(addresses),
    )


def _pairs(given: Sequence[str], option: str, example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not (name.strip() and sign and value.strip()):
            raise SetupError(f"{option} {one} is not of the form {option} {example}.")
        found[name.strip().upper()] = value.strip()
    return found


def set_up(
    declaration: Declaration, settings: ConnectionSettings, console: Console, *, do: bool
) -> None:
    """Show what the account lacks; do it if that is asked for, or agreed to.

    Raises:
        SetupError: the account refused something, or a key has no place.
        WarehouseUnreachableError: it takes no connection.
    """
    # Any lesser role would not be shown all that there is, and the plan would make it once more.
    with (
        connect(settings, role=ACCOUNTADMIN, query_tag={"task": "setup"}) as connection,
        connection.cursor() as cursor,
    ):
        found = look(cursor, declaration)
        steps = plan(declaration, found)
        show(declaration, found, steps, console)
        if not steps:
            return
        if not do:
            if not sys.stdin.isatty():
                console.print("Nothing was done: add --apply to do it.")
                return
            do = typer.confirm("Do all of it?")
        if not do:
            console.print("Nothing was done.")
            return

        def say(number: int, step: Step) -> None:
            console.print(f"{number:>4} of {len(steps)}  {step.what}", soft_wrap=True)

        apply(cursor, steps, say)
        console.print(f"Done: {len(steps)} steps. Run it again to see that nothing is left.")


def show(declaration: Declaration, found: Found, steps: Sequence[Step], console: Console) -> None:
    """What there is, what would be done, and what cannot be."""
    there = _there(declaration, found)
    console.print("There already: " + ", ".join(f"{n} {what}" for what, n in there.items()) + ".")
    for verb, heading in (
        ("create", "Would be created"),
        ("change", "Would be changed"),
        ("grant", "Would be granted"),
    ):
        if chosen := [step for step in steps if step.verb == verb]:
            console.print(f"\n{heading} ({len(chosen)}):", style="bold")
            for step in chosen:
                console.print(f"  {step.what}  [dim]{step.role}[/dim]", soft_wrap=True)
    if more := beyond(declaration, found):
        console.print(f"\nNot declared, and left as it is ({len(more)}):", style="bold red")
        for line in more:
            console.print(f"  {line}", soft_wrap=True)
    for sentence in left_out(declaration, found):
        console.print(f"\n{sentence}", style="dim", soft_wrap=True)
    console.print()
    if not steps:
        console.print("Nothing to do: the account has all of it.")


def _there(declaration: Declaration, found: Found) -> Mapping[str, int]:
    return {
        "databases": sum(one.name in found.databases for one in declaration.databases),
        "schemas": sum(one.name in found.schemas for one in declaration.schemas),
        "stages": sum(one.name in found.stages for one in declaration.stages),
        "roles": len(found.roles),
        "warehouses": sum(one.name in found.warehouses for one in declaration.warehouses),
        "resource monitors": sum(one.name in found.monitors for one in declaration.warehouses),
        "users": len(found.users),
    }
