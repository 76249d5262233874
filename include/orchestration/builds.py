"""What dbt says about a DAG's last build: its results, and its log while it runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from include.orchestration.environment import firn_home


@dataclass(frozen=True)
class NodeResult:
    """One model, test or other node of a build.

    Attributes:
        unique_id: dbt's id, such as ``model.firn.mart_orders``.
        kind: dbt's resource type: model, test, unit_test, seed, snapshot or source.
        status: ``started``, then dbt's: success, pass, warn, error, fail, skipped.
        seconds: how long it took; 0 while it runs.
        rows: rows written, as the warehouse reported them; None if it did not.
        message: dbt's one line about it.
        began: when dbt began with it, in UTC; None while it runs and if it was skipped.
        ended: when dbt was done with it.
        failures: of a test, how many rows failed it; None if it did not get so far.
    """

    unique_id: str
    kind: str
    status: str
    seconds: float = 0.0
    rows: int | None = None
    message: str = ""
    began: datetime | None = None
    ended: datetime | None = None
    failures: int | None = None

    @property
    def name(self) -> str:
        """The node's name: without type and project, the hash of a test, the parent of a node."""
        parts = self.unique_id.split(".")
        return parts[3] if self.kind in {"unit_test", "source"} else parts[2]

    @property
    def failed(self) -> bool:
        """Whether this node is a reason for the build to have failed."""
        return self.status in {"error", "fail", "runtime error"}


def builds_folder(dag_id: str, variables: Mapping[str, str] = os.environ) -> Path:
    """Where a DAG's builds leave ``run_results.json`` and ``dbt.log``, each the last one's."""
    return firn_home(variables) / "dbt" / "builds" / dag_id


def keep_run_results(project: str, folder: str, **_: object) -> None:
    """Copy a build's ``run_results.json`` out of the folder that is deleted after it."""
    results = Path(project, "target", "run_results.json")
    if results.exists():
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(results, Path(folder, results.name))


def read_run_results(folder: Path) -> list[NodeResult]:
    """The nodes of the last build, in the order they ended; empty if there was none."""
    file = folder / "run_results.json"
    if not file.exists():
        return []
    return [
        _node(result["unique_id"], result) for result in json.loads(file.read_text())["results"]
    ]


def built_at(folder: Path) -> datetime | None:
    """When the results of the last build were written, in UTC; None if there was none."""
    file = folder / "run_results.json"
    if not file.exists():
        return None
    return _moment(json.loads(file.read_text())["metadata"]["generated_at"])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class BuildLog:
    """Follows dbt's JSON log from its present end.

    Args:
        folder: the DAG's ``builds_folder``; the log may not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "dbt.log"
        self._offset = self._file.stat().st_size if self._file.exists() else 0

    def news(self) -> Iterator[NodeResult]:
        """What nodes started and ended since the last call."""
        if not self._file.exists():
            return
        if self._file.stat().st_size < self._offset:
            # dbt began a new file because the old one had become too long.
            yield from self._read(self._file.with_name(f"{self._file.name}.1"))
            self._offset = 0
        yield from self._read(self._file)

    def _read(self, file: Path) -> Iterator[NodeResult]:
        if not file.exists():
            return
        with file.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                if b'"NodeStart"' in line or b'"NodeFinished"' in line:
                    yield from _event(json.loads(line))


def _event(line: dict[str, Any]) -> Iterator[NodeResult]:
    node, event = line["data"].get("node_info", {}), line["info"]["name"]
    if event == "NodeStart":
        yield NodeResult(node["unique_id"], node["resource_type"], "started")
    elif event == "NodeFinished":
        result = {**line["data"]["run_result"], "status": node["node_status"]}
        yield _node(node["unique_id"], result)


def _node(unique_id: str, result: dict[str, Any]) -> NodeResult:
    rows = (result.get("adapter_response") or {}).get("rows_affected")
    timing = result.get("timing") or result.get("timing_info") or []
    began = [_moment(one["started_at"]) for one in timing if one.get("started_at")]
    ended = [_moment(one["completed_at"]) for one in timing if one.get("completed_at")]
    failures = result.get("failures")
    if failures is None:
        failures = result.get("num_failures")
    return NodeResult(
        unique_id=unique_id,
        kind=unique_id.split(".")[0],
        status=str(result["status"]),
        seconds=float(result.get("execution_time") or 0),
        rows=int(rows) if rows is not None else None,
        message=str(result.get("message") or ""),
        began=min(began, default=None),
        ended=max(ended, default=None),
        failures=int(failures) if failures is not None else None,
    )
