"""Messages to Slack, through the real notifier, to a server that behaves well and badly."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from include.airflow.environment import SLACK, airflow_environment
from include.ingestion.comparison import Comparison, Difference, Scope
from include.orchestration import alerts
from include.orchestration.alerts import HeldBackMixin, error_line, rows_rejected, run_is_late
from include.orchestration.single_run import DagRunOutcome, run_dag
from include.orchestration.watcher import HeldBackError
from include.warehouse.connection import ConnectionSettings
from tests.conftest import free_port
from tests.prepared_airflow import prepare
from tests.slack import PROXIES, SECRET, Slack, serving

pytestmark = pytest.mark.integration


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    """A webhook that is connected; the machine's own proxy is none of its business."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    # Tests would rather not wait as long as a task may.
    monkeypatch.setattr(alerts, "SECONDS", 1)
    with serving() as running:
        monkeypatch.setenv(SLACK, running.connection)
        yield running


class Task:
    """What a callback reads of a task instance."""

    dag_id, task_id, run_id, map_index, try_number = "sales__orders__1h", "load", "manual__1", -1, 2
    log_url = "http://airflow.example/log"


def tell_failure() -> None:
    alerts.task_failed({"ti": Task(), "exception": ValueError("no such column")})


def tell_rejected() -> None:
    rows_rejected({"ti": Task()}, "sales", {"orders": (3, 1000), "shops": (0, 10)})


def tell_late(state: str = "running") -> None:
    run = {"dag_id": "sales__orders__1h", "dag_run_id": "asset__1", "state": state}
    asyncio.run(run_is_late(context={"dag_run": run, "deadline": {"id": "1"}}))


def _told(said: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events of alerts; the notifier says something of its own besides."""
    return [one for one in said if one["event"].startswith("alert.")]


EVERY = pytest.mark.parametrize("tell", [tell_failure, tell_rejected, tell_late])


# -- what is said ----------------------------------------------------------------------------------


def test_a_failure_names_task_run_and_error_and_leads_to_the_log(slack: Slack) -> None:
    tell_failure()
    assert slack.texts == [
        ":red_circle: *Failed*: sales__orders__1h\n"
        "Task: load, try 2\n"
        "ValueError: no such column\n"
        "Run: manual__1, <http://airflow.example/log|Log>"
    ]


def test_rejected_rows_are_counted_and_not_shown(slack: Slack) -> None:
    with capture_logs() as said:
        tell_rejected()
    assert _told(said) == [
        {
            "event": "alert.sent",
            "log_level": "info",
            "alert": "rejected",
            "dag_id": "sales__orders__1h",
            "run_id": "manual__1",
            "task_id": "load",
        }
    ]
    assert slack.texts == [
        ":large_orange_circle: *Rows rejected*: sales__orders__1h\n"
        "sales.orders: 3 of 1,000 rows\n"
        "Why: `firn rejected sales`\n"
        "Run: manual__1, <http://airflow.example/log|Log>"
    ]
    rows_rejected({"ti": Task()}, "sales", {"orders": (0, 1000)})
    assert len(slack.texts) == 1


def test_rows_that_a_model_rejects_are_told_of_with_the_list(slack: Slack) -> None:
    rows_rejected({"ti": Task()}, "sales", {"orders": (2, 7)}, listed_in="db.staging.stg_rejected")
    assert slack.texts[0].splitlines()[1:3] == [
        "sales.orders: 2 of 7 rows",
        "Why: `db.staging.stg_rejected`",
    ]


def test_late_rows_of_a_database_are_told_of_in_numbers(slack: Slack) -> None:
    apart = {"2026-03-01": Difference(3, 5, 7), "2026-03-02": Difference(2, 2, 1)}
    found = Comparison(Scope(), 9, ("2026-03-01",), 1200, apart)
    failed = Comparison(Scope(), problem="the day 'made-up-value' is none")
    alerts.source_differs({"ti": Task()}, "sales", {"orders": found.lines, "returns": failed.lines})
    assert slack.texts == [
        ":large_orange_circle: *Source and raw differ*: sales__orders__1h\n"
        "sales.orders: 1,200 rows that had come too late, loaded now\n"
        "sales.orders: 2 rows in raw that the source no longer has; they stay\n"
        "sales.orders: 1 day with equal row counts, but different times of change\n"
        "sales.returns: source and raw could not be compared: the log says why\n"
        "Run: manual__1, <http://airflow.example/log|Log>"
    ]
    alerts.source_differs({"ti": Task()}, "sales", {})
    assert len(slack.texts) == 1


def test_a_budget_that_comes_near_is_told_in_a_line(slack: Slack) -> None:
    alerts.budget_near({"ti": Task()}, "May 2026: 81 spent, 120 at this rate, of a budget of 100")
    assert slack.texts == [
        ":large_orange_circle: *Budget*: sales__orders__1h\n"
        "May 2026: 81 spent, 120 at this rate, of a budget of 100\n"
        "Run: manual__1, <http://airflow.example/log|Log>"
    ]


def test_a_late_run_is_told_of_while_it_runs(slack: Slack) -> None:
    tell_late("queued")
    (text,) = slack.texts
    assert text.startswith(":hourglass: *Late*: sales__orders__1h\nIt has not ended by its deadl")
    assert "/dags/sales__orders__1h/runs/asset__1|Run>" in text
    tell_late("failed")
    tell_late("success")
    assert len(slack.texts) == 1


def test_what_only_follows_from_another_failure_is_not_told(slack: Slack) -> None:
    alerts.task_failed({"ti": Task(), "exception": HeldBackError("The dbt build never started")})
    assert slack.texts == []
    assert issubclass(HeldBackError, HeldBackMixin)


def test_what_an_error_says_is_no_template_and_no_markup(slack: Slack) -> None:
    error = RuntimeError("<!channel> & {{ conn.x.password }} <http://evil|here>")
    alerts.task_failed({"ti": Task(), "exception": error})
    assert "RuntimeError: &lt;!channel&gt; &amp; … &lt;…" in slack.texts[0]


PRIVATE = "made-up-value"


@pytest.mark.parametrize(
    "text",
    [
        "Numeric value 'made-up-value' is not recognized",
        "Numeric value 'O'made-up-value' is not recognized",
        "cut off in 'made-up-value",
        'invalid input syntax: "made-up-value"',
        "Duplicate row detected [made-up-value, 3]",
        "Key (email)=(made-up-value) already exists",
        "parameters: {a: made-up-value}",
        "rows (1, made-up-value)",
        "cannot open snowflake://made-up-value:x@account/db",
        "nobody made-up-value@example.org here",
        "login failed: password = made-up-value",
        "SLACK_TOKEN: made-up-value",
        "first line is fine\nmade-up-value",
    ],
)
def test_values_and_secrets_stay_out_of_a_message(text: str) -> None:
    line = error_line(ValueError(text))
    assert "value" not in line.removeprefix("ValueError: ").replace("Numeric value", "")
    assert line.startswith("ValueError: ")


def test_numbers_of_people_and_keys_stay_out_and_the_rest_stays() -> None:
    assert error_line(ValueError("account 4111111111111111")) == "ValueError: account …"
    assert error_line(ValueError("key xoxb-123456789-abcdefghijkl")) == "ValueError: key …"
    assert error_line(KeyError()) == "KeyError"
    kept = "000904 (42000): SQL compilation error: invalid identifier in mart_orders, line 12"
    assert error_line(RuntimeError(kept)) == f"RuntimeError: {kept}"
    assert error_line(RuntimeError("a" * 500)) == f"RuntimeError: {'a' * 200}…"


# -- when Slack is not well ------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("manner", ["error", "silent", "dripping"])
def test_a_bad_answer_fails_and_delays_nothing(
    slack: Slack, tell: Callable[[], None], manner: str
) -> None:
    slack.manner = manner
    began = time.monotonic()
    with capture_logs() as said:
        tell()
    assert time.monotonic() - began < alerts.SECONDS + 2.5
    # Once: no second try.
    assert len(slack.texts) == 1
    (told,) = _told(said)
    assert (told["event"], told["dag_id"]) == ("alert.not_sent", "sales__orders__1h")
    assert told["reason"] in {"SlackApiError", "TimeoutError", "AirflowException"}
    assert SECRET not in str(said)


@EVERY
def test_nobody_there_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tell: Callable[[], None]
) -> None:
    url = f"http://127.0.0.1:{free_port()}/services/{SECRET}"
    monkeypatch.setenv(SLACK, json.dumps({"conn_type": "slackwebhook", "password": url}))
    with capture_logs() as said:
        tell()
    assert [one["event"] for one in _told(said)] == ["alert.not_sent"]
    assert SECRET not in str(said)


@EVERY
@pytest.mark.parametrize("connection", ["{", "slackwebhook://", '{"conn_type": "http"}'])
def test_a_connection_that_is_none_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tell: Callable[[], None], connection: str
) -> None:
    monkeypatch.setenv(SLACK, connection)
    with capture_logs() as said:
        tell()
    assert [one["event"] for one in _told(said)] == ["alert.not_sent"]


def test_a_server_that_takes_no_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # The queue of one is taken; whoever comes next waits.
        with socket.create_connection(full.getsockname()), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}/services/{SECRET}"
            monkeypatch.setenv(SLACK, json.dumps({"conn_type": "slackwebhook", "password": url}))
            monkeypatch.setattr(alerts, "SECONDS", 1)
            began = time.monotonic()
            with capture_logs() as said:
                tell_failure()
            assert time.monotonic() - began < alerts.SECONDS + 2.5
    assert [one["event"] for one in _told(said)] == ["alert.not_sent"]


# -- in Airflow ------------------------------------------------------------------------------------

DAG = '''
"""An airflow dag that fails, and tells so."""
import pendulum
from airflow.sdk import DAG, get_current_context, task
from include.orchestration.alerts import rows_rejected, run_failed, run_succeeded
from include.orchestration.pipeline import default_args

with DAG(
    dag_id="alerts__try__never",
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    default_args=default_args(),
):

    @task
    def load():
        rows_rejected(get_current_context(), "sales", {"orders": (3, 100)})

    @task
    def end(reason):
        """As the process that ends runs does it."""
        dag = get_current_context()["dag"]
        run_succeeded({"dag": dag, "run_id": "r1", "reason": "success"})
        run_failed({"dag": dag, "run_id": "r2", "reason": reason})
        run_succeeded({"dag": dag, "run_id": "r3", "reason": "success"})
        run_succeeded({"dag": dag, "run_id": "r4", "reason": "success"})

    @task
    def fail():
        raise ValueError("Value 'made-up' is no number")

    load() >> end("task_failure") >> end.override(task_id="end_late")("timed_out") >> fail()
'''


Run = Callable[[str | None], DagRunOutcome]
"""Runs the DAG with a connection to Slack, or without."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("firn")
    (home / "dags").mkdir()
    (home / "dags" / "alerts__try__never.py").write_text(DAG)
    variables = airflow_environment(headless=True, settings=ConnectionSettings(firn_home=home))
    prepare(variables)
    variables["AIRFLOW__CORE__DAGS_FOLDER"] = str(home / "dags")

    def run(connection: str | None) -> DagRunOutcome:
        without = {*PROXIES, SLACK}
        chosen = {name: value for name, value in variables.items() if name not in without}
        return run_dag("alerts__try__never", chosen | ({SLACK: connection} if connection else {}))

    return run


STATES = {"load": "success", "end": "success", "end_late": "success", "fail": "failed"}


@pytest.mark.slow
def test_a_run_is_told_of(run: Run, slack: Slack) -> None:
    outcome = run(slack.connection)
    assert outcome.tasks == STATES, outcome.last_lines(30)
    heads = [text.splitlines()[:2] for text in slack.texts]
    well = ":large_green_circle: *Well again*: alerts__try__never"
    assert heads == [
        [
            ":large_orange_circle: *Rows rejected*: alerts__try__never",
            "sales.orders: 3 of 100 rows",
        ],
        # The failed task had told already.
        [well, "Its run r2 had failed."],
        [":red_circle: *Failed*: alerts__try__never", "It took longer than it may and was ended."],
        [well, "Its run r2 had failed."],
        [":red_circle: *Failed*: alerts__try__never", "Task: fail, try 1"],
    ]
    assert "ValueError: Value … is no number" in slack.texts[-1]
    assert "/tasks/fail?try_number=1|Log>" in slack.texts[-1]
    assert SECRET not in Path(outcome.log).read_text()


@pytest.mark.slow
def test_a_run_ends_the_same_without_slack(run: Run) -> None:
    outcome = run(None)
    assert (outcome.state, outcome.tasks) == ("failed", STATES)
    log = Path(outcome.log).read_text()
    assert "reason='there is no connection slack_alerts'" in log
    assert "alert.not_sent" in log
