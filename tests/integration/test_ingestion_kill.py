"""A loader that is killed, again and again and everywhere, loses no row and doubles none."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from include.ingestion.raw import LOADS, REJECTED_ROWS, STAGE
from include.ingestion.results import STEPS
from include.warehouse.connection import REPOSITORY
from tests import campaign

pytestmark = [pytest.mark.integration, pytest.mark.campaign]

COLUMNS = [
    {"name": "id", "type": "integer", "nullable": False},
    {"name": "amount", "type": "number(10, 2)"},
    {"name": "note"},
]
MODES: dict[str, dict[str, Any]] = {
    "merge": {"load": "merge", "key": ["id"]},
    "append": {"load": "append", "duplicates": "drop"},
    "replace": {"load": "replace", "duplicates": "drop"},
}

# Those that it shares with a load in one process, and its own before them.
STEPS_OF_PARTS = (
    *("fingerprinted", "cleaned", "claimed", "chunk written", "cut", "chunk loaded"),
    *STEPS[STEPS.index("copied") :],
)


class Victim:
    """A process whose loaders can be killed."""

    def __init__(self, environment: dict[str, str], landing: Path) -> None:
        self.landing = landing
        self.kills = 0
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ingestion_victim.py"))],
            cwd=REPOSITORY,
            env=environment | {"PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, domain: str, mode: str, **how: Any) -> str:
        source = {"name": "things", "columns": COLUMNS, "chunk_rows": 40} | MODES[mode]
        order = {"source": source, "domain": domain, "landing": str(self.landing)} | how
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{json.dumps(order)}\n")
        stdin.flush()
        answer = stdout.readline().strip()
        self.kills += answer == "killed"
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """A warehouse that rolls back what a killed client left open after a moment."""
    monkeypatch.setenv("FIRN_LOCAL_IDLE_TRANSACTION_SECONDS", "0.5")
    return request.getfixturevalue("own_warehouse")


@pytest.fixture
def victim(impatient: Any, tmp_path: Path) -> Iterator[Victim]:
    found = Victim(impatient.environment(), tmp_path / "landing")
    yield found
    found.close()


def deliver(victim: Victim, domain: str, number: int) -> str:
    """A file of 100 rows: 90 ids, 7 of them twice with another note, and 3 bad rows."""
    base = number * 50
    rows = [f"{base + row},{row}.5,file {number}" for row in range(90)]
    rows += [f"{base + row},{row}.5,file {number} again" for row in range(7)]
    rows += ["x,1.5,bad id", f"{base},much,bad amount", f"{base},1.5"]
    file = victim.landing / domain / "things" / f"{number}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    hidden = file.with_name(f".{file.name}")
    hidden.write_text("\n".join(["id,amount,note", *rows]) + "\n")
    hidden.rename(file)
    return file.name


def expected(mode: str, files: int) -> list[tuple[int, str, str]]:
    """Id, note and file of every row, worked out without the loader."""
    every = [
        (number * 50 + row, f"file {number}{' again' * again}", f"{number}.csv")
        for number in range(files)
        for again in (False, True)
        for row in range(7 if again else 90)
    ]
    if mode == "append":
        return sorted(every)
    if mode == "replace":
        return sorted(row for row in every if row[2] == f"{files - 1}.csv")
    return sorted({identity: (identity, note, file) for identity, note, file in every}.values())


def rows(warehouse: Any, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.connect(database="RAW") as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def require_whole(warehouse: Any, victim: Victim, domain: str, mode: str, files: int) -> None:
    """Exactly the expected rows, accounts that add up, and nothing left behind."""
    table = f'RAW.{domain}."THINGS"'
    found = rows(warehouse, f"select id, note, _source_file from {table} order by 1, 2, 3")
    assert found == expected(mode, files)
    loads = rows(
        warehouse,
        "select source_file, status, delivered, loaded, rejected, superseded"
        f" from {LOADS} where domain = '{domain}' order by load_id",
    )
    superseded = 7 if mode == "merge" else 0
    assert loads == [
        (f"{number}.csv", "committed", 100, 97 - superseded, 3, superseded)
        for number in range(files)
    ]
    assert rows(warehouse, f"select count(*) from {REJECTED_ROWS} where domain = '{domain}'") == [
        (3 * files,)
    ]
    assert (
        rows(
            warehouse,
            "select table_name from RAW.INFORMATION_SCHEMA.TABLES"
            " where table_schema = 'META' and table_name like 'LOAD!_%' escape '!'",
        )
        == []
    )
    assert rows(warehouse, f"list @{STAGE}") == []
    assert list((victim.landing / domain / "things").iterdir()) == []
    archived = (victim.landing / "archive" / domain / "things").iterdir()
    assert sorted(file.name.rpartition("-")[2] for file in archived) == sorted(
        f"{number}.csv" for number in range(files)
    )


def kill_at_each(
    warehouse: Any, victim: Victim, domain: str, mode: str, steps: Sequence[str], **how: Any
) -> None:
    """Kill a loader after each step, let one finish, and look at what there is."""
    files = 0
    for step in steps:
        waiting = victim.landing / domain / "things"
        if not (waiting.exists() and len(list(waiting.iterdir())) >= 2):
            deliver(victim, domain, files)
            deliver(victim, domain, files + 1)
            files += 2
        assert victim.order(domain, mode, kill_at=step, **how) == "killed", f"{domain}: {step}"
    assert victim.order(domain, mode, **how) == "done"
    require_whole(warehouse, victim, domain, mode, files)


def kill_anytime(warehouse: Any, victim: Victim, domain: str, kills: int, **how: Any) -> None:
    """Kill merging loaders at random times, let one finish, and look at what there is."""
    chance = random.Random(campaign.SEED)  # noqa: S311
    files = 0
    while kills > 0:
        if not files or not list((victim.landing / domain / "things").iterdir()):
            for _ in range(3):
                deliver(victim, domain, files)
                files += 1
        after = chance.uniform(0.05, 2.5)
        kills -= victim.order(domain, "merge", kill_after=after, **how) == "killed"
    while list((victim.landing / domain / "things").iterdir()):
        assert victim.order(domain, "merge", **how) == "done"
    require_whole(warehouse, victim, domain, "merge", files)


def test_killed_at_every_step_and_at_random_times(impatient: Any, victim: Victim) -> None:
    modes = list(MODES)[: campaign.size(1, len(MODES))]
    for mode in modes:
        kill_at_each(impatient, victim, mode, mode, STEPS)
        assert victim.order(mode, mode) == "failed", "a missing delivery is an error"
    random_kills = campaign.size(2, 100)
    kill_anytime(impatient, victim, "anytime", random_kills)
    assert victim.kills == len(STEPS) * len(modes) + random_kills


def test_killed_anywhere_while_chunks_load_by_themselves(impatient: Any, victim: Victim) -> None:
    kill_at_each(impatient, victim, "parts", "merge", STEPS_OF_PARTS, parts=True)
    random_kills = campaign.size(1, 50)
    kill_anytime(impatient, victim, "parts_anytime", random_kills, parts=True)
    assert list((victim.landing / ".chunks").iterdir()) == []
    assert victim.kills == len(STEPS_OF_PARTS) + random_kills
