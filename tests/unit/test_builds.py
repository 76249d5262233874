"""What dbt leaves of a DAG's builds, kept and read again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.project.builds import (
    SourceAge,
    keep_freshness,
    keep_run_results,
    read_freshness,
    read_run_results,
)

SOURCES = {
    "results": [
        {
            "unique_id": "source.firn.shop.visits",
            "status": "runtime error",
            "error": "no such table",
        },
        {
            "unique_id": "source.firn.shop.orders",
            "status": "warn",
            "max_loaded_at": "2025-01-02T06:00:00+00:00",
            "snapshotted_at": "2025-01-02T08:00:00+00:00",
            "criteria": {
                "warn_after": {"count": 90, "period": "minute"},
                "error_after": {"count": None, "period": None},
            },
        },
    ]
}


def leave(project: Path, name: str, content: object) -> None:
    (project / "target").mkdir(parents=True, exist_ok=True)
    (project / "target" / name).write_text(json.dumps(content))


def test_the_ages_of_sources_are_kept_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "builds"
    leave(tmp_path, "sources.json", SOURCES)
    keep_freshness(str(tmp_path), str(folder), context={})
    orders, visits = read_freshness(folder)
    assert orders == SourceAge(
        "source.firn.shop.orders",
        "warn",
        datetime(2025, 1, 2, 6, tzinfo=UTC),
        datetime(2025, 1, 2, 8, tzinfo=UTC),
        timedelta(minutes=90),
    )
    assert (visits.name, visits.newest, visits.message) == ("visits", None, "no such table")


def test_a_check_replaces_the_one_before_and_leaves_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "builds"
    contents: list[dict[str, Any]] = [SOURCES, {"results": []}]
    for content in contents:
        leave(tmp_path, "sources.json", content)
        leave(tmp_path, "run_results.json", {"results": []})
        keep_freshness(str(tmp_path), str(folder))
        keep_run_results(str(tmp_path), str(folder))
    assert read_freshness(folder) == []
    assert read_run_results(folder) == []
    assert sorted(file.name for file in folder.iterdir()) == ["run_results.json", "sources.json"]


def test_what_is_not_there_is_neither_kept_nor_read(tmp_path: Path) -> None:
    keep_freshness(str(tmp_path), str(tmp_path / "builds"))
    assert not (tmp_path / "builds").exists()
    assert read_freshness(tmp_path / "builds") == []
