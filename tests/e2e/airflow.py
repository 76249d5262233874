"""Airflow and a local warehouse of their own, for the tests of one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from include.airflow.environment import airflow_environment
from include.local_warehouse.history import history_file
from include.orchestration.single_run import DagRunOutcome, run_dag
from include.project.builds import NodeResult
from include.warehouse.connection import ConnectionSettings, connect
from include.warehouse.local_process import start_warehouse, stop_warehouse
from tests.conftest import free_port
from tests.e2e.statement_budgets import BUDGETS
from tests.prepared_airflow import prepare


@dataclass(frozen=True)
class Prepared:
    """A warehouse that runs, and an Airflow that runs a DAG when it is asked to.

    Attributes:
        settings: of the warehouse.
        variables: the environment of Airflow's processes.
        ran: the DAGs that have run.
    """

    settings: ConnectionSettings
    variables: dict[str, str]
    ran: set[str] = field(default_factory=set, init=False)

    def run_dag(
        self,
        dag_id: str,
        *,
        variables: Mapping[str, str] | None = None,
        on_node: Callable[[NodeResult], None] = lambda _: None,
        **conf: Any,
    ) -> DagRunOutcome:
        """One run, with what its form was filled in with; it keeps to its budget of statements."""
        before = self._statements()
        outcome = run_dag(dag_id, variables or self.variables, conf=conf, on_node=on_node)
        sent = self._statements() - before
        budget = BUDGETS.get(dag_id)
        if budget and not conf:
            allowed = budget.again if dag_id in self.ran else budget.first
            if outcome.unchanged:
                allowed = budget.unchanged
            assert sent <= allowed, f"{dag_id} sent {sent} statements, allowed are {allowed}."
        self.ran.add(dag_id)
        return outcome

    def _statements(self) -> int:
        """How many the warehouse was asked so far."""
        with history_file(self.settings.warehouse_home).open("rb") as lines:
            return sum(1 for _ in lines)

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last statement."""
        with connect(self.settings) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]


@contextmanager
def prepared(home: Path, **environment: str | None) -> Iterator[Prepared]:
    """Start a warehouse in a folder and prepare Airflow there; the warehouse is stopped after.

    Args:
        home: an empty folder.
        environment: variables that are set, or with None taken away, for as long.
    """
    settings = ConnectionSettings(firn_home=home, firn_local_port=free_port(), firn_user="test")
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("FIRN_AIRFLOW_PORT", str(free_port()))
        for name, value in environment.items():
            if value is None:
                changed.delenv(name, raising=False)
            else:
                changed.setenv(name, value)
        variables = airflow_environment(headless=True, settings=settings)
        try:
            assert start_warehouse(variables)
            prepare(variables)
            yield Prepared(settings, variables)
        finally:
            stop_warehouse(variables)
