"""Swaps or clones databases of a store again and again, and is killed one step later each time.

Prints, as JSON, what a server finds in the two databases after each time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from include.local_warehouse.rules import account, metadata
from include.local_warehouse.session import Session
from include.local_warehouse.store import Store

STATEMENTS = {
    "swap": "alter database A swap with B",
    "clone": "create or replace database B clone A",
}


def in_a_child(work: Callable[[], object]) -> int:
    """Run in a process of its own; its exit code, negative for a signal."""
    if not (child := os.fork()):
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(step: int) -> None:
    """Let this process be killed before the given step of what changes something on disk."""
    left = step

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return real(*arguments, **named)

        return call

    for module, names in (
        (metadata, ("swap_databases", "copy_database_notes", "restore_views")),
        (account, ("copy_grants",)),
        (shutil, ("copyfile", "rmtree")),
    ):
        for name in names:
            setattr(module, name, watched(getattr(module, name)))
    Store._attach = watched(Store._attach)  # type: ignore[method-assign]
    Store.prepare_database = watched(Store.prepare_database)  # type: ignore[method-assign]
    Store._unlink = staticmethod(watched(Store._unlink))  # type: ignore[method-assign]


def make(folder: Path) -> None:
    store = Store(folder)
    cursor = Session(store).cursor()
    for number, name in enumerate("AB", start=1):
        cursor.execute(f"create database {name}")
        cursor.execute(f"create schema {name}.S")
        cursor.execute(f"create table {name}.S.T as select {number} as id")
        cursor.execute(f"create view {name}.PUBLIC.V as select id from S.T")
    store.close()


def main() -> None:
    operation, root = sys.argv[1], Path(sys.argv[2])
    in_a_child(lambda: make(root / "made"))
    found: list[list[int]] = []
    for step in range(40):
        folder = root / str(step)
        shutil.copytree(root / "made", folder)

        def change(folder: Path = folder, step: int = step) -> None:
            session = Session(Store(folder))
            killed_at(step)
            session.cursor().execute(STATEMENTS[operation])
            # The server's end is none of the steps.
            os._exit(0)

        def look(folder: Path = folder) -> None:
            store = Store(folder)
            cursor = Session(store).cursor()
            cursor.execute(
                "select a.id as x, b.id as y from A.PUBLIC.V as a cross join B.PUBLIC.V as b"
            )
            (row,) = cursor.fetchall()
            cursor.execute("show databases")
            assert {one[1] for one in cursor.fetchall()} == {"A", "B"}
            assert len(list(store.databases.glob("*.db"))) == 2, "a file is left over"
            (folder / "found").write_text(json.dumps(row))
            store.close()

        ended = in_a_child(change)
        assert ended in (0, -signal.SIGKILL), ended
        assert in_a_child(look) == 0
        found.append(json.loads((folder / "found").read_text()))
        shutil.rmtree(folder)
        if ended == 0:
            break
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
