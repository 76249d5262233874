"""What a deployment starts does not outlive it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from include.delivery.deployment import dbt, records
from include.delivery.deployment.dbt import run_while_alive
from include.delivery.deployment.errors import LostError
from include.delivery.deployment.records import Book
from include.warehouse.connection import REPOSITORY, ConnectionSettings

PROGRAM = """
import os, sys
from include.delivery.deployment.dbt import run_while_alive
child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
sys.exit(run_while_alive([sys.executable, "-c", child], os.environ, lambda: None))
"""

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, file=open(sys.argv[1], "w"), flush=True)
time.sleep(60)
"""


def test_a_program_that_is_to_end_ends_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbt, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(dbt, "END_SECONDS", 0.2)
    told = tmp_path / "pid"
    children: list[psutil.Process] = []

    def check() -> None:
        if told.exists() and (pid := told.read_text().strip()):
            children.append(psutil.Process(int(pid)))
            children.append(children[0].parent())
            raise LostError("Another one took over.")

    with pytest.raises(LostError):
        run_while_alive([sys.executable, "-c", STUBBORN, str(told)], os.environ, check)
    gone, alive = psutil.wait_procs(children, timeout=5)
    assert len(gone) == 2
    assert not alive


def test_a_right_that_could_not_be_renewed_is_given_up_before_it_is_taken(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    now = time.monotonic()
    clean_environment.setattr("time.monotonic", lambda: now)
    book = Book(ConnectionSettings())
    book.check()
    book._renewed = now - records.SILENT_SECONDS + 20
    book.check()
    now += 1
    with pytest.raises(LostError, match="did not answer for 100 seconds"):
        book.check()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_killed_deployment_leaves_no_dbt_behind() -> None:
    deployment = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert deployment.stdout is not None
    child = psutil.Process(int(deployment.stdout.readline()))
    deployment.kill()
    deployment.wait(30)
    gone, alive = psutil.wait_procs([child], timeout=20)
    assert gone
    assert not alive
