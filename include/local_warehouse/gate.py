"""Statements pass while databases keep their names, and wait while two of them change places."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 2.0
"""How long new statements are held back in one attempt; then those that wait may go on."""


class Gate:
    """Any number of statements at a time, or one that needs every database to itself.

    A statement may wait for a lock that another session gives up with its next statement. So the
    one that wants to be alone holds others back for moments only, and tries again.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside: dict[int, int] = {}
        self._alone: int | None = None
        self._wanted = False

    @contextmanager
    def passing(self, *, at_once: bool = False) -> Iterator[None]:
        """Around a statement.

        Args:
            at_once: it ends what somebody who wants to be alone waits for.
        """
        me = threading.get_ident()
        with self._condition:
            self._condition.wait_for(
                lambda: (
                    self._alone in (None, me)
                    and (not self._wanted or at_once or bool(self._inside.get(me)))
                )
            )
            self._inside[me] = self._inside.get(me, 0) + 1
        try:
            yield
        finally:
            with self._condition:
                self._inside[me] -= 1
                if not self._inside[me]:
                    del self._inside[me]
                self._condition.notify_all()

    @contextmanager
    def alone(
        self,
        is_free: Callable[[], bool],
        seconds: float,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[bool]:
        """Around what no other statement may run beside; the caller's own may be inside.

        Args:
            is_free: what must hold besides.
            seconds: how long it is tried.
            cancelled: whether nobody wants it any more.

        Yields:
            Whether nothing else runs now; if not, nothing was waited for any longer.
        """
        me, deadline = threading.get_ident(), time.monotonic() + seconds

        def free() -> bool:
            return self._alone is None and not set(self._inside) - {me} and is_free()

        with self._condition:
            while not (found := free()):
                left = deadline - time.monotonic()
                if left <= 0 or cancelled():
                    break
                self._wanted = True
                found = self._condition.wait_for(free, min(PATIENCE_SECONDS, left))
                self._wanted = False
                self._condition.notify_all()
                if found:
                    break
                self._condition.wait(0.1)
            if found:
                self._alone = me
        try:
            yield found
        finally:
            with self._condition:
                if self._alone == me:
                    self._alone = None
                self._condition.notify_all()
