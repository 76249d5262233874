"""dbt run in the test's process over one domain, and what its tables hold before and after."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from dbt.cli.main import dbtRunner

from include.project.domains import Pipeline
from include.project.manifest import LAYERS, domain_selection
from tests.conftest import Warehouse, free_port, start_warehouse

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest
    from snowflake.connector.cursor import SnowflakeCursor

PROJECT = Path(__file__).parents[2] / "dbt"

Row = tuple[Any, ...]

BOUNDS = {"backfill_start", "backfill_end", "gaming_load_lookback_minutes"}
"""Variables that no configuration depends on: a project that was parsed without them serves."""


def layers_of(domain: str) -> dict[str, str]:
    """The layer of each of a domain's models."""
    return {
        file.stem: layer
        for layer in LAYERS
        for file in sorted((PROJECT / "models" / layer / domain).glob("*.sql"))
    }


def domains_alone(folder: Path, *domains: str) -> Path:
    """The dbt project without the other domains: it is parsed in a third of the time."""
    others = {part.name for part in PROJECT.glob("models/*/*")} - {*domains, "meta"}
    target = folder / "project"
    shutil.copytree(PROJECT, target, ignore=shutil.ignore_patterns(*others))
    return target


@dataclass(frozen=True)
class Outcome:
    """What one dbt command did.

    Attributes:
        success: whether dbt ended well; warnings are no failure.
        output: its messages.
        results: dbt's own, by unique id.
    """

    success: bool
    output: str
    results: dict[str, dict[str, Any]]

    def status(self, unique_id: str) -> str:
        """How a node ended, such as success, pass, warn, fail or error."""
        return str(self.results[unique_id]["status"])

    def rows_affected(self, model: str) -> int:
        """Rows that a model's statement inserted, updated and deleted."""
        assert self.success, self.output
        return int(self.results[f"model.firn.{model}"]["adapter_response"]["rows_affected"])


@dataclass(frozen=True)
class DbtRuns:
    """One domain of the dbt project, built into schemas that begin with `name`.

    Attributes:
        cursor: a connection's, for what tests look at.
        folder: for dbt's files.
        name: what FIRN_USER is.
        domain: the folder of the models.
        variables: dbt variables of every command.
        project: the dbt project.
        parsed: what dbt made of the project, by the variables that may stand in configurations.
    """

    cursor: SnowflakeCursor
    folder: Path
    name: str
    domain: str
    variables: Mapping[str, object] = field(default_factory=dict)
    project: Path = PROJECT
    parsed: dict[str, Manifest] = field(default_factory=dict, repr=False)

    @property
    def home(self) -> Path:
        """Of the warehouse that it is built in; what has landed is there too."""
        return Path(os.environ["FIRN_HOME"])

    def dbt(self, *arguments: str, **variables: object) -> Outcome:
        """Run a dbt command in this process."""
        chosen = json.dumps({**self.variables, **variables}, default=str)
        # dbt parses everything again when variables change, unless each set has its own folder.
        target = self.folder / hashlib.sha256(chosen.encode()).hexdigest()[:8]
        messages: list[str] = []

        def listen(event: Any) -> None:
            messages.append(event.info.msg)

        options = [
            f"--project-dir={self.project}",
            f"--profiles-dir={self.project}",
            f"--target-path={target}",
            f"--log-path={self.folder / 'logs'}",
            f"--vars={chosen}",
        ]
        manifest = None
        if arguments[0] in {"build", "run", "snapshot", "test"} or "--inline" in arguments:
            # Reading the project again takes longer than a small run does.
            decisive = {name: value for name, value in variables.items() if name not in BOUNDS}
            key = json.dumps({**self.variables, **decisive}, default=str)
            if key not in self.parsed:
                self.parsed[key] = cast("Manifest", dbtRunner().invoke(["parse", *options]).result)
            manifest = self.parsed[key]
        done = dbtRunner(manifest, callbacks=[listen]).invoke([*arguments, *options])
        results = target / "run_results.json"
        found = json.loads(results.read_text())["results"] if results.exists() else []
        results.unlink(missing_ok=True)
        by_id = {result["unique_id"]: result for result in found}
        return Outcome(done.success, "\n".join(messages), by_id)

    def build(self, *arguments: str, **variables: object) -> Outcome:
        """`dbt build` of what the domain's task group builds, tests included."""
        return self.dbt(
            "build", "--select", *domain_selection(self.domain), *arguments, **variables
        )

    def run(self, *arguments: str, **variables: object) -> Outcome:
        """The domain's models without their tests."""
        return self.dbt("run", "--select", *domain_selection(self.domain), *arguments, **variables)

    def rows(self, sql: str, *values: object) -> list[Row]:
        """All rows of a query."""
        self.cursor.execute(sql, values or None)
        return [tuple(row) for row in self.cursor.fetchall()]

    def value(self, sql: str, *values: object) -> Any:
        """The first value of a query."""
        return self.rows(sql, *values)[0][0]

    def answers(self, pipeline: Pipeline) -> dict[str, int]:
        """How many rows answer each question of the demo."""
        mart = f"analytics_dev.{self.name}_mart"
        return {
            question: len(self.rows(sql.format(mart=mart)))
            for question, sql in pipeline.questions.items()
        }

    def table(self, node: str) -> str:
        """The relation of a model, or of a snapshot."""
        layer = layers_of(self.domain).get(node, "snapshots")
        return f"analytics_dev.{self.name}_{layer}.{node}"

    def remember(self, models: Collection[str] | None = None) -> None:
        """Keep a copy of every model's rows for `differences`; not of those left out."""
        for model in models or layers_of(self.domain):
            self.rows(
                f"create or replace table {model}__before as select * from {self.table(model)}"
            )

    def differences(self, models: Collection[str] | None = None) -> dict[str, int]:
        """Per model: rows that were not there at `remember`, or are there no more."""
        found = {
            model: self.apart(
                f"select * from {model}__before", f"select * from {self.table(model)}"
            )
            for model in models or layers_of(self.domain)
        }
        return {model: count for model, count in found.items() if count}

    def apart(self, one: str, other: str, what: str = "*") -> int:
        """How many rows (or distinct `what`) only one of two queries returns."""
        either = f"(({one}) minus ({other})) union all (({other}) minus ({one}))"
        counted = what if what == "*" else f"distinct {what}"
        return int(self.value(f"select count({counted}) from ({either})"))


@contextmanager
def dbt_environment(warehouse: Warehouse, name: str) -> Iterator[None]:
    """Settings for dbt in this process: the warehouse, and `name` in front of every schema."""
    with pytest.MonkeyPatch.context() as environment:
        for variable, value in warehouse.environment().items():
            environment.setenv(variable, value)
        environment.setenv("FIRN_USER", name)
        yield


@contextmanager
def dbt_runs(
    warehouse: Warehouse,
    folder: Path,
    domain: str,
    name: str,
    also: Collection[str] = (),
    /,
    **variables: object,
) -> Iterator[DbtRuns]:
    """A domain over its raw tables in RAW; copies of `remember` stand in RAW.<NAME>.

    Args:
        warehouse: where it is built.
        folder: for dbt's files.
        domain: the folder of the models.
        name: what FIRN_USER is.
        also: further domains that are built.
        variables: dbt variables of every command.
    """
    project = domains_alone(folder, domain, *also)
    with _connected(warehouse, name) as cursor:
        yield DbtRuns(cursor, folder, name, domain, variables, project)


@contextmanager
def _connected(warehouse: Warehouse, name: str) -> Iterator[SnowflakeCursor]:
    with (
        dbt_environment(warehouse, name),
        warehouse.connect(database="RAW") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"create schema if not exists {name}")
        cursor.execute(f"use schema {name}")
        yield cursor


@dataclass(frozen=True)
class Beginning:
    """A domain that was built once. A test that changes it does so in a copy of the warehouse.

    Attributes:
        home: of the stopped warehouse.
        runs: the commands that have built it.
    """

    home: Path
    runs: DbtRuns

    @contextmanager
    def copy(self, home: Path) -> Iterator[DbtRuns]:
        """The domain as it was built, in a warehouse of its own; nothing is parsed again."""
        shutil.copytree(self.home, home, ignore=shutil.ignore_patterns("run"))
        warehouse = Warehouse(home, free_port())
        warehouse.process.start()
        try:
            with _connected(warehouse, self.runs.name) as cursor:
                yield replace(self.runs, cursor=cursor)
        finally:
            warehouse.process.stop()


def begin(
    folder: Path, domain: str, build: Callable[[DbtRuns], object], **variables: object
) -> Beginning:
    """Let `build` load and build a domain in a new warehouse, which is stopped afterwards."""
    warehouse = start_warehouse(folder / "home")
    try:
        with dbt_runs(warehouse, folder / "dbt", domain, "test", **variables) as runs:
            build(runs)
    finally:
        warehouse.process.stop()
    return Beginning(warehouse.home, runs)
