"""A local warehouse of its own for a benchmark, in a temporary folder and on a free port."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from include.delivery.account import create_databases
from include.local_warehouse.process import LocalWarehouse
from include.warehouse.connection import LOCAL_HOST, ConnectionSettings


@dataclass(frozen=True)
class OwnWarehouse:
    """A local warehouse that runs.

    Attributes:
        settings: of it.
        process: starts and stops it.
    """

    settings: ConnectionSettings
    process: LocalWarehouse

    @property
    def pid(self) -> int:
        """The server's process id."""
        return int((self.process.health() or {})["pid"])


@contextmanager
def own_warehouse() -> Iterator[OwnWarehouse]:
    """Start one with the project's databases; it is stopped and removed after."""
    with temporary_folder() as home:
        settings = own_settings(home)
        process = LocalWarehouse(settings.warehouse_home, settings.port, settings.run_home)
        process.start()
        try:
            create_databases(settings)
            yield OwnWarehouse(settings, process)
        finally:
            process.stop()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is there for as long."""
    with tempfile.TemporaryDirectory(prefix="firn-bench-") as name:
        yield Path(name)


def own_settings(home: Path) -> ConnectionSettings:
    """Of a local warehouse, whatever the environment names."""
    return ConnectionSettings(
        _variables={"FIRN_ENV_FILE": os.devnull},
        firn_target="local",
        firn_home=home,
        firn_local_port=free_port(),
    )


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((LOCAL_HOST, 0))
        port: int = probe.getsockname()[1]
    return port
