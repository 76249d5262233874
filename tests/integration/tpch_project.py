"""The tpch models over a source of their own, that a test may change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from include.domains.tpch import sample as tpch
from tests.integration.dbt_runs import DbtRuns, Outcome, dbt_environment, domains_alone

if TYPE_CHECKING:
    from tests.conftest import Warehouse

FACTS = ("stg_tpch__fct_orders", "stg_tpch__fct_lineitem")


def written(run: Outcome) -> tuple[int, ...]:
    """Rows inserted, updated and deleted, for orders and for lines."""
    return tuple(run.rows_affected(fact) for fact in FACTS)


class Project(DbtRuns):
    """The tpch models; the cursor stands in their source schema."""

    def load_facts(self, **variables: object) -> tuple[int, ...]:
        """One incremental run of orders and lines; how many rows it wrote to each."""
        return written(self.dbt("run", "--select", *FACTS, **variables))


@contextmanager
def project(
    warehouse: Warehouse, folder: Path, name: str, **variables: object
) -> Iterator[Project]:
    """The project over the source schema `name`, which is there afterwards and empty."""
    with warehouse.connect(database=tpch.DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute(f"create schema if not exists {name}")
    with (
        dbt_environment(warehouse, name),
        warehouse.connect(database=tpch.DATABASE, schema=name) as connection,
        connection.cursor() as cursor,
    ):
        chosen = {"tpch_schema": name, **variables}
        yield Project(cursor, folder, name, "tpch", chosen, domains_alone(folder, "tpch"))
