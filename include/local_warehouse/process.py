"""Start, find and stop the server process of a data folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from .errors import WarehouseError

HOST = "127.0.0.1"
SETTLING_SECONDS = 10.0
"""How long a process that does not answer may take to begin to, or to be gone after a kill."""

CLOCK_SECONDS = 1.0
"""How far two readings of the same start may be apart, as the clock of the machine is set."""

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class LocalWarehouse:
    """Where a local warehouse keeps its data and listens.

    Args:
        folder: the data and the server's log.
        port: TCP port on 127.0.0.1.
        run_folder: the note of the running process.
        variables: what the server gets besides the variables of this process.
    """

    folder: Path
    port: int
    run_folder: Path
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def log(self) -> Path:
        """What the server said, oldest first."""
        return self.folder / "server.log"

    @property
    def note(self) -> Path:
        """Process id and port of the server that was started last."""
        return self.run_folder / "warehouse.pid"

    @property
    def environment(self) -> dict[str, str]:
        """What the server's process gets."""
        return {**os.environ, **self.variables}

    def health(self, timeout: float = 2.0) -> dict[str, Any] | None:
        """The server's own account of itself, or None if none answers for this folder."""
        try:
            address = f"http://{HOST}:{self.port}/health"
            with urllib.request.urlopen(address, timeout=timeout) as response:
                found: dict[str, Any] = json.load(response)
        except (OSError, ValueError, urllib.error.URLError):
            return None
        return found if found.get("folder") == str(self.folder.resolve()) else None

    def start(self, timeout: float = 60.0) -> bool:
        """Start the server and wait until it answers; False if it already ran.

        Raises:
            WarehouseError: the port is taken, or the server gave up; the text says why.
        """
        patience = time.monotonic() + SETTLING_SECONDS
        while not self.health():
            running = self._noted()
            if running is None:
                break
            if running["port"] != self.port or time.monotonic() > patience:
                raise WarehouseError(
                    f"A local warehouse of {self.folder} already runs on port {running['port']} as "
                    f"process {running['pid']}; stop it first with "
                    "`firn warehouse stop`."
                )
            time.sleep(0.1)
        else:
            return False
        self._refuse_taken_port()
        self.folder.resolve().mkdir(0o700, parents=True, exist_ok=True)
        self.run_folder.mkdir(parents=True, exist_ok=True)
        self._turn_log_over()
        # The server's umask does not apply: this process makes the file.
        self.log.touch(0o600)
        self.log.chmod(0o600)
        process = self._launch()
        deadline = time.monotonic() + timeout
        while not self.health():
            if process.poll() is not None:
                raise WarehouseError(self._last_words())
            if time.monotonic() > deadline:
                process.terminate()
                raise WarehouseError(
                    f"The local warehouse did not answer on port {self.port} within "
                    f"{timeout:.0f} s; see {self.log}."
                )
            time.sleep(0.1)
        self.note.write_text(
            json.dumps({"pid": process.pid, "port": self.port, "started": _started(process.pid)})
        )
        return True

    def stop(self, timeout: float = 30.0) -> bool:
        """Stop the server of this folder and wait for its end; False if none runs."""
        running = self._noted()
        if running is None:
            found = self.health()
            if found is None:
                return False
            running = {"pid": found["pid"]}
        pid = int(running["pid"])
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while _started(pid) is not None:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline += timeout
            time.sleep(0.05)
        self.note.unlink(missing_ok=True)
        return True

    def reset(self) -> None:
        """Delete all data of a stopped warehouse.

        Raises:
            WarehouseError: it still runs.
        """
        if self.health() or self._noted():
            raise WarehouseError(
                "The local warehouse runs; stop it with `firn warehouse stop` before resetting it."
            )
        # The folder may be a link to a larger disk.
        shutil.rmtree(self.folder.resolve(), ignore_errors=True)

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            __package__,
            f"--data={self.folder}",
            f"--port={self.port}",
        ]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _noted(self) -> dict[str, Any] | None:
        try:
            note: dict[str, Any] = json.loads(self.note.read_text())
        except (OSError, ValueError):
            return None
        # A process id is used again after a restart of the machine; its start time is not.
        started = _started(note["pid"])
        same = started is not None and abs(started - float(note["started"] or 0)) < CLOCK_SECONDS
        return note if same else None

    def _refuse_taken_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except OSError as error:
                raise WarehouseError(
                    f"Port {self.port} on {HOST} cannot be used ({error.strerror}); set "
                    "FIRN_LOCAL_PORT to another port."
                ) from None

    def _turn_log_over(self) -> None:
        if self.log.exists() and self.log.stat().st_size > 5 * 1024**2:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"The local warehouse ended at once; see {self.log}."


def _started(pid: int) -> float | None:
    """When a process was started, in seconds since the epoch; None if it has ended."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
