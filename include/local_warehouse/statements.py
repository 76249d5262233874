"""Statements that clients asked for: each runs once, whoever waits for it and however often.

A client that hears nothing for a minute asks again, with the same request id. So, as on Snowflake,
a statement that takes long is answered with "in progress" and an address to ask at, and a request
that comes again joins the statement instead of starting a second one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .session import Session

logger = logging.getLogger("firn.warehouse")

IN_PROGRESS = "333333"
"""Snowflake's code for a statement that still runs."""

ANSWER_SECONDS = 40.0
"""How long a request may stay without an answer; clients give up after 60 seconds."""

ABANDONED_SECONDS = 30.0
"""How long a statement runs on for nobody; a client that lost its connection comes back sooner."""

KEPT_BYTES = 1024**2


@dataclass(eq=False)
class Order:
    """A statement between the request for it and its answer.

    Attributes:
        request_id: the client's name for it, the same when it asks again.
        session: where it runs.
        cancelled: whether nobody wants it any more.
        waiting: how many requests wait for its answer.
        left: when the last of them went.
        delivered: whether the answer was sent to one.
        answer: what the client gets.
    """

    request_id: str
    session: Session
    cancelled: bool = False
    waiting: int = 0
    left: float = field(default_factory=time.monotonic)
    delivered: bool = False
    answer: asyncio.Future[dict[str, Any]] = field(init=False)

    def cancel(self) -> None:
        """End the statement; if its turn has not come, it will not begin."""
        self.cancelled = True
        self.session.cancel(self)

    def wanted(self, seconds: float) -> bool:
        """Whether somebody waits for it, or did less than so many seconds ago."""
        return self.waiting > 0 or time.monotonic() - self.left < seconds


class Orders:
    """The statements that run, and the last answer of each session.

    All of it happens in the event loop; only the statements themselves run in threads.

    Args:
        answer_seconds: how long a request may stay without an answer.
        abandoned_seconds: how long a statement runs on for nobody.
    """

    def __init__(
        self,
        answer_seconds: float = ANSWER_SECONDS,
        abandoned_seconds: float = ABANDONED_SECONDS,
    ) -> None:
        self._orders: dict[str, Order] = {}
        self._answer_seconds = answer_seconds
        self._abandoned_seconds = abandoned_seconds

    def find(self, request_id: str, session: Session | None = None) -> Order | None:
        """The statement of that request, if the session is the one that it was asked in."""
        order = self._orders.get(request_id)
        return order if order and session in (None, order.session) else None

    def start(
        self,
        request_id: str,
        session: Session,
        run: Callable[[Order], Coroutine[Any, Any, dict[str, Any]]],
    ) -> Order:
        """Run a statement that nobody has asked for before."""
        self.forget(session)
        order = Order(request_id, session)
        order.answer = asyncio.get_running_loop().create_task(run(order))
        self._orders[request_id] = order
        return order

    def forget(self, session: Session, *, all_of_it: bool = False) -> None:
        """Drop what a session was answered; its client has gone on, so it will not ask again."""
        for order in list(self._orders.values()):
            if order.session is session and (
                all_of_it or (order.answer.done() and order.delivered)
            ):
                del self._orders[order.request_id]

    def running(self) -> int:
        """How many statements have no answer yet."""
        return sum(not order.answer.done() for order in self._orders.values())

    async def answer(
        self, order: Order, disconnected: Coroutine[Any, Any, None]
    ) -> dict[str, Any] | None:
        """Wait for a statement's answer.

        Returns:
            The answer, that the statement is in progress, or None if the client has gone.
        """
        gone = asyncio.get_running_loop().create_task(disconnected)
        order.waiting += 1
        try:
            await asyncio.wait(
                (order.answer, gone),
                timeout=self._answer_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            order.waiting -= 1
            order.left = time.monotonic()
            left = gone.done()
            gone.cancel()
        if order.answer.done() and not left:
            order.delivered = True
            answer = order.answer.result()
            if len((answer.get("data") or {}).get("rowsetBase64") or "") > KEPT_BYTES:
                # Only a query has so much to say, and a query may run again.
                self._orders.pop(order.request_id, None)
            return answer
        self._watch(order, self._abandoned_seconds)
        return None if left else _in_progress(order)

    def _watch(self, order: Order, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._end_if_abandoned, order)

    def _end_if_abandoned(self, order: Order) -> None:
        if order.delivered:
            return
        if order.wanted(self._abandoned_seconds):
            # The loop's clock lags, so that a timer can be early; whoever still waits watches anew.
            if not order.waiting:
                self._watch(order, 0.1)
            return
        if order.answer.done():
            self._orders.pop(order.request_id, None)
            return
        logger.info("nobody waits for a statement any more; it is cancelled")
        order.cancel()
        # DuckDB forgets an interrupt that comes between two of a statement's parts.
        self._watch(order, 1.0)


def _in_progress(order: Order) -> dict[str, Any]:
    return {
        "data": {
            "queryId": order.request_id,
            "getResultUrl": f"/queries/{order.request_id}/result",
            "queryAbortsAfterSecs": 0,
        },
        "code": IN_PROGRESS,
        "message": "Query execution in progress",
        "success": True,
    }
