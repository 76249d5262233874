"""The tpch models over a source of their own, that a test may change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dbt.cli.main import dbtRunner

from include.sample_data import tpch

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

    from tests.conftest import Warehouse

PROJECT = Path(__file__).parents[2] / "dbt"
FACTS = ("stg_tpch__fct_orders", "stg_tpch__fct_lineitem")
TABLES = {
    **dict.fromkeys(FACTS, "staging"),
    **{
        file.stem: layer
        for layer in ("intermediate", "mart")
        for file in sorted((PROJECT / "models" / layer / "tpch").glob("*.sql"))
    },
}
"""The layer of every model that is a table."""

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What one dbt command did."""

    success: bool
    output: str
    results: dict[str, dict[str, Any]]

    def rows_written(self) -> tuple[int, ...]:
        """Rows inserted, updated and deleted, for orders and for lines."""
        assert self.success, self.output
        found = (self.results[f"model.firn.{fact}"] for fact in FACTS)
        return tuple(int(result["adapter_response"]["rows_affected"]) for result in found)


@dataclass(frozen=True)
class Project:
    """The dbt project over a source schema, built into schemas with the same name as prefix."""

    cursor: SnowflakeCursor
    folder: Path
    name: str
    variables: Mapping[str, object] = field(default_factory=dict)

    def dbt(self, *arguments: str, **variables: object) -> Outcome:
        """Run a dbt command in this process, as the DAG's tasks do."""
        chosen = json.dumps({"tpch_schema": self.name, **self.variables, **variables}, default=str)
        # dbt parses everything again when variables change, unless each set has its own folder.
        target = self.folder / hashlib.sha256(chosen.encode()).hexdigest()[:8]
        messages: list[str] = []

        def listen(event: Any) -> None:
            messages.append(event.info.msg)

        done = dbtRunner(callbacks=[listen]).invoke(
            [
                *arguments,
                f"--project-dir={PROJECT}",
                f"--profiles-dir={PROJECT}",
                f"--target-path={target}",
                f"--log-path={self.folder / 'logs'}",
                f"--vars={chosen}",
            ]
        )
        results = target / "run_results.json"
        found = json.loads(results.read_text())["results"] if results.exists() else []
        results.unlink(missing_ok=True)
        by_id = {result["unique_id"]: result for result in found}
        return Outcome(done.success, "\n".join(messages), by_id)

    def load_facts(self, **variables: object) -> tuple[int, ...]:
        """One incremental run of orders and lines; how many rows it wrote to each."""
        return self.dbt("run", "--select", *FACTS, **variables).rows_written()

    def rows(self, sql: str, *values: object) -> list[Row]:
        self.cursor.execute(sql, values or None)
        return [tuple(row) for row in self.cursor.fetchall()]

    def value(self, sql: str, *values: object) -> Any:
        return self.rows(sql, *values)[0][0]

    def table(self, node: str) -> str:
        return f"analytics_dev.{self.name}_{TABLES.get(node, 'snapshots')}.{node}"

    def remember(self) -> None:
        """Keep a copy of every table for `differences`."""
        for model in TABLES:
            self.rows(
                f"create or replace table {model}__before as select * from {self.table(model)}"
            )

    def differences(self) -> dict[str, int]:
        """Per table: rows that were not there at `remember`, or are there no more."""
        found = {
            model: self.apart(
                f"select * from {model}__before", f"select * from {self.table(model)}"
            )
            for model in TABLES
        }
        return {model: count for model, count in found.items() if count}

    def apart(self, one: str, other: str, what: str = "*") -> int:
        """How many rows (or distinct `what`) only one of two queries returns."""
        either = f"(({one}) minus ({other})) union all (({other}) minus ({one}))"
        counted = what if what == "*" else f"distinct {what}"
        return int(self.value(f"select count({counted}) from ({either})"))


@contextmanager
def project(
    warehouse: Warehouse, folder: Path, name: str, **variables: object
) -> Iterator[Project]:
    """The project over the source schema `name`, which is there afterwards and empty."""
    with warehouse.connect(database=tpch.DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute(f"create schema if not exists {name}")
    with (
        pytest.MonkeyPatch.context() as environment,
        warehouse.connect(database=tpch.DATABASE, schema=name) as connection,
        connection.cursor() as cursor,
    ):
        for variable, value in warehouse.environment().items():
            environment.setenv(variable, value)
        environment.setenv("FIRN_USER", name)
        yield Project(cursor, folder, name, variables)
