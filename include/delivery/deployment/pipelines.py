"""Pipelines that write into production: paused while a deployment works, resumed afterwards.

Airflow starts no task of a paused DAG, also none of a run that has begun: what was started ends,
and the rest of the run waits. So tasks are waited for and not runs, which would never end. A run
that stopped half way goes on in the new production, which was cloned with all that it had written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from snowflake.connector.errors import Error as SnowflakeError
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from include.core.logs import event
from include.delivery.deployment.airflow_api import AirflowApi, AirflowError, airflow_api
from include.delivery.deployment.errors import DeploymentError
from include.delivery.deployment.records import Book
from include.delivery.deployment.settings import Airflow
from include.warehouse.connection import WarehouseUnreachableError

TAGS = ("dbt", "monitoring", "maintenance")
"""A DAG that writes into ANALYTICS has one of these: models, or Elementary's tables."""

BUSY = ("queued", "running", "restarting")
"""States of tasks that an executor has: they go on although their DAG is paused."""

WAIT_SECONDS, LOOK_SECONDS = 1800.0, 5.0


class Pipelines:
    """What a deployment does to the DAGs; within `with`, whatever it paused is resumed.

    Args:
        airflow: where it is; None pauses nothing.
        book: remembers what is paused, in case this process is killed.
        say: is told what is going on.

    Attributes:
        left: what is still to be done by hand, as DAGs could not be resumed; None if nothing is.
    """

    def __init__(self, airflow: Airflow | None, book: Book, say: Callable[[str], None]) -> None:
        self.airflow, self.book, self.say = airflow, book, say
        self.left: str | None = None
        self._paused: set[str] = set()

    def check(self) -> None:
        """Find out whether the DAGs can be paused, and touch nothing.

        Raises:
            AirflowError: Airflow is out of reach, refuses the user, or shows no such DAG.
        """
        if self.airflow is None:
            self.say("FIRN_AIRFLOW_URL is not set: no pipeline is paused.")
            return
        with airflow_api(self.airflow) as api:
            dag_id, is_paused = next(iter(api.dags(TAGS).items()))
            # Who may not write is refused here too: this leaves the DAG as it is.
            api.set_paused(dag_id, is_paused)

    def recall(self) -> None:
        """Take over what an earlier deployment, killed since, has paused."""
        self._paused = set(self.book.paused())
        if self._paused:
            self.say(f"Still paused by an earlier deployment: {', '.join(sorted(self._paused))}")

    def __enter__(self) -> Self:
        self.recall()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with suppress(SnowflakeError, WarehouseUnreachableError):
                self.book.still_alone()
        except DeploymentError:
            return  # Whoever took over found them in the ledger, and resumes them.
        self.resume()
        if error and self.left:
            self.say(self.left)

    def pause(self) -> None:
        """Pause those that are not, and wait until none of their tasks runs.

        Raises:
            AirflowError: it was not done, or tasks go on for too long.
        """
        if self.airflow is None:
            return
        with airflow_api(self.airflow) as api:
            dags = api.dags(TAGS)
            active = sorted(name for name, is_paused in dags.items() if not is_paused)
            self.book.remember_paused(set(active) - self._paused)
            self._paused |= set(active)
            for dag_id in active:
                api.set_paused(dag_id, True)
            self.say(f"Paused {', '.join(active)}" if active else "All pipelines are paused")
            event("deployment.paused", dags=active)
            self._wait(api, dags)

    def resume(self) -> None:
        """Resume what deployments have paused; `left` says if that failed."""
        if not self._paused:
            return
        names = ", ".join(sorted(self._paused))
        try:
            if self.airflow is None:
                raise AirflowError("FIRN_AIRFLOW_URL is not set.")
            with airflow_api(self.airflow) as api:
                gone = [one for one in sorted(self._paused) if not api.set_paused(one, False)]
        except AirflowError as error:
            self.left = (
                f"Still paused: {names}. {error} Then resume them with "
                "`firn deployment unlock`, or let the next deployment do it."
            )
            return
        event("deployment.resumed", dags=sorted(self._paused))
        self.say(f"Resumed {names}" + (f"; not there any more: {', '.join(gone)}" if gone else ""))
        self.left = None
        # What stays in the ledger is resumed once more by the next deployment, without effect.
        with suppress(SnowflakeError, WarehouseUnreachableError):
            self.book.forget_paused()
        self._paused = set()

    def _wait(self, api: AirflowApi, dags: Iterable[str]) -> None:
        told: list[str] = []

        def busy() -> list[str]:
            self.book.check()
            found = api.busy(dags, BUSY)
            if found and found != told:
                told[:] = found
                self.say(f"Waiting for {', '.join(found)}")
            return found

        waiting = Retrying(
            stop=stop_after_delay(WAIT_SECONDS),
            wait=wait_fixed(LOOK_SECONDS),
            retry=retry_if_result(bool),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        if left := waiting(busy):
            raise AirflowError(
                f"Tasks go on after {WAIT_SECONDS / 60:g} minutes ({', '.join(left)}): let them "
                "end, or mark them as failed in Airflow, and run again. Production is as it was."
            )
