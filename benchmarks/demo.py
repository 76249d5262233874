"""The demo as a newcomer runs it, twice: in an empty folder, and again in the same one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.results import BenchmarkError, Report, Result, Say
from benchmarks.warehouse import free_port, own_settings, temporary_folder
from include.warehouse.connection import REPOSITORY

FIRST_SECONDS, FIRST_PROCESSOR_SECONDS, SECOND_SECONDS = 180, 300, 120


def run(say: Say) -> Report:
    """Run the demo twice.

    Args:
        say: told what is going on.

    Raises:
        BenchmarkError: the demo failed.
    """
    with temporary_folder() as home:
        # A newcomer has no settings, and no packages of Elementary's.
        inherited = {name: os.environ[name] for name in os.environ if not name.startswith("FIRN_")}
        variables = inherited | own_settings(home).environment()
        variables |= {"FIRN_ENV_FILE": os.devnull, "FIRN_ELEMENTARY": "off"}
        variables["FIRN_AIRFLOW_PORT"] = str(free_port())
        say("The first run of the demo")
        first = _time(home / "first.log", variables)
        say("The second run")
        second = _time(home / "second.log", variables)
    limits = (
        ("first run", first, FIRST_SECONDS, FIRST_PROCESSOR_SECONDS),
        ("second run", second, SECOND_SECONDS, None),
    )
    return Report(
        [
            result
            for name, (seconds, used), most, most_used in limits
            for result in (
                Result("demo", name, seconds, "s", target=most),
                Result("demo", f"{name}, all processes", used, "CPU s", target=most_used),
            )
        ]
    )


def _time(log: Path, variables: dict[str, str]) -> tuple[float, float]:
    """Seconds of one run, and processor seconds of every process that it started."""
    measured = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.processes",
            log,
            sys.executable,
            "-m",
            "include.commands",
            "demo",
        ],
        cwd=REPOSITORY,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(measured.stdout)
    if found["code"] != 0:
        said = "\n".join(log.read_text(errors="replace").strip().splitlines()[-12:])
        raise BenchmarkError(f"The demo failed:\n{said}")
    return found["seconds"], found["processor_seconds"]
