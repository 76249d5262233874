"""The pipelines there are, read from the DAG files without importing Airflow."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from include.project.paths import REPOSITORY

DAGS = REPOSITORY / "dags"
PLATFORM = "platform"
"""The domain of DAGs that look after the others, and are no pipelines."""

_WORDS = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
}
_UNITS = {"min": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Pipeline:
    """A DAG that builds a domain's models, or some of them.

    Attributes:
        dag_id: domain, pipeline and schedule.
        domain: a folder of the dbt project.
        title: the first sentence of what it says about itself.
        every: how often it runs; None if its name does not say.
        late_after: how long a run may take from being queued before it is reported as late.
        schedule: its cron expression in UTC, or what it waits for.
    """

    dag_id: str
    domain: str
    title: str
    every: timedelta | None = None
    late_after: timedelta | None = None
    schedule: str = ""

    @property
    def due_within(self) -> timedelta | None:
        """How long after the beginning of a run the next one must be done; None if unknown."""
        return self.every + (self.late_after or timedelta()) if self.every else None


def find_pipelines(folder: Path = DAGS) -> list[Pipeline]:
    """The pipelines of a folder of DAG files, by name; a file is named after its DAG."""
    return [one for one in find_dags(folder) if one.domain != PLATFORM]


def find_dags(folder: Path = DAGS) -> list[Pipeline]:
    """All DAGs of a folder, those that look after the others among them."""
    found = []
    for file in sorted(folder.glob("*__*.py")):
        domain, _, rest = file.stem.partition("__")
        tree = ast.parse(file.read_text(encoding="utf-8"))
        title = (ast.get_docstring(tree) or "").split("\n\n")[0]
        found.append(
            Pipeline(
                dag_id=file.stem,
                domain=domain,
                title=" ".join(title.split()),
                schedule=_schedule(tree),
                every=interval(rest.rpartition("__")[2]),
                late_after=_late_after(tree),
            )
        )
    return found


def interval(word: str) -> timedelta | None:
    """What the last part of a DAG's name says: hourly, daily, weekly, 5min, 4h; None if nothing."""
    if word in _WORDS:
        return _WORDS[word]
    if match := re.fullmatch(r"(\d+)(min|h|d)", word):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    return None


def schedules() -> str:
    """The page of all schedules, as Markdown."""
    rows = [
        f"| `{one.dag_id}` | {one.schedule} | {_words(one.late_after)} | {one.title} |"
        for one in find_dags()
    ]
    return (
        "# Schedules\n\n"
        "Times are UTC. A run that takes longer than *late after*, from being queued and with all "
        "retries, is\nreported as late.\n\n"
        "| DAG | starts | late after | what |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _words(length: timedelta | None) -> str:
    if length is None:
        return ""
    minutes = int(length.total_seconds()) // 60
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


def _schedule(tree: ast.AST) -> str:
    """The second argument of `pipeline`, in words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pipeline" and node.args[1:]:
            schedule = node.args[1]
            if isinstance(schedule, ast.Constant) and schedule.value is None:
                return "by hand"
            assets = [
                one.args[0]
                for one in ast.walk(schedule)
                if isinstance(one, ast.Call) and ast.unparse(one.func) == "Asset"
            ]
            if assets:
                names = (f"`{ast.literal_eval(asset)}`" for asset in assets)
                return f"after {' and '.join(names)}"
            texts = (one.value for one in ast.walk(schedule) if isinstance(one, ast.Constant))
            crons = (text for text in texts if str(text).count(" ") == 4)
            return f"`{next(map(str, crons), ast.unparse(schedule))}`"
    return ""


def _late_after(tree: ast.AST) -> timedelta | None:
    """An argument of `pipeline`, which is a timedelta of plain numbers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "late_after":
            call = node.value
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "timedelta":
                try:
                    parts = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
                    return timedelta(**{str(name): value for name, value in parts.items()})
                except (ValueError, TypeError):
                    return None
    return None
