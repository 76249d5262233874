"""What dbt says about a DAG's last build: its results, the age of its sources, its running log."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from include.core.logs import event
from include.project.dbt import Dbt, DbtError, said
from include.project.manifest import tests_by_owner
from include.project.paths import firn_home

LONGEST = 500
"""Characters of dbt's message about a node in an event; the task's log has all of it."""

PRODUCER = "dbt_producer_watcher"
"""What Cosmos calls the task of a group that runs ``dbt build``."""

RUN_RESULTS, SOURCES = "run_results.json", "sources.json"


@dataclass(frozen=True)
class SourceAge:
    """How old a source table was when a DAG last looked.

    Attributes:
        unique_id: dbt's id, such as ``source.firn.forex.customer_transactions``.
        status: dbt's: pass, warn, error, or runtime error if it could not look.
        newest: when its newest rows came, in UTC; None if dbt could not look.
        checked: when dbt looked.
        warn_after: the age from which it is warned of; None if it is not.
        error_after: the age from which its domain is stopped; None if it is not.
        message: why dbt could not look; empty if it could.
    """

    unique_id: str
    status: str
    newest: datetime | None = None
    checked: datetime | None = None
    warn_after: timedelta | None = None
    error_after: timedelta | None = None
    message: str = ""

    @property
    def name(self) -> str:
        """The table, without its domain."""
        return self.unique_id.split(".")[-1]


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
    """Where a DAG's builds leave what dbt says, each file the last one's.

    ``run_results.json`` and ``dbt.log`` are the build's, ``sources.json`` of the check before it.
    """
    return firn_home(variables) / "dbt" / "builds" / dag_id


def keep_run_results(project: str, folder: str) -> None:
    """Copy a build's ``run_results.json`` out of the folder that is deleted after it."""
    _keep(Path(project, "target", RUN_RESULTS), Path(folder))


def keep_freshness(project: str, folder: str, **_: object) -> None:
    """Copy ``sources.json`` of ``dbt source freshness`` out of the folder that is deleted."""
    _keep(Path(project, "target", SOURCES), Path(folder))


def _keep(file: Path, folder: Path) -> None:
    """In one step: somebody may be reading the one of before."""
    if file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{file.name}.{os.getpid()}"
        shutil.copyfile(file, part)
        part.replace(folder / file.name)


def keep_and_tell(project: str, folder: str, domain: str, **_: object) -> None:
    """What follows a build, also one that failed: its results are kept, and logged."""
    keep_run_results(project, folder)
    tell_run_results(project, domain)


def keep_and_tell_freshness(project: str, folder: str, domain: str, **_: object) -> None:
    """What follows ``dbt source freshness``: its results are kept, and logged."""
    keep_freshness(project, folder)
    tell_freshness(project, domain)


def tell_run_results(project: str, domain: str, **_: object) -> None:
    """Log what became of each model, of each test that did not pass, and of all together."""
    results = read_run_results(Path(project, "target"))
    if not results:
        return
    manifest = json.loads(Path(project, "target", "manifest.json").read_text())
    models = _models_of_tests(manifest)
    for node in results:
        if node.kind in {"model", "seed", "snapshot"}:
            event(
                f"dbt.{node.kind}",
                level="error" if node.failed else "info",
                domain=domain,
                model=node.name,
                status=node.status,
                rows=node.rows if _counts_rows(manifest, node.unique_id) else None,
                seconds=round(node.seconds, 3),
                message=_line(node.message) if node.failed else None,
            )
        elif node.kind == "test" and node.status not in {"pass", "skipped"}:
            event(
                "dbt.test",
                level="error" if node.failed else "warning",
                domain=domain,
                model=models.get(node.unique_id),
                test=node.name,
                status=node.status,
                failures=node.failures,
                seconds=round(node.seconds, 3),
                message=_line(node.message),
            )
    failed = sum(node.failed for node in results)
    event(
        "dbt.build",
        level="error" if failed else "info",
        domain=domain,
        nodes=len(results),
        passed=sum(node.status in {"success", "pass"} for node in results),
        warned=sum(node.status == "warn" for node in results),
        failed=failed,
        skipped=sum(node.status == "skipped" for node in results),
        seconds=_seconds(results),
    )


def tell_freshness(project: str, domain: str) -> None:
    """Log how old each source is, as `dbt source freshness` found it."""
    file = Path(project, "target", SOURCES)
    if not file.exists():
        return
    for result in json.loads(file.read_text())["results"]:
        status = str(result["status"])
        age = result.get("max_loaded_at_time_ago_in_s")
        event(
            "dbt.freshness",
            level={"pass": "info", "warn": "warning"}.get(status, "error"),
            domain=domain,
            source=result["unique_id"].split(".")[-1],
            status=status,
            age_seconds=None if age is None else round(age),
            message=_line(str(result.get("error") or "")) or None,
        )


def _models_of_tests(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The model or source that each test is about."""
    return {
        test: owner.split(".")[-1]
        for owner, tests in tests_by_owner(manifest).items()
        for test in tests
    }


def _counts_rows(manifest: Mapping[str, Any], unique_id: str) -> bool:
    """Whether the warehouse says how many rows were written: of `create table` it says one."""
    kind = manifest["nodes"].get(unique_id, {}).get("config", {}).get("materialized")
    return kind in {"incremental", "snapshot"}


def _line(message: str) -> str:
    """One line of bounded length."""
    text = " ".join(message.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _seconds(results: Sequence[NodeResult]) -> float | None:
    """From the first node's beginning to the last one's end."""
    began = [node.began for node in results if node.began]
    ended = [node.ended for node in results if node.ended]
    if not began or not ended:
        return None
    return round((max(ended) - min(began)).total_seconds(), 3)


def run_nodes(dbt: Dbt, command: str, *arguments: str) -> list[NodeResult]:
    """Run a command that builds or tests, in this process, and give what became of each node.

    Raises:
        DbtError: it failed, and no node of it did.
    """
    (dbt.folder / RUN_RESULTS).unlink(missing_ok=True)
    done = dbt.invoke(command, *arguments)
    results = [] if done.exception else read_run_results(dbt.folder)
    if not done.success and not any(node.failed for node in results):
        raise DbtError(f"dbt {command} could not do its work: {said(done)}")
    return results


def read_run_results(folder: Path) -> list[NodeResult]:
    """The nodes of the last build, in the order they ended; empty if there was none."""
    file = folder / RUN_RESULTS
    if not file.exists():
        return []
    return [
        _node(result["unique_id"], result) for result in json.loads(file.read_text())["results"]
    ]


def read_freshness(folder: Path) -> list[SourceAge]:
    """The sources of the last check, sorted by name; empty if there was none."""
    file = folder / SOURCES
    if not file.exists():
        return []
    found = [_source_age(result) for result in json.loads(file.read_text())["results"]]
    return sorted(found, key=lambda source: source.name)


def _source_age(result: Mapping[str, Any]) -> SourceAge:
    criteria = result.get("criteria") or {}
    return SourceAge(
        unique_id=result["unique_id"],
        status=str(result["status"]),
        newest=_moment(result["max_loaded_at"]) if result.get("max_loaded_at") else None,
        checked=_moment(result["snapshotted_at"]) if result.get("snapshotted_at") else None,
        warn_after=_period(criteria.get("warn_after")),
        error_after=_period(criteria.get("error_after")),
        message=str(result.get("error") or ""),
    )


def _period(threshold: Mapping[str, Any] | None) -> timedelta | None:
    """A threshold as dbt writes it: a number of minutes, hours or days."""
    if not threshold or threshold.get("count") is None:
        return None
    return timedelta(**{f"{threshold['period']}s": int(threshold["count"])})


def built_at(folder: Path) -> datetime | None:
    """When the results of the last build were written, in UTC; None if there was none."""
    file = folder / RUN_RESULTS
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
