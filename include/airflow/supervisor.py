"""Restarts components of Airflow that have ended, and reports the state of each.

``make up`` starts ``python -m include.airflow.supervisor`` once Airflow is healthy, and
``make down`` ends it. It finds components by their PID files, whoever started them. So it can be
killed and started again itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from include.airflow import local as local_airflow
from include.airflow.environment import airflow_port
from include.airflow.local import COMPONENTS, SUPERVISOR
from include.core.logs import event, start_command

if TYPE_CHECKING:
    from include.warehouse.connection import ConnectionSettings

QUICK_SECONDS = 60.0
"""If a component ends sooner than this after its start, the reason may well persist."""

DELAYS = (1.0, 2.0, 4.0, 8.0)
"""Seconds until it is restarted after the first quick end in a row, the second, and so on.

After an end that was not quick, the first of these delays applies.
"""

LOOK_SECONDS = 0.5
NEWS_SECONDS = 24 * 3600.0
"""How long doctor and report mention that a component ended and was restarted."""

Level = Literal["good", "note", "bad"]


@dataclass
class Part:
    """A component, and when it is due to be restarted.

    Attributes:
        ended: how often it has ended.
        ended_at: when it last ended, in seconds since 1970; None if it has not.
        quick: how often in a row it has ended soon after its start.
        due: when it is restarted; None while it is running, and after it was given up.
        given_up: whether it is no longer restarted.
    """

    ended: int = 0
    ended_at: float | None = None
    quick: int = 0
    due: float | None = None
    given_up: bool = False

    def has_ended(self, now: float, lived: float) -> None:
        """Record an end, and decide when to restart the component, if at all."""
        self.ended, self.ended_at = self.ended + 1, now
        self.quick = self.quick + 1 if lived < QUICK_SECONDS else 0
        self.given_up = self.quick > len(DELAYS)
        self.due = None if self.given_up else now + self.delay

    @property
    def delay(self) -> float:
        """Seconds between its last end and its next start."""
        return DELAYS[max(self.quick, 1) - 1]


@dataclass
class Supervisor:
    """Watches components until it is told to stop; they keep running after that."""

    variables: Mapping[str, str]
    parts: dict[str, Part] = field(default_factory=lambda: {name: Part() for name in COMPONENTS})
    stopping: threading.Event = field(default_factory=threading.Event)
    _children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _began: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Check each component again and again."""
        while not self.stopping.wait(LOOK_SECONDS):
            for name, part in self.parts.items():
                before = (part.ended, part.due)
                self._look(name, part, time.time())
                if (part.ended, part.due) != before:
                    self._remember()

    def _look(self, name: str, part: Part, now: float) -> None:
        if child := self._children.get(name):
            child.poll()  # Otherwise a child that has ended would remain a zombie.
        if found := local_airflow.process(name, self.variables):
            self._began[name], part.due = found.create_time(), None
        elif part.due is None and not part.given_up:
            self._has_ended(name, part, now, "")
        elif part.due is not None and now >= part.due:
            try:
                local_airflow.end_left_behind(name, self.variables)
                self._began[name] = time.time()
                self._children[name] = local_airflow.start_component(
                    name, self.variables, again=True
                )
            except OSError as error:
                self._has_ended(name, part, now, str(error))
            else:
                part.due = None
                event("airflow.started_again", part=name, ended=part.ended)

    def _has_ended(self, name: str, part: Part, now: float, why: str) -> None:
        part.has_ended(now, now - self._began.get(name, now))
        log = local_airflow.log_file(name, self.variables)
        if part.given_up:
            said = given_up(name, log)
            event("airflow.given_up", level="error", part=name, why=why or None, said=said)
        else:
            wait = part.delay
            event("airflow.ended", level="warning", part=name, why=why or None, again_in=wait)

    def _remember(self) -> None:
        file = local_airflow.parts_file(self.variables)
        known = {name: vars(part) for name, part in self.parts.items() if part.ended}
        # If the disk is full, keeping the components running matters more than this file.
        with suppress(OSError):
            new = file.with_suffix(".new")
            new.write_text(json.dumps(known), encoding="utf-8")
            new.replace(file)


def given_up(name: str, log: Path) -> str:
    """A sentence that says that a component is not started again, and what to do."""
    return (
        f"Airflow's {name} ended {len(DELAYS) + 1} times in a row within {QUICK_SECONDS:.0f} "
        f"seconds of its start and is not started again: read the end of {log}, then run make up."
    )


def how_it_is(settings: ConnectionSettings) -> list[tuple[Level, str]]:
    """What to know about the Airflow of `make up`, in sentences; empty if it was not started."""
    variables = settings.environment()
    if not local_airflow.was_started(variables):
        return []
    try:
        variables["AIRFLOW__API__PORT"] = str(airflow_port())
    except ValueError as error:
        return [("bad", str(error))]
    if not local_airflow.runs(variables):
        text = "Airflow was started here and has ended without make down: run make up."
        return [("note", text)]
    found = _of_components(variables)
    if not local_airflow.is_running(SUPERVISOR, variables):
        text = "Airflow's supervisor has ended, so a part that ends stays down: run make up."
        found.append(("bad", text))
    at = f"127.0.0.1:{variables['AIRFLOW__API__PORT']}"
    return found or [("good", f"Airflow runs on {at}, and all its parts are healthy")]


def _of_components(variables: Mapping[str, str]) -> list[tuple[Level, str]]:
    supervised = local_airflow.is_running(SUPERVISOR, variables)
    said = local_airflow.health(variables)
    found: list[tuple[Level, str]] = []
    for name, part in _remembered(variables).items():
        log = local_airflow.log_file(name, variables)
        running = local_airflow.process(name, variables)
        if running is None and part.given_up:
            found.append(("bad", given_up(name, log)))
            continue
        if running is None:
            text = f"Airflow's {name} has ended; the end of {log} says why. "
            if supervised:
                found.append(("note", f"{text}It will be started again in a moment."))
            else:
                found.append(("bad", f"{text}Run make up."))
            continue
        begins = time.time() - running.create_time() < QUICK_SECONDS
        text = (
            f"Airflow's {name} does not answer on port {variables['AIRFLOW__API__PORT']}"
            if name == "api-server"
            else f"Airflow's {name} runs, but has shown no sign of life lately"
        )
        silent = not said if name == "api-server" else said.get(name, "healthy") != "healthy"
        if silent and begins:
            found.append(("note", f"Airflow's {name} is starting."))
        elif silent:
            found.append(("bad", f"{text}: read the end of {log}, then run make down and make up."))
        elif part.ended_at is not None and time.time() - part.ended_at < NEWS_SECONDS:
            when = f"{datetime.fromtimestamp(part.ended_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
            times = f"{part.ended} times, the last at" if part.ended > 1 else "at"
            text = f"Airflow's {name} ended {times} {when} and was started again; {log} says why."
            found.append(("note", text))
    if said.get("metadatabase", "healthy") != "healthy":
        found.append(("bad", "Airflow's database does not answer: read Airflow's logs."))
    return found


def _remembered(variables: Mapping[str, str]) -> dict[str, Part]:
    known: Mapping[str, Any]
    try:
        known = json.loads(local_airflow.parts_file(variables).read_text(encoding="utf-8"))
        return {name: Part(**known.get(name, {})) for name in COMPONENTS}
    except (OSError, ValueError, TypeError, AttributeError):
        return {name: Part() for name in COMPONENTS}


def main() -> None:
    """Watch the Airflow whose environment this process was given."""
    start_command()
    supervisor = Supervisor(dict(os.environ))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stopping.set())
    event("airflow.supervised", parts=list(COMPONENTS))
    supervisor.run()


if __name__ == "__main__":
    main()
