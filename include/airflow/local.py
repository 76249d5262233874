"""Prepares, starts and stops Airflow on this machine.

Each program that is started gets a PID file, so that any later command can find it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from include.airflow.environment import AIRFLOW_USER, LOOPBACK, airflow_passwords
from include.core.errors import UserError
from include.project.manifest import ensure_manifest
from include.project.paths import airflow_home, firn_home

# The server that workers serve their logs with would listen on every address of the machine.
# Here all processes read one log folder.
COMPONENTS: dict[str, list[str]] = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
SUPERVISOR = "supervisor"
"""Restarts components that have ended; see `include.airflow.supervisor`."""

START_SECONDS = 180
STOP_SECONDS = 30
ORPHAN_SECONDS = 5


class LocalAirflowError(UserError):
    """Airflow cannot be started here; the message says why and what to do."""


def prepare(variables: Mapping[str, str]) -> None:
    """Bring the metadata database and the dbt manifest up to date; cheap when they are.

    Args:
        variables: the environment of ``airflow_environment``.

    Raises:
        ManifestError: the dbt project cannot be parsed.
        LocalAirflowError: the metadata database cannot be made.
    """
    home = airflow_home(variables)
    done, wanted = home / "migrated", version("apache-airflow-core")
    migrated = done.exists() and (home / "airflow.db").exists() and done.read_text() == wanted
    with ThreadPoolExecutor(1) as beside:
        migrating = beside.submit(_migrate, variables) if not migrated else None
        ensure_manifest(variables)
        if migrating:
            migrating.result()
            done.write_text(wanted)


def _migrate(variables: Mapping[str, str]) -> None:
    migrate = subprocess.run(
        [*_airflow(), "db", "migrate"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if migrate.returncode != 0:
        raise LocalAirflowError(
            f"Airflow's metadata database in {airflow_home(variables)} cannot be made; the end of "
            "its log:\n" + "\n".join(migrate.stderr.strip().splitlines()[-8:])
        )


def start(variables: Mapping[str, str]) -> str:
    """Start what of Airflow does not run yet, wait until it is healthy, return its address.

    Raises:
        LocalAirflowError: the port is taken, or Airflow does not become healthy.
        ManifestError: the dbt project cannot be parsed.
    """
    url, port = variables["AIRFLOW__API__BASE_URL"], int(variables["AIRFLOW__API__PORT"])
    if not is_running("api-server", variables) and _port_is_taken(port):
        raise LocalAirflowError(
            f"Port {port} is taken by another program: "
            "set FIRN_AIRFLOW_PORT to a free port, or stop that program."
        )
    _passwords(variables)
    prepare(variables)
    if _missing(variables):
        # A running supervisor would start them a second time. It may have started some before it
        # ended, so the loop below looks again.
        _stop_supervisor(variables)
    for name in _missing(variables):
        end_left_behind(name, variables)
        start_component(name, variables)
    waiting = Retrying(
        stop=stop_after_delay(START_SECONDS),
        wait=wait_fixed(0.5),
        retry=retry_if_result(lambda state: state == "starting"),
        retry_error_callback=lambda attempt: attempt.outcome.result() if attempt.outcome else "",
    )
    state = waiting(_state, variables)
    if state != "healthy":
        ended = _missing(variables) or ["scheduler"]
        log = log_file(ended[0], variables)
        said = "\n".join(log.read_text(errors="replace").strip().splitlines()[-8:])
        stop(variables)
        raise LocalAirflowError(f"Airflow's {ended[0]} did not start; the end of {log}:\n{said}")
    if not is_running(SUPERVISOR, variables):
        parts_file(variables).unlink(missing_ok=True)
        command = [sys.executable, "-m", "include.airflow.supervisor"]
        _start(SUPERVISOR, command, variables)
    return url


def password(variables: Mapping[str, str]) -> str:
    """The password of ``AIRFLOW_USER``; the API server generates it at its first start.

    Raises:
        LocalAirflowError: there is no password yet.
    """
    try:
        return _passwords(variables)[AIRFLOW_USER]
    except KeyError:
        raise _no_password(variables) from None


def stop(variables: Mapping[str, str]) -> list[str]:
    """Stop what ``start`` started, with all that it started; return the names of what ran.

    Other processes are left alone, also one that has got the number of an ended one.
    """
    supervised = _stop_supervisor(variables)
    found = {name: one for name in COMPONENTS if (one := process(name, variables))}
    family: set[psutil.Process] = set()
    for one in found.values():
        family |= {one, *one.children(recursive=True)}
    end(family, first=found.values())
    for name in COMPONENTS:
        end_left_behind(name, variables)
        pid_file(name, variables).unlink(missing_ok=True)
    parts_file(variables).unlink(missing_ok=True)
    return [*supervised, *found]


def is_running(component: str, variables: Mapping[str, str]) -> bool:
    """Whether a component that ``start`` started still runs."""
    return process(component, variables) is not None


def _missing(variables: Mapping[str, str]) -> list[str]:
    return [name for name in COMPONENTS if not is_running(name, variables)]


def runs(variables: Mapping[str, str]) -> bool:
    """Whether a part of Airflow is running, or the supervisor that would restart it."""
    return any(is_running(name, variables) for name in (*COMPONENTS, SUPERVISOR))


def was_started(variables: Mapping[str, str]) -> bool:
    """Whether ``start`` was called, and ``stop`` was not called since."""
    return any(pid_file(name, variables).exists() for name in (*COMPONENTS, SUPERVISOR))


def start_component(
    name: str, variables: Mapping[str, str], *, again: bool = False
) -> subprocess.Popen[bytes]:
    """Start one of ``COMPONENTS``.

    Args:
        name: which one.
        variables: its environment.
        again: append to the log of the process that has ended, as it says why.
    """
    return _start(name, [*_airflow(), *COMPONENTS[name]], variables, again=again)


def process(component: str, variables: Mapping[str, str]) -> psutil.Process | None:
    """The component's process, if the one that was started is still running."""
    try:
        pid, created = _noted(component, variables)
        found = psutil.Process(pid)
        same = abs(found.create_time() - created) < 1
        alive = found.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    return found if same and alive else None


def left_behind(component: str, variables: Mapping[str, str]) -> set[psutil.Process]:
    """The processes that an ended component left running: workers, and their children."""
    try:
        pid, created = _noted(component, variables)
        leader = psutil.Process(pid)
        if leader.status() != psutil.STATUS_ZOMBIE or abs(leader.create_time() - created) >= 1:
            return set()  # It is running, or another process has its PID now.
    except (FileNotFoundError, ValueError):
        return set()
    except psutil.NoSuchProcess:
        pass
    family = set()
    for one in psutil.process_iter():
        # Each component was started in a session of its own, whose id is the component's PID.
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(one.pid) == pid and one.pid != pid and one.create_time() >= created - 1:
                family |= {one, *one.children(recursive=True)}
    return family


def end_left_behind(component: str, variables: Mapping[str, str]) -> None:
    """End the processes that an ended component left running."""
    # A worker whose scheduler was killed waits for work and does not react to SIGTERM.
    end(left_behind(component, variables), seconds=ORPHAN_SECONDS)


def end(
    family: Collection[psutil.Process],
    first: Collection[psutil.Process] | None = None,
    seconds: float = STOP_SECONDS,
) -> None:
    """Ask processes to end, kill those that do not, and wait until they are gone.

    Args:
        family: all of them.
        first: those that are asked and that end the others; all of them if not given.
        seconds: how long they have before they are killed.
    """
    for one in family if first is None else first:
        _signal(one, signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=seconds)
    for one in alive:
        _signal(one, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=STOP_SECONDS)


def health(variables: Mapping[str, str]) -> dict[str, str | None]:
    """The API server's status of each component and the database; empty if it does not answer."""
    # Not urllib, which would send this request to the machine's proxy.
    page = HTTPConnection(LOOPBACK, int(variables["AIRFLOW__API__PORT"]), timeout=5)
    try:
        page.request("GET", "/api/v2/monitor/health")
        parts = json.loads(page.getresponse().read())
        return {
            name: (parts.get(name.replace("-", "_")) or {}).get("status")
            for name in ("metadatabase", *COMPONENTS)
            if name != "api-server"
        }
    except (OSError, HTTPException, ValueError, AttributeError):
        return {}
    finally:
        page.close()


def log_file(component: str, variables: Mapping[str, str]) -> Path:
    """The log of a component."""
    return firn_home(variables) / "logs" / f"airflow-{component}.log"


def pid_file(component: str, variables: Mapping[str, str]) -> Path:
    """The file that holds PID and start time of a component's process."""
    return firn_home(variables) / "run" / f"airflow-{component}.pid"


def parts_file(variables: Mapping[str, str]) -> Path:
    """The file in which the supervisor records the components that have ended."""
    return firn_home(variables) / "run" / "airflow-parts.json"


def _start(
    name: str, command: list[str], variables: Mapping[str, str], *, again: bool = False
) -> subprocess.Popen[bytes]:
    log, note = log_file(name, variables), pid_file(name, variables)
    log.parent.mkdir(parents=True, exist_ok=True)
    note.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab" if again else "wb") as output:
        started = subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is for the command, not for the servers it started.
            start_new_session=True,
        )
    try:
        note.write_text(f"{started.pid} {psutil.Process(started.pid).create_time()}\n")
    except OSError:
        # Without a PID file no later command could find the process.
        started.kill()
        raise
    return started


def _stop_supervisor(variables: Mapping[str, str]) -> list[str]:
    """End the supervisor alone; components keep running. Returns its name if it was running."""
    found = process(SUPERVISOR, variables)
    end([found] if found else [])
    pid_file(SUPERVISOR, variables).unlink(missing_ok=True)
    return [SUPERVISOR] if found else []


def _passwords(variables: Mapping[str, str]) -> dict[str, str]:
    """The API server's passwords by user; empty before its first start."""
    try:
        found = json.loads(airflow_passwords(variables).read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise _no_password(variables)
    return found


def _no_password(variables: Mapping[str, str]) -> LocalAirflowError:
    return LocalAirflowError(
        f"{airflow_passwords(variables)} does not hold the password of Airflow's page: "
        "run make down, delete that file, and run make up, which makes a new one."
    )


def _noted(component: str, variables: Mapping[str, str]) -> tuple[int, float]:
    pid, created = pid_file(component, variables).read_text().split()
    return int(pid), float(created)


def _signal(one: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        one.send_signal(number)


def _state(variables: Mapping[str, str]) -> str:
    """``healthy``, ``starting``, or ``ended`` when a component gave up."""
    if _missing(variables):
        return "ended"
    said = health(variables)
    return "healthy" if said and set(said.values()) == {"healthy"} else "starting"


def _port_is_taken(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it: a port that was closed a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def _airflow() -> list[str]:
    return [sys.executable, "-m", "airflow"]
