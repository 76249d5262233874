"""Events, one line each, and the secrets that must not stand in any line.

An event has a name and fields. In a task they go where Airflow's own lines go: JSON on disk,
`name key=value` on its page. A command writes them to stderr, as text or as JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast
from urllib.parse import quote, unquote, urlsplit

import structlog

from include.core.settings import (
    REPOSITORY,
    SECRETS,
    ConfigurationError,
    Home,
    Logs,
    env_file,
    in_file,
)
from include.local_warehouse import LOGIN_FILE

HIDDEN = "***"
SHORTEST = 5
"""Characters; a shorter secret would hide half of every line. Airflow leaves those out as well."""

_CONTEXT = {
    "dag_id": "AIRFLOW_CTX_DAG_ID",
    "run_id": "AIRFLOW_CTX_DAG_RUN_ID",
    "task_id": "AIRFLOW_CTX_TASK_ID",
}
_KEY_FILE = "SNOWFLAKE_PRIVATE_KEY_PATH"
_URL = re.compile(r"FIRN_\w+_URL")
_CONNECTION = re.compile(r"AIRFLOW_CONN_\w+")


# -- events ----------------------------------------------------------------------------------------


def event(name: str, *, level: str = "info", **fields: object) -> None:
    """Log one event: what happened, to what, and how many.

    DAG, run and task are added where there are any. Fields that are None are left out.

    Args:
        name: what happened, as `<thing>.<part>`, always the same words.
        level: info, warning or error.
        fields: names, counts, seconds; no sentence that could be a field, and no row of data.
    """
    if not structlog.is_configured():
        configure()
    known = structlog.contextvars.get_contextvars()
    task = {
        field: os.environ.get(source) for field, source in _CONTEXT.items() if field not in known
    }
    told = {field: value for field, value in (task | fields).items() if value is not None}
    # A new logger each time: whoever has configured the log last is heard.
    getattr(structlog.get_logger("firn"), level)(name, **told)


def configure() -> None:
    """Write events to stderr, in the form that `FIRN_LOG_FORMAT` names: text or json.

    Raises:
        ConfigurationError: it names another one, or the settings file cannot be read.
    """
    chosen = Logs().firn_log_format
    first = ("timestamp", "level", "event")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            cast("Any", _in_order(first)),
            structlog.processors.JSONRenderer(default=str) if chosen == "json" else _as_text,
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _in_order(first: tuple[str, ...]) -> Callable[..., dict[str, Any]]:
    def processor(_: Any, __: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {name: fields[name] for name in first} | dict(fields)

    return processor


def _as_text(_: Any, __: str, fields: Mapping[str, Any]) -> str:
    rest = dict(fields)
    words = [str(rest.pop(name)) for name in ("timestamp", "level", "event")]
    return " ".join([*words, *(f"{name}={_quoted(value)}" for name, value in rest.items())])


def _quoted(value: object) -> str:
    """A value that a program can cut out of a line: in JSON's quotes where it needs any."""
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    plain = text.isprintable() and not re.search(r'[\s"=]', text) and text
    return text if plain else json.dumps(text, ensure_ascii=False)


# -- secrets ---------------------------------------------------------------------------------------


def secrets(*, keys: bool = True) -> list[str]:
    """The values that no log may show, also as they look in a URL or within quotes.

    Args:
        keys: with the text of the private key, whole and line by line.
    """
    found: set[str] = set()
    of_file: Mapping[str, str] = {}
    with suppress(ConfigurationError):
        of_file = in_file(env_file())
    for settings in (of_file, os.environ):
        for name, value in settings.items():
            if value and (keys or name != _KEY_FILE):
                found.update(_secrets_of(name, value))
    with suppress(ConfigurationError, OSError, UnicodeDecodeError):
        found.add((Home().firn_home / LOGIN_FILE).read_text("ascii").strip())
    variants = {
        form
        for secret in found
        for form in (secret, quote(secret, safe=""), repr(secret)[1:-1], json.dumps(secret)[1:-1])
    }
    # The longest first: one secret may be the beginning of another.
    hidden = [one for one in variants if len(one) >= SHORTEST]
    return sorted(hidden, key=lambda one: (-len(one), one))


def _secrets_of(name: str, value: str) -> Iterator[str]:
    if _CONNECTION.fullmatch(name):
        yield from _of_connection(value)
    elif name in SECRETS:
        yield value
    elif name == _KEY_FILE:
        yield from _lines_of_key(REPOSITORY / Path(value).expanduser())
    elif _URL.fullmatch(name):
        yield from _password(value)


def _password(url: str) -> Iterator[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        # Whatever it is, it is no address that may be shown.
        yield url
        return
    if password:
        yield password
        yield unquote(password)


def _of_connection(text: str) -> Iterator[str]:
    """The password of an Airflow connection; of a webhook its path too, which is the secret."""
    if not text.lstrip().startswith("{"):
        yield from _password(text)
        return
    try:
        password = str(json.loads(text).get("password") or "")
    except (ValueError, AttributeError):
        yield text
        return
    yield from _of_webhook(password)


def _of_webhook(address: str) -> Iterator[str]:
    """An address whose path is the secret; of what is no address, all of it."""
    yield address
    if "://" in address:
        path = address.partition("://")[2].partition("/")[2].strip("/")
        yield path
        yield path.removeprefix("services/")


def _lines_of_key(file: Path) -> Iterator[str]:
    """A key is printed whole or line by line."""
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return
    yield text
    yield from (line for line in text.splitlines() if not line.startswith("-----"))


def hide_secrets_in_tasks() -> None:
    """Let Airflow and dbt leave the secrets out of what they log; for a process that runs tasks.

    Airflow replaces them in every line and traceback of a task. What dbt prints passes there too,
    and dbt's own log file does not: dbt hides the values of variables with such names itself.
    """
    from airflow.sdk.log import mask_secret

    hidden = secrets()
    if hidden:
        mask_secret(list(hidden))
    # Not the text of a key, which dbt never prints: it stays in its file.
    for number, secret in enumerate(secrets(keys=False)):
        os.environ[f"DBT_ENV_SECRET_FIRN_{number}"] = secret


def hide_secrets_in_process() -> None:
    """Leave the secrets out of all that this process prints; call it before anything may print.

    For a process that runs tasks itself, without one beside it that reads what they say.
    """
    if hidden := secrets():
        sys.stdout = cast("TextIO", _Hiding(sys.stdout, hidden))
        sys.stderr = cast("TextIO", _Hiding(sys.stderr, hidden))


def start_command() -> None:
    """Write events to stderr, and leave the secrets out of all that this process writes there.

    Errors and tracebacks too. Ends the process with exit code 2 if `FIRN_LOG_FORMAT` is wrong, or
    the settings file cannot be read.
    """
    # Typer would break the lines of a traceback, and with them a secret.
    os.environ["TYPER_STANDARD_TRACEBACK"] = "1"
    if hidden := secrets():
        sys.stderr = cast("TextIO", _Hiding(sys.stderr, hidden))
    try:
        configure()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


class _Hiding:
    """A text stream without secrets; a message is written in one piece by all that write there."""

    def __init__(self, stream: TextIO, hidden: list[str]) -> None:
        self._stream = stream
        self._secret = re.compile("|".join(map(re.escape, hidden)))

    def write(self, text: str) -> int:
        self._stream.write(self._secret.sub(HIDDEN, text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
