"""Airflow on this machine: made ready, started, stopped."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from include.orchestration.environment import LOOPBACK, airflow_home, firn_home
from include.orchestration.manifest import ensure_manifest

# The server that workers serve their logs with would listen on every address of the machine.
# Here all processes read one log folder.
COMPONENTS: dict[str, list[str]] = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
START_SECONDS = 180
STOP_SECONDS = 30


class LocalAirflowError(RuntimeError):
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
    if not migrated:
        migrate = subprocess.run(
            [*_airflow(), "db", "migrate"],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if migrate.returncode != 0:
            raise LocalAirflowError(
                f"Airflow's metadata database in {home} cannot be made; the end of its log:\n"
                + "\n".join(migrate.stderr.strip().splitlines()[-8:])
            )
        done.write_text(wanted)
    ensure_manifest(variables)


def start(variables: Mapping[str, str]) -> str:
    """Start what of Airflow does not run yet, wait until it is healthy, return its address.

    Raises:
        LocalAirflowError: the port is taken, or Airflow does not become healthy.
        ManifestError: the dbt project cannot be parsed.
    """
    url, port = variables["AIRFLOW__API__BASE_URL"], int(variables["AIRFLOW__API__PORT"])
    missing = [name for name in COMPONENTS if not is_running(name, variables)]
    if "api-server" in missing and _port_is_taken(port):
        raise LocalAirflowError(
            f"Port {port} is taken by another program: "
            "set FIRN_AIRFLOW_PORT to a free port, or stop that program."
        )
    prepare(variables)
    for name in missing:
        _start_component(name, variables)
    waiting = Retrying(
        stop=stop_after_delay(START_SECONDS),
        wait=wait_fixed(0.5),
        retry=retry_if_result(lambda state: state == "starting"),
        retry_error_callback=lambda attempt: attempt.outcome.result() if attempt.outcome else "",
    )
    state = waiting(_health, variables)
    if state != "healthy":
        ended = [name for name in COMPONENTS if not is_running(name, variables)] or ["scheduler"]
        log = _log(ended[0], variables)
        said = "\n".join(log.read_text(errors="replace").strip().splitlines()[-8:])
        stop(variables)
        raise LocalAirflowError(f"Airflow's {ended[0]} did not start; the end of {log}:\n{said}")
    return url


def stop(variables: Mapping[str, str]) -> list[str]:
    """Stop what ``start`` started, with all that it started; return the names of what ran.

    Other processes are left alone, also one that has got the number of an ended one.
    """
    found = {name: process for name in COMPONENTS if (process := _process(name, variables))}
    family: set[psutil.Process] = set()
    for process in found.values():
        family |= {process, *process.children(recursive=True)}
    for process in found.values():
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=STOP_SECONDS)
    for name in COMPONENTS:
        _pid_file(name, variables).unlink(missing_ok=True)
    return list(found)


def is_running(component: str, variables: Mapping[str, str]) -> bool:
    """Whether a component that ``start`` started still runs."""
    return _process(component, variables) is not None


def _start_component(name: str, variables: Mapping[str, str]) -> None:
    log = _log(name, variables)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_airflow(), *COMPONENTS[name]],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is for the command, not for the servers it started.
            start_new_session=True,
        )
    file = _pid_file(name, variables)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{process.pid} {psutil.Process(process.pid).create_time()}\n")


def _process(component: str, variables: Mapping[str, str]) -> psutil.Process | None:
    """The component's process if it is still the one that was started."""
    try:
        pid, created = _pid_file(component, variables).read_text().split()
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(created)) < 1
        alive = process.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    return process if same and alive else None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _health(variables: Mapping[str, str]) -> str:
    """``healthy``, ``starting``, or ``ended`` when a component gave up."""
    if not all(is_running(name, variables) for name in COMPONENTS):
        return "ended"
    # Not urllib: this address must not be looked for behind the machine's proxy.
    page = HTTPConnection(LOOPBACK, int(variables["AIRFLOW__API__PORT"]), timeout=5)
    try:
        page.request("GET", "/api/v2/monitor/health")
        parts = json.loads(page.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return "starting"
    finally:
        page.close()
    wanted = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    states = [(parts.get(name) or {}).get("status") for name in wanted]
    return "healthy" if states == ["healthy"] * len(wanted) else "starting"


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


def _log(component: str, variables: Mapping[str, str]) -> Path:
    return firn_home(variables) / "logs" / f"airflow-{component}.log"


def _pid_file(component: str, variables: Mapping[str, str]) -> Path:
    return firn_home(variables) / "run" / f"airflow-{component}.pid"
