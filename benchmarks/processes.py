"""``python -m benchmarks.processes LOG COMMAND…``: what a command and all it starts take.

Prints, as JSON, the command's exit code and seconds, and the processor seconds of every process
that descends from it. What it leaves running is stopped.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

PR_SET_CHILD_SUBREAPER = 36
PATIENCE_SECONDS = 30


def measure(command: list[str], log: Path) -> dict[str, float]:
    """Run a command in a process that has no other children.

    Args:
        command: with its arguments.
        log: for what it prints.
    """
    # Servers are started by processes that end first. As a subreaper, this process becomes their
    # parent then. So the kernel adds the time of every process that has ended to this one's account
    # of its children, however short it ran, and those that still run are found below this one.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.monotonic()
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        while (ended := os.wait())[0] != child.pid:
            pass
        child.returncode = os.waitstatus_to_exitcode(ended[1])
        seconds = time.monotonic() - began
    finally:
        _stop_what_is_left()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "code": child.returncode,
        "seconds": seconds,
        "processor_seconds": used.ru_utime + used.ru_stime,
    }


def _stop_what_is_left() -> None:
    """Stop every descendant and wait for its end, which also settles its account."""
    asked: set[int] = set()
    patience = time.monotonic() + PATIENCE_SECONDS
    while left := psutil.Process().children(recursive=True):
        for one in left:
            with suppress(psutil.NoSuchProcess):
                if time.monotonic() > patience:
                    one.kill()
                elif one.pid not in asked:
                    one.terminate()
            asked.add(one.pid)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.05)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[2:], Path(sys.argv[1]))))
