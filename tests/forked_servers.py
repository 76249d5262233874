"""Servers of local warehouses, forked from a process that has imported what a server needs.

The imports take seconds, and tests start a server often. `LocalWarehouse` does the rest as ever: it
waits for the server's answer, notes its process and stops it.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass

from include.local_warehouse.process import ROOT, LocalWarehouse

_parent: list[subprocess.Popen[str]] = []


@dataclass(frozen=True)
class Server:
    """A process that is not this one's child."""

    pid: int

    def poll(self) -> int | None:
        """None while it runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def terminate(self) -> None:
        """Ask it to end."""
        os.kill(self.pid, signal.SIGTERM)


def launch(warehouse: LocalWarehouse) -> Server:
    """In place of `LocalWarehouse._launch`: a server with this process's environment."""
    if not _parent:
        _parent.append(
            subprocess.Popen(
                [sys.executable, "-m", __name__],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
    stdin, stdout = _parent[0].stdin, _parent[0].stdout
    assert stdin
    assert stdout
    order = {
        "arguments": [f"--data={warehouse.folder}", f"--port={warehouse.port}"],
        "environment": warehouse.environment,
        "log": str(warehouse.log),
    }
    stdin.write(json.dumps(order) + "\n")
    stdin.flush()
    return Server(int(stdout.readline()))


def _serve_and_exit(arguments: list[str], environment: dict[str, str], log: str) -> None:
    from include.local_warehouse import serve

    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        written = os.open(log, os.O_WRONLY | os.O_APPEND)
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (written, 1), (written, 2)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[1:] = arguments
        serve.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """One order a line on standard input, one process id a line on standard output."""
    from include.local_warehouse import serve  # noqa: F401

    # What has ended leaves no zombie, and memory stays shared.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if not (child := os.fork()):
            _serve_and_exit(**order)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
