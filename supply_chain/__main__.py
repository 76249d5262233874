"""``python -m supply_chain``: what the project is made of, and whether it may be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from supply_chain import licences as licence_check
from supply_chain import vulnerabilities
from supply_chain.policy import REPOSITORY, Policy, PolicyError, locked

NOT_ASKED = 3
"""Exit code of `vulnerabilities` when it is not known whether there are some."""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
console = Console(highlight=False, soft_wrap=True, markup=False)
Lock = Annotated[Path, typer.Option(help="The lock to look at.")]


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except (PolicyError, subprocess.TimeoutExpired) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@app.command()
def licences(lock: Lock = REPOSITORY / "requirements-dev.txt") -> None:
    """Compare the licences of installed packages with the policy; 1 if one is not allowed."""
    with _one_sentence():
        result = licence_check.check(locked(lock), licence_check.installed(), Policy.read())
    for problem in result.problems:
        console.print(problem)
    if result.absent:
        console.print(f"Not installed here, so not checked: {', '.join(result.absent)}.")
    console.print(f"Licences of {result.checked} packages: {len(result.problems)} not allowed.")
    raise typer.Exit(1 if result.problems else 0)


@app.command("vulnerabilities")
def known_vulnerabilities(
    lock: Lock = REPOSITORY / "requirements-image.txt",
    service: Annotated[str, typer.Option(help="Whom to ask: pypi or osv.")] = "pypi",
) -> None:
    """Ask for known vulnerabilities of a lock; 1 if there are some, 3 if nobody could be asked."""
    with _one_sentence():
        if service not in vulnerabilities.SERVICES:
            raise PolicyError(f"The service is {service!r}: set it to pypi or osv.")
        locked(lock)
        audit = vulnerabilities.judge(vulnerabilities.ask(lock, service), Policy.read())
    for sentence in (*audit.found, *audit.overdue):
        console.print(sentence)
    if audit.not_asked:
        console.print(f"NOT KNOWN: {audit.not_asked}. Run this where the service can be reached.")
    console.print(
        f"Vulnerabilities of {lock.name}: {len(audit.found)} in {audit.asked} packages that were "
        "asked about."
    )
    if audit.found or audit.overdue:
        raise typer.Exit(1)
    raise typer.Exit(NOT_ASKED if audit.not_asked else 0)


@app.command()
def sbom(
    output: Annotated[Path, typer.Argument(help="Where to write it.")],
    lock: Lock = REPOSITORY / "requirements-image.txt",
) -> None:
    """Write the bill of materials of a lock, in CycloneDX's JSON; the same for the same lock."""
    with _one_sentence():
        packages = locked(lock)
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible"]
    # Says what the bill is of: name, version and licence.
    command += ["--pyproject", str(REPOSITORY / "pyproject.toml")]
    made = subprocess.run(
        [*command, "--of", "JSON", "--output-file", str(output), str(lock)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        typer.echo(f"The bill of materials cannot be made: {made.stderr.strip()}", err=True)
        raise typer.Exit(2)
    console.print(f"{output}: {len(packages)} packages.")


if __name__ == "__main__":
    app()
