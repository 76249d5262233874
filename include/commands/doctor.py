"""What `make doctor` says: what is configured, from where, what is missing, what to set."""

from __future__ import annotations

import os
import re
import shutil
import sys
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from rich.console import Console
from rich.markup import escape
from snowflake.connector.errors import Error as SnowflakeError

from include.airflow.supervisor import how_it_is
from include.commands.settings import settings_table
from include.core.logs import HIDDEN, secrets
from include.core.settings import REGISTRY, is_known, origin, problems, written
from include.delivery.deployment.settings import DeploymentSettings
from include.project.monitoring_switch import monitoring_switch
from include.warehouse.connection import (
    LOCAL_HOST,
    REPOSITORY,
    ConfigurationError,
    ConnectionSettings,
    WarehouseUnreachableError,
    connect,
    local_server_answers,
)

PACKAGES = (
    "apache-airflow",
    "astronomer-cosmos",
    "dbt-core",
    "dbt-snowflake",
    "elementary-data",
    "snowflake-connector-python",
    "fakesnow",
    "duckdb",
    "sqlglot",
)
# The demo at its default scale writes about 1 GiB, all domains about 5.
DISK_NEEDED = 1 * 1024**3
DISK_WANTED = 5 * 1024**3


class _Report:
    """Prints findings and remembers whether one of them stops the work."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.failed = False
        self._said: set[str] = set()

    def good(self, text: str) -> None:
        self._line("green", "ok", text)

    def note(self, text: str) -> None:
        self._line("yellow", "note", text)

    def bad(self, text: str) -> None:
        self.failed = True
        self._line("red", "missing", text)

    def wrong(self, problems: list[str]) -> None:
        """Settings; each is told once, however many use it."""
        for problem in problems:
            if problem not in self._said:
                self.bad(problem)
        self._said.update(problems)

    def _line(self, colour: str, word: str, text: str) -> None:
        # One finding is one line wherever it is read, so that it can be searched for.
        for secret in secrets():
            text = text.replace(secret, HIDDEN)
        self.console.print(f"[{colour}]{word:>7}[/]  {escape(text)}", soft_wrap=True)


def doctor(console: Console | None = None) -> int:
    """Look at this machine and its settings, and print what was found. Secrets are not shown.

    Returns:
        0 if work can start, 2 if something is missing; what to do about it is in the output.
    """
    report = _Report(console or Console())
    _check_python(report)
    _check_packages(report, REPOSITORY / "requirements.txt")
    settings = _check_settings(report)
    if settings:
        _check_disk(report, settings.home)
        _check_private_key(report, settings)
        _check_warehouse(report, settings)
        _check_airflow(report, settings)
    _check_monitoring(report)
    return 2 if report.failed else 0


def _check_python(report: _Report) -> None:
    running = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        report.good(f"Python {running}")
    else:
        report.bad(f"Python is {running}, and the locked packages need 3.11: run make again.")


def _check_packages(report: _Report, lock: Path) -> None:
    pin = r"(?m)^([a-z0-9-]+)==([^\s;]+)"
    pins = dict(re.findall(pin, lock.read_text(encoding="utf-8")))
    different = []
    for package in PACKAGES:
        try:
            installed = version(package)
        except PackageNotFoundError:
            installed = "not installed"
        if installed != pins.get(package):
            different.append(f"{package} is {installed}, locked is {pins.get(package)}")
    if different:
        report.bad(f"{'; '.join(different)}: remove .venv and run make again.")
    else:
        report.good(f"{len(PACKAGES)} main packages as locked in {lock.name}")


def _check_settings(report: _Report) -> ConnectionSettings | None:
    report.console.print(settings_table())
    settings = None
    try:
        settings = ConnectionSettings()
        report.good(
            f"Target {settings.target}: database {settings.database}, "
            f"schemas {settings.schema_prefix}<layer>, files in {settings.home}"
        )
    except ConfigurationError as error:
        report.wrong(error.problems)
    # Of all settings, whoever uses them.
    report.wrong(problems())
    names = dict(os.environ)
    try:
        names = written()
        _ = DeploymentSettings().airflow
    except ConfigurationError as error:
        report.wrong(error.problems)
    for name in sorted(names):
        if not name.upper().startswith(("FIRN_", "SNOWFLAKE_")) or is_known(name):
            continue
        likely = get_close_matches(name.upper(), REGISTRY, n=1, cutoff=0.8)
        unread = f"{name} is set in {origin(name)} and means nothing here"
        if likely:
            report.note(f"{unread}: did you mean {likely[0]}?")
        elif name.upper().startswith("FIRN_"):
            report.note(f"{unread}: remove it, or look for its name in `firn settings`.")
    return settings


def _check_monitoring(report: _Report) -> None:
    try:
        switch = monitoring_switch()
    except ConfigurationError as error:
        report.wrong(error.problems)
        return
    if switch.is_on:
        report.good(f"Monitoring is on, with the dbt packages in {switch.packages}")
    else:
        report.note(switch.why_off)


def _check_disk(report: _Report, home: Path) -> None:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free / 1024**3:.1f} GiB free for {home}"
    if free < DISK_NEEDED:
        report.bad(f"{text}: make room, or set FIRN_HOME to a folder on a larger disk.")
    elif free < DISK_WANTED:
        report.note(f"{text}: enough for the demo, not for larger sample data.")
    else:
        report.good(text)
    if not os.access(existing, os.W_OK):
        report.bad(f"{existing} cannot be written to: set FIRN_HOME to a folder of your own.")


def _check_private_key(report: _Report, settings: ConnectionSettings) -> None:
    path = settings.snowflake_private_key_path
    if settings.is_local or settings.authenticator != "snowflake_jwt" or path is None:
        return
    passphrase = settings.snowflake_private_key_passphrase
    try:
        load_pem_private_key(
            path.read_bytes(),
            passphrase.get_secret_value().encode() if passphrase else None,
        )
    except (OSError, ValueError, TypeError) as error:
        # Only the kind of error: its text could quote the file.
        report.bad(
            f"The private key {path} does not open ({type(error).__name__}): check that it is a "
            "PEM file and that SNOWFLAKE_PRIVATE_KEY_PASSPHRASE is its passphrase."
        )
    else:
        report.good(f"The private key {path} opens")


def _check_warehouse(report: _Report, settings: ConnectionSettings) -> None:
    if settings.is_local and not local_server_answers(settings.port):
        report.note(
            f"The local warehouse is not running on {LOCAL_HOST}:{settings.port}: "
            "`make demo` and `make up` start it, `firn warehouse start` does alone."
        )
        return
    if report.failed:
        report.note("The warehouse was not asked: correct what is missing first.")
        return
    try:
        with (
            connect(settings, query_tag={"task": "doctor"}) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("select current_version()")
            row = cursor.fetchone()
    except (WarehouseUnreachableError, SnowflakeError) as error:
        report.bad(str(error))
    else:
        report.good(f"The warehouse answers: version {row[0] if row else 'unknown'}")
        _check_loader(report, settings)


def _check_airflow(report: _Report, settings: ConnectionSettings) -> None:
    for level, text in how_it_is(settings) or [
        ("note", "Airflow is not running: `make up` starts it.")
    ]:
        {"good": report.good, "note": report.note, "bad": report.bad}[level](text)


def _check_loader(report: _Report, settings: ConnectionSettings) -> None:
    """Whether the user may take up what writes RAW, where that is another role or warehouse."""
    if not settings.loader_arguments():
        return
    try:
        with (
            connect(settings, as_loader=True, query_tag={"task": "doctor"}) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("select current_role()")
            [(role,)] = cursor.fetchall()
    except (WarehouseUnreachableError, SnowflakeError) as error:
        report.bad(f"What writes RAW cannot connect: {error}")
    else:
        report.good(f"What writes RAW connects as {role}")
