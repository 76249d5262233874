"""A loader to be killed: one JSON order a line on standard input, one answer a line.

Each order is carried out by a fork, so that a kill costs no start of Python. An order holds
`source`, `landing` and either `kill_at` (the step after which the loader kills itself) or
`kill_after` (the seconds after which it is killed), or none to let it finish. With `parts` the
files are cut, and each chunk is loaded by itself, as Airflow's tasks do it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from include.ingestion.chunks import Split, finish_split, load_chunk, split_file
from include.ingestion.landing import discover
from include.ingestion.loader import load_source
from include.ingestion.sources import Source

LATE = (
    "opentelemetry.trace",
    "pandera.backends.polars.register",
    "pandera.strategies.base_strategies",
    "snowflake.connector.file_transfer_agent",
)
"""What a load imports on its way: here it is done once, and not by each fork."""


def obey(order: dict[str, Any]) -> None:
    """Load, and die where it is ordered."""

    def die_there(step: str) -> None:
        if step == order.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    source = Source.model_validate(order["source"])
    source = source.model_copy(update={"domain": order["domain"]})
    landing = Path(order["landing"])
    if not order.get("parts"):
        load_source(source, landing=landing, checkpoint=die_there)
        return
    for delivery in discover(source, landing):
        split = split_file(source, delivery, landing / ".chunks", checkpoint=die_there)
        if isinstance(split, Split):
            die_there("cut")
            for number in range(1, split.chunks + 1):
                load_chunk(source, split, number)
                die_there("chunk loaded")
            finish_split(source, split, checkpoint=die_there)


def main() -> None:
    """Answer with how each loader ended: `killed`, `done` or `failed`."""
    for module in LATE:
        importlib.import_module(module)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                obey(order)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        timer = threading.Timer(order.get("kill_after") or 0, os.kill, (child, signal.SIGKILL))
        if "kill_after" in order:
            timer.start()
        _, status = os.waitpid(child, 0)
        timer.cancel()
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        answer = "killed" if killed else "done" if status == 0 else "failed"
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
