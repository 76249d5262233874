"""What a run is asked to rebuild."""

from __future__ import annotations

import re

import pytest

from include.project.run_mode import PATTERN, RunMode, RunModeError

START, END = "2026-03-01 00:00:00", "2026-03-02 12:30:00"


def params(
    full: bool = False, start: str | None = None, end: str | None = None
) -> dict[str, object]:
    return {"is_full_refresh": full, "backfill_start_date": start, "backfill_end_date": end}


def test_a_plain_run_is_incremental() -> None:
    assert RunMode.from_params(params()) == RunMode("incremental")
    assert RunMode.from_params({}) == RunMode("incremental")
    assert RunMode.from_params(params(start="", end=" ")) == RunMode("incremental")


def test_a_full_refresh_and_a_range() -> None:
    assert RunMode.from_params(params(full=True)) == RunMode("full_refresh")
    assert RunMode.from_params(params(start=START, end=END)) == RunMode("backfill", START, END)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (params(start=START), "backfill_start_date is given without backfill_end_date"),
        (params(end=END), "backfill_end_date is given without backfill_start_date"),
        (params(start=END, end=START), "is not before"),
        (params(start=START, end=START), "is not before"),
        (params(start="2026-03-01", end=END), "backfill_start_date is '2026-03-01'"),
        (params(start="2026-02-30 00:00:00", end=END), "backfill_start_date is '2026-02-30"),
        (params(start="2026-3-01 00:00:00", end=END), "backfill_start_date is '2026-3-01"),
        (params(start=START, end="tomorrow' or true"), "backfill_end_date is"),
        (params(full=True, start=START, end=END), "choose one of the two"),
    ],
)
def test_a_contradiction_says_what_to_enter(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(RunModeError, match=re.escape(said)):
        RunMode.from_params(wrong)


@pytest.mark.parametrize("text", [START, END, "1999-12-31 23:59:59"])
def test_the_form_takes_what_the_task_takes(text: str) -> None:
    assert re.match(PATTERN, text)
    assert RunMode.from_params(params(start="1990-01-01 00:00:00", end=text)).end == text
