"""Statements that nobody waits for any more are ended, whatever the event loop's clock says."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from include.local_warehouse.statements import Order, Orders


class EarlyLoop(asyncio.SelectorEventLoop):
    """Timers end a little early, as where the loop reads the clock once a round (uvloop)."""

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, **more: Any
    ) -> Any:
        return super().call_later(max(0.0, delay - 0.05), callback, *args, **more)


class WaitingStatement:
    """A session whose only statement waits for a lock until it is cancelled."""

    order: Order

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self, order: Order | None = None) -> None:
        if order is self.order:
            self.cancelled.set()

    async def run(self, order: Order) -> dict[str, Any]:
        self.order = order
        while not self.cancelled.is_set():
            await asyncio.sleep(0.01)
        return {"success": False}


async def abandoned() -> dict[str, Any]:
    """The answer of a statement whose client has gone at once."""
    session = WaitingStatement()
    orders = Orders(answer_seconds=5, abandoned_seconds=0.2)
    order = orders.start("request", session, session.run)  # type: ignore[arg-type]

    async def disconnected() -> None:
        return None

    assert await orders.answer(order, disconnected()) is None
    return await asyncio.wait_for(order.answer, 5)


@pytest.mark.parametrize("loop", [EarlyLoop, asyncio.SelectorEventLoop])
def test_a_statement_whose_client_has_gone_is_cancelled(loop: Any) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(abandoned()) == {"success": False}
