"""How a run was asked to treat incremental models: as always, all anew, or one range again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from include.core.errors import UserError

FORMAT = "%Y-%m-%d %H:%M:%S"
PATTERN = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]) ([01]\d|2[0-3]):[0-5]\d:[0-5]\d$"
SHAPE = "YYYY-MM-DD HH:MM:SS, such as 2026-03-01 00:00:00"

FULL_REFRESH, START, END = "is_full_refresh", "backfill_start_date", "backfill_end_date"


class RunModeError(UserError, ValueError):
    """The parameters contradict each other; the message says what to enter."""


@dataclass(frozen=True)
class RunMode:
    """What a run rebuilds.

    Attributes:
        name: ``incremental``: what is new; ``full_refresh``: everything; ``backfill``: a range.
        start: first moment of the range in UTC, as text; empty without a range.
        end: first moment after it.
    """

    name: Literal["incremental", "full_refresh", "backfill"]
    start: str = ""
    end: str = ""

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> RunMode:
        """The mode that a DAG run's parameters ask for.

        Raises:
            RunModeError: half a range, a range that is none, or a range and a full refresh.
        """
        start, end = (str(params.get(name) or "").strip() for name in (START, END))
        if params.get(FULL_REFRESH):
            if start or end:
                raise RunModeError(
                    f"{FULL_REFRESH} rebuilds everything and {START} to {END} one range: choose "
                    "one of the two."
                )
            return cls("full_refresh")
        if not start and not end:
            return cls("incremental")
        if not start or not end:
            given, missing = (START, END) if start else (END, START)
            raise RunModeError(f"{given} is given without {missing}: enter both, as {SHAPE}.")
        first, after = _moment(START, start), _moment(END, end)
        if first >= after:
            raise RunModeError(
                f"{START} {start} is not before {END} {end}: the end is the first moment left out."
            )
        return cls("backfill", start, end)


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.strptime(text, FORMAT)  # noqa: DTZ007
    except ValueError:
        raise RunModeError(f"{name} is {text[:40]!r}: enter a moment in UTC as {SHAPE}.") from None
    # strptime also takes a month or an hour of one digit, which would compare wrongly as text.
    if moment.strftime(FORMAT) != text:
        raise RunModeError(f"{name} is {text[:40]!r}: enter a moment in UTC as {SHAPE}.")
    return moment
