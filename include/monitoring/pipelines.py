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
        late_after: how long a run may take from being queued before it is told of as late.
    """

    dag_id: str
    domain: str
    title: str
    every: timedelta | None = None
    late_after: timedelta | None = None

    @property
    def due_within(self) -> timedelta | None:
        """How long after the beginning of a run the next one must be done; None if unknown."""
        return self.every + (self.late_after or timedelta()) if self.every else None


def find_pipelines(folder: Path = DAGS) -> list[Pipeline]:
    """The pipelines of a folder of DAG files, by name; a file is named after its DAG."""
    found = []
    for file in sorted(folder.glob("*__*.py")):
        domain, _, rest = file.stem.partition("__")
        if domain == PLATFORM:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        title = (ast.get_docstring(tree) or "").split("\n\n")[0]
        found.append(
            Pipeline(
                dag_id=file.stem,
                domain=domain,
                title=" ".join(title.split()),
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


def _late_after(tree: ast.AST) -> timedelta | None:
    """The argument of `pipeline_alerts`, which is a timedelta of plain numbers."""
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
