"""Deploys a small project again and again, and is killed at another step each time.

Prints, as JSON, the version that production's readers see after each time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from include.delivery.deployment import run
from include.delivery.deployment.dbt import DeployedProject
from include.delivery.deployment.errors import DeploymentError
from include.delivery.deployment.records import Book
from include.warehouse.connection import connect, get_settings
from tests.integration import small_project


def in_a_child(work: Callable[[], object]) -> int:
    """Run in a process of its own; its exit code, negative for a signal."""
    if not (child := os.fork()):
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(last: str) -> None:
    """Let this process be killed when a deployment has entered that it is at this step."""
    real = Book.at

    def at(self: Book, step: str) -> None:
        real(self, step)
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    Book.at = at  # type: ignore[method-assign]


def main() -> None:
    folder, steps = Path(sys.argv[1]), sys.argv[2:]
    os.environ["DBT_PROJECT_DIR"] = str(folder)
    DeployedProject._run = small_project.run_in_process  # type: ignore[method-assign]
    seen = []

    def look(into: Path) -> None:
        with connect(get_settings()) as connection, connection.cursor() as cursor:
            cursor.execute("select max(version) from ANALYTICS.MART.MART_SMALL_VIEW")
            (row,) = cursor.fetchall()
        into.write_text(str(row[0]))

    for number, step in enumerate(steps):
        small_project.write(folder, version=2 + number)

        def deploy(number: int = number, last: str = step) -> None:
            kill_at(last)
            run.deploy(run.Wanted(small_project.SHAS[3 + number]), get_settings())

        def next_one() -> None:
            # The killed one's lock holds until it is broken, or two minutes have passed.
            with pytest.raises(DeploymentError, match=r"in progress since .* last heard of"):
                run.deploy(run.Wanted("0" * 40), get_settings())
            assert Book(get_settings()).unlock(force=True)

        assert in_a_child(deploy) == -signal.SIGKILL, step
        assert in_a_child(lambda: look(folder / "seen")) == 0
        seen.append(int((folder / "seen").read_text()))
        assert in_a_child(next_one) == 0, step
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
