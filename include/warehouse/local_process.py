"""The local warehouse as the other commands need it: running, and stopped by who started it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from include.core.errors import UserError
from include.core.settings import REPOSITORY
from include.warehouse.connection import local_server_answers


class LocalWarehouseError(UserError):
    """The local warehouse did not start; the message is its own."""


def start_warehouse(variables: Mapping[str, str]) -> bool:
    """Start the local warehouse and wait until it answers; False if it already ran.

    Raises:
        LocalWarehouseError: it did not start.
    """
    ran = local_server_answers(int(variables["FIRN_LOCAL_PORT"]))
    started = _warehouse("start", variables)
    if started.returncode != 0:
        raise LocalWarehouseError((started.stderr or started.stdout).strip())
    return not ran


def stop_warehouse(variables: Mapping[str, str]) -> None:
    """Stop the local warehouse; its data stays."""
    _warehouse("stop", variables)


def _warehouse(command: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "include.commands", "warehouse", command],
        cwd=REPOSITORY,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
