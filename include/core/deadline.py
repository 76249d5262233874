"""Calls that end in time, whatever the other side does."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result], *, name: str) -> Result:
    """What a call returns, if it does in time; its thread is left alone otherwise.

    A time-out of a socket is not enough: a server that sends a byte now and then never times out.

    Args:
        seconds: how long the call may take.
        call: what to do.
        name: of the thread.

    Raises:
        TimeoutError: the call has not ended in time.
        Exception: what the call raised.
    """
    results: list[Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)

    thread = Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]
