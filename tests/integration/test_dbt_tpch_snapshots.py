"""The history of customers and suppliers: changed, gone, and back again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from include.domains.tpch import sample as tpch
from tests.integration import tpch_project
from tests.integration.dbt_runs import Row
from tests.integration.tpch_project import Project

if TYPE_CHECKING:
    from tests.conftest import Warehouse

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SNAPSHOTS = {
    # Snapshot: source table, and the letters its columns begin with.
    "snap_tpch__customer": ("CUSTOMER", "c", "custkey"),
    "snap_tpch__supplier": ("SUPPLIER", "s", "suppkey"),
}
ROWS = {
    "CUSTOMER": "(%s, 'Customer', 'here', 14, '24-1', 10.50, 'BUILDING', null)",
    "SUPPLIER": "(%s, 'Supplier', 'here', 14, '24-1', 10.50, null)",
}


@pytest.fixture(scope="module")
def project(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("dbt")
    with tpch_project.project(warehouse, folder, "tpch_snapshots_test") as project:
        for table, values in ROWS.items():
            columns = ", ".join(f"{name} {kind}" for name, kind in tpch.TABLES[table].items())
            project.rows(f"create table {table} ({columns})")
            for key in (1, 2, 3, 4):
                project.rows(f"insert into {table} values {values}", key)
        built = project.dbt("run", "--select", "stg_tpch__dim_customer", "stg_tpch__dim_supplier")
        assert built.success, built.output
        yield project


def take(project: Project) -> None:
    taken = project.dbt("snapshot", "--select", *SNAPSHOTS)
    assert taken.success, taken.output


def versions(project: Project, snapshot: str, *columns: str) -> list[Row]:
    key = f"{snapshot.removeprefix('snap_tpch__')}_key"
    return project.rows(
        f"select {', '.join([key, *columns])}, dbt_is_deleted, dbt_valid_to is null"
        f" from {project.table(snapshot)} order by {key}, dbt_valid_from"
    )


def test_history_of_what_changes_goes_and_comes_back_has_no_overlap(project: Project) -> None:
    for snapshot in SNAPSHOTS:
        assert not project.rows(
            "select 1 from analytics_dev.information_schema.tables"
            " where table_schema = upper(%s) and table_name = upper(%s)",
            f"{project.name}_snapshots",
            snapshot,
        )
    take(project)
    for snapshot in SNAPSHOTS:
        assert versions(project, snapshot) == [(key, "False", True) for key in (1, 2, 3, 4)]

    for table, first, key in SNAPSHOTS.values():
        # A value that was null, a number, a row that goes, a row that is new.
        project.rows(f"update {table} set {first}_comment = 'called' where {first}_{key} = 1")
        project.rows(f"update {table} set {first}_acctbal = 10.51 where {first}_{key} = 2")
        project.rows(f"delete from {table} where {first}_{key} = 3")
        project.rows(f"insert into {table} values {ROWS[table]}", 5)
    take(project)
    for snapshot in SNAPSHOTS:
        comment = f"{snapshot.removeprefix('snap_tpch__')}_comment"
        assert versions(project, snapshot, comment, "account_balance::varchar") == [
            (1, None, "10.50", "False", False),
            (1, "called", "10.50", "False", True),
            (2, None, "10.50", "False", False),
            (2, None, "10.51", "False", True),
            (3, None, "10.50", "False", False),
            (3, None, "10.50", "True", True),
            (4, None, "10.50", "False", True),
            (5, None, "10.50", "False", True),
        ]

    before = {snapshot: versions(project, snapshot) for snapshot in SNAPSHOTS}
    take(project)
    assert {snapshot: versions(project, snapshot) for snapshot in SNAPSHOTS} == before

    for table, _, _ in SNAPSHOTS.values():
        project.rows(f"insert into {table} values {ROWS[table]}", 3)
    take(project)
    for snapshot in SNAPSHOTS:
        assert [row for row in versions(project, snapshot) if row[0] == 3] == [
            (3, "False", False),
            (3, "True", False),
            (3, "False", True),
        ]

    tested = project.dbt("test", "--select", *SNAPSHOTS)
    assert tested.success, tested.output
    assert len(tested.results) >= 12
    # A version that overlaps another is found.
    for snapshot in SNAPSHOTS:
        key = f"{snapshot.removeprefix('snap_tpch__')}_key"
        project.rows(f"update {project.table(snapshot)} set dbt_valid_to = null where {key} = 1")
        tested = project.dbt("test", "--select", f"one_open_version_{snapshot}_{key}")
        assert not tested.success
        assert [result["failures"] for result in tested.results.values()] == [1]
