"""What a deployment starts does not outlive it."""

from __future__ import annotations

import subprocess
import sys

import psutil  # type: ignore[import-untyped]
import pytest

from include.warehouse.connection import REPOSITORY

PROGRAM = """
import os, sys
from include.deployment.dbt import run_while_alive
child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
sys.exit(run_while_alive([sys.executable, "-c", child], os.environ))
"""


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
