"""Messages to Slack: runs failed, late, silent or well again; rows rejected or late; budget.

One Airflow connection decides where they go; without it nothing is said. A message is an extra: it
never changes how a task or a run ends, and holds nobody up for longer than a few seconds. It names
the task, the DAG, the run and the kind of error, with a link to the log. What may be a secret or a
value of somebody's data is left out: who may read the log finds it there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from include.core.deadline import within
from include.core.logs import event

if TYPE_CHECKING:
    from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier

    from include.monitoring.silence import Silence

CONNECTION = "slack_alerts"
"""A connection of the type ``slackwebhook``, such as ``AIRFLOW_CONN_SLACK_ALERTS`` makes one."""

SECONDS = 3
"""How long Slack may take to be reached, and again to answer."""

LONGEST = 200  # characters of an error

_GONE = "…"
_PRIVATE = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Quoted: databases and our own sentences quote the values they complain about. From the
        # first such sign to the last, for a value may hold one itself.
        r"(?<!\w)'.*'(?!\w)|(?<!\w)'.*$",
        r'".*"|".*$',
        r"`.*`|`.*$",
        r"[a-z][a-z0-9+.-]*://\S+",
        r"\S+@\S+",
        r"\b\w*(?:password|passphrase|passwd|pwd|secret|token|api_?key|authorization)\w*\s*[=:].*$",
        # Lists of values, and what a column was compared with.
        r"\[.*\]|\[.*$",
        r"\([^()]*,.*\)",
        r"=\s*\(.*\)",
        r"\{.*\}|\{.*$",
        # Neither a word nor a number: keys, tokens, identifiers of people.
        r"\b(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{20,}\b",
        r"\d{8,}",
    )
)


class HeldBackMixin:
    """For errors that only follow from another task's, about which a message goes out already."""


# -- what Airflow calls ----------------------------------------------------------------------------


def task_failed(context: Any) -> None:
    """Tell of a task that has failed for good; a callback of every task."""
    _quietly("failed", _tell_task_failed, context)


def run_failed(context: Any) -> None:
    """Tell of a run that failed in another way than by a task; a callback of every DAG."""
    _quietly("failed", _tell_run_failed, context)


def run_succeeded(context: Any) -> None:
    """Tell that a DAG is well again after a failure; a callback of every DAG."""
    _quietly("well_again", _tell_recovered, context)


async def run_is_late(context: Mapping[str, Any] | None = None) -> None:
    """Tell of a run that has not ended by its deadline; runs in the triggerer.

    Args:
        context: what Airflow knows of a run whose deadline has passed.
    """
    where: dict[str, str] = {}
    try:
        run = (context or {}).get("dag_run") or {}
        # A deadline stays in place when its run fails, of which has been told.
        if run.get("state") in {"success", "failed"}:
            return
        dag_id, run_id = str(run.get("dag_id", "")), str(run.get("dag_run_id", ""))
        where = {"dag_id": dag_id, "run_id": run_id}
        text = _message(":hourglass: *Late*", dag_id, run_id, ["It has not ended by its deadline."])
        notifier: Any = _webhook(text)
        await asyncio.wait_for(notifier.async_notify({}), SECONDS)
    except Exception as error:
        _not_told("late", error, where)
    else:
        event("alert.sent", alert="late", **where)


def rows_rejected(
    context: Any,
    domain: str,
    counts: Mapping[str, tuple[int, int]],
    *,
    listed_in: str | None = None,
) -> None:
    """Tell how many rows were rejected, without any of them; nothing if none were.

    Args:
        context: the context of the task that tells.
        domain: the domain that was loaded.
        counts: rejected and delivered rows by source.
        listed_in: the table that lists them with the reason; the loader's if not given.
    """
    _quietly("rejected", _tell_rejected, context, domain, counts, listed_in)


def source_differs(context: Any, domain: str, found: Mapping[str, Sequence[str]]) -> None:
    """Say that a database and its raw table differed; send nothing if they did not.

    Args:
        context: the context of the task that tells.
        domain: the domain that was loaded.
        found: lines by source; they contain no values.
    """
    _quietly("differs", _tell_differs, context, domain, found)


def pipelines_silent(context: Any, silences: Sequence[Silence]) -> None:
    """Tell of pipelines that should have run, each once until it has run again.

    Args:
        context: the context of the task that tells.
        silences: the silent ones.
    """
    for one in silences:
        _quietly("silent", _tell_silent, context, one)


def budget_near(context: Any, said: str) -> None:
    """Tell that the month comes near its budget.

    Args:
        context: the context of the task that tells.
        said: what is spent and what it may be, in a sentence.
    """
    _quietly("budget", _tell_budget, context, said)


def webhook_url() -> str | None:
    """The address that messages go to, a secret; None if nothing is connected."""
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    if not _is_connected():
        return None
    return str(SlackWebhookHook(slack_webhook_conn_id=CONNECTION).client.url)


# -- what is said ----------------------------------------------------------------------------------


def _tell_task_failed(context: Any) -> None:
    error = context.get("exception")
    if isinstance(error, HeldBackMixin):
        return
    task = context["ti"]
    name = task.task_id if task.map_index in (None, -1) else f"{task.task_id}[{task.map_index}]"
    lines = [f"Task: {_plain(name)}, try {task.try_number}"]
    if error is not None:
        lines.append(_plain(error_line(error)))
    text = _message(":red_circle: *Failed*", task.dag_id, task.run_id, lines, log_url=task.log_url)
    _send("failed", text, context)


def _tell_run_failed(context: Any) -> None:
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    if _is_connected():
        _remember(dag_id, run_id)
    reason = str(context.get("reason") or "")
    # Of failed tasks each has told already.
    if reason != "task_failure":
        told = {"timed_out": "It took longer than it may and was ended."}.get(
            reason, f"Airflow says: {_plain(_masked(reason))}"
        )
        _send("failed", _message(":red_circle: *Failed*", dag_id, run_id, [told]), context)


def _tell_recovered(context: Any) -> None:
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    if _is_connected() and (failed := _forget(dag_id)):
        told = "It succeeded now." if failed == run_id else f"Its run {_plain(failed)} had failed."
        text = _message(":large_green_circle: *Well again*", dag_id, run_id, [told])
        _send("well_again", text, context)


def _tell_rejected(
    context: Any, domain: str, counts: Mapping[str, tuple[int, int]], listed_in: str | None
) -> None:
    lines = [
        f"{_plain(domain)}.{_plain(source)}: {rejected:,} of {delivered:,} rows"
        for source, (rejected, delivered) in counts.items()
        if rejected
    ]
    if lines:
        where = listed_in or f"firn rejected {domain}"
        lines.append(f"Why: `{_plain(where)}`")
        task = context["ti"]
        title = ":large_orange_circle: *Rows rejected*"
        text = _message(title, task.dag_id, task.run_id, lines, log_url=task.log_url)
        _send("rejected", text, context)


def _tell_differs(context: Any, domain: str, found: Mapping[str, Sequence[str]]) -> None:
    if found:
        lines = [f"{_plain(domain)}.{_plain(name)}: {one}" for name in found for one in found[name]]
        task = context["ti"]
        title = ":large_orange_circle: *Source and raw differ*"
        text = _message(title, task.dag_id, task.run_id, lines, log_url=task.log_url)
        _send("differs", text, context)


def _tell_silent(context: Any, silence: Silence) -> None:
    if not _is_connected() or _told_of(silence.dag_id) == silence.run_id:
        return
    hours = silence.every.total_seconds() / 3600
    every = f"{hours:g} h" if hours >= 1 else f"{hours * 60:g} min"
    lines = [
        f"It should run every {every}. Its last run began at {silence.since:%Y-%m-%d %H:%M} UTC.",
        "Is it paused, or is there no scheduler?",
    ]
    task = context["ti"]
    text = _message(":mute: *Silent*", silence.dag_id, silence.run_id, lines, log_url=task.log_url)
    if _send("silent", text, context):
        _told(silence.dag_id, silence.run_id)


def _tell_budget(context: Any, said: str) -> None:
    task = context["ti"]
    title = ":large_orange_circle: *Budget*"
    text = _message(title, task.dag_id, task.run_id, [_plain(said)], log_url=task.log_url)
    _send("budget", text, context)


def error_line(error: BaseException | str) -> str:
    """The kind of an error and its first line, without what may be a secret or a value."""
    lines = (line.strip() for line in str(error).splitlines())
    said = _masked(next(filter(None, lines), ""))
    if isinstance(error, BaseException):
        return f"{type(error).__name__}: {said}".removesuffix(": ")
    return said


def _masked(text: str) -> str:
    from airflow.sdk._shared.secrets_masker import redact

    text = str(redact(text))
    for pattern in _PRIVATE:
        text = pattern.sub(_GONE, text)
    return text if len(text) <= LONGEST else text[:LONGEST] + _GONE


def _message(
    title: str, dag_id: str, run_id: str, lines: Iterable[str], *, log_url: str = ""
) -> str:
    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback="")).rstrip("/")
    run_url = f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id)}"
    where = f"<{log_url}|Log>" if log_url else f"<{run_url}|Run>"
    return "\n".join([f"{title}: {_plain(dag_id)}", *lines, f"Run: {_plain(run_id)}, {where}"])


def _plain(text: str) -> str:
    """Text that Slack shows as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# -- which DAGs are not well -----------------------------------------------------------------------
#
# Kept in a variable: Airflow's own search for a DAG's previous run knows runs with a logical date
# alone, and a run that was started by an asset has none.


def _variable(dag_id: str) -> str:
    return f"alerts__failed__{dag_id}"


def _remember(dag_id: str, run_id: str) -> None:
    from airflow.sdk import Variable

    Variable.set(_variable(dag_id), run_id)


def _forget(dag_id: str) -> str | None:
    """The run that failed, once."""
    from airflow.sdk import Variable

    failed = Variable.get(_variable(dag_id), default=None)
    if failed is not None:
        Variable.delete(_variable(dag_id))
    return failed and str(failed)


def _told_of(dag_id: str) -> str | None:
    """The last run of a silent DAG of which has been told."""
    from airflow.sdk import Variable

    run_id = Variable.get(f"alerts__silent__{dag_id}", default=None)
    return run_id and str(run_id)


def _told(dag_id: str, run_id: str) -> None:
    from airflow.sdk import Variable

    Variable.set(f"alerts__silent__{dag_id}", run_id)


# -- sending ---------------------------------------------------------------------------------------


def _webhook(text: str) -> SlackWebhookNotifier:
    # Here, because Airflow reads DAG files every half minute and they import this module.
    from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier

    return SlackWebhookNotifier(
        slack_webhook_conn_id=CONNECTION,
        text=text,
        timeout=SECONDS,
        retry_handlers=[],
        unfurl_links=False,
        unfurl_media=False,
    )


def _is_connected() -> bool:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        BaseHook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        return False
    return True


def _send(alert: str, text: str, context: Any) -> bool:
    """Send a message, or give up on it after `SECONDS`; whether it was taken."""
    notifier: Any = _webhook(text)
    # Asks Airflow for the connection, which only this thread may do.
    _ = notifier.hook.client
    try:
        # Not by calling the notifier, which would render what an error says as a template.
        within(SECONDS + 1, lambda: notifier.notify({}), name="alert")
    except Exception as error:
        _not_told(alert, error, _where(context))
        return False
    event("alert.sent", alert=alert, **_where(context))
    return True


def _quietly(alert: str, tell: Any, context: Any, *arguments: Any) -> None:
    try:
        tell(context, *arguments)
    except Exception as error:
        _not_told(alert, error, _where(context))


def _not_told(alert: str, error: BaseException, where: Mapping[str, str]) -> None:
    if type(error).__name__ == "AirflowNotFoundException":
        event("alert.not_sent", alert=alert, reason=f"there is no connection {CONNECTION}", **where)
    else:
        # The kind alone: what an error says of a webhook may hold its address, which is a secret.
        event("alert.not_sent", level="warning", alert=alert, reason=type(error).__name__, **where)


def _where(context: Any) -> dict[str, str]:
    """What an alert is about; a run's callbacks run outside of any task."""
    if task := context.get("ti"):
        return {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id}
    return {"dag_id": context["dag"].dag_id, "run_id": context["run_id"]}
