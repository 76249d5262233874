"""Table locks: writers of one table queue up, as on Snowflake, instead of failing as on DuckDB."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from snowflake.connector.errors import ProgrammingError

from . import errors


class LockOwner(Protocol):
    """A session, as far as locks are concerned."""

    def idle_seconds(self) -> float:
        """Seconds since the owner's last statement ended; 0 while one runs."""

    def abandon_transaction(self) -> bool:
        """Roll the owner's open transaction back; False if it has become busy again."""


class TableLocks:
    """Exclusive locks by table name, held by a session to the end of its transaction.

    Snowflake rolls back a transaction that blocks others and whose session has been silent for a
    while; `idle_limit_seconds` is that while. A client that was killed therefore blocks nobody for
    longer.
    """

    def __init__(
        self, idle_limit_seconds: float = 60.0, wait_limit_seconds: float = 43_200.0
    ) -> None:
        self._condition = threading.Condition()
        self._holders: dict[str, LockOwner] = {}
        self._waiting: dict[LockOwner, str] = {}
        self._idle_limit = idle_limit_seconds
        self._wait_limit = wait_limit_seconds

    def acquire(
        self, owner: LockOwner, table: str, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until `owner` holds `table`.

        Raises:
            ProgrammingError: 625 after the wait limit, 604 if cancelled, 635 on a deadlock.
        """
        deadline = time.monotonic() + self._wait_limit
        with self._condition:
            try:
                while (holder := self._holders.setdefault(table, owner)) is not owner:
                    self._waiting[owner] = table
                    self._refuse_deadlock(owner, table)
                    if cancelled():
                        raise errors.cancelled()
                    if time.monotonic() > deadline:
                        raise ProgrammingError(
                            msg=f"Statement has waited too long for the lock on table '{table}'.",
                            errno=625,
                            sqlstate="57014",
                        )
                    if holder.idle_seconds() > self._idle_limit and holder.abandon_transaction():
                        self._release(holder)
                        continue
                    self._condition.wait(0.2)
            finally:
                self._waiting.pop(owner, None)

    def release(self, owner: LockOwner) -> None:
        """Give up every lock of `owner`."""
        with self._condition:
            self._release(owner)

    def others_hold(self, owner: LockOwner, prefix: str) -> bool:
        """Whether anyone else holds a table whose name begins so."""
        with self._condition:
            return any(
                name.startswith(prefix) and holder is not owner
                for name, holder in self._holders.items()
            )

    def held(self) -> int:
        """Number of locks held by anyone."""
        with self._condition:
            return len(self._holders)

    def _release(self, owner: LockOwner) -> None:
        for table in [name for name, holder in self._holders.items() if holder is owner]:
            del self._holders[table]
        self._condition.notify_all()

    def _refuse_deadlock(self, owner: LockOwner, table: str) -> None:
        seen = owner
        while (wanted := self._waiting.get(seen)) and (holder := self._holders.get(wanted)):
            if holder is owner:
                raise ProgrammingError(
                    msg=f"Transaction aborted: waiting for the lock on table '{table}' would be a "
                    "deadlock.",
                    errno=635,
                    sqlstate="40001",
                )
            seen = holder
