"""What the summary of a run counts in the warehouse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from include.monitoring.run_summary import Run, summarize
from include.project.nodes import Project
from include.warehouse.catalogue import existing
from tests.conftest import Warehouse
from tests.integration.conftest import Sql

pytestmark = pytest.mark.integration


def test_a_view_over_a_table_that_is_gone_has_no_number_and_hides_no_other(
    warehouse: Warehouse, schema: str, sql: Sql
) -> None:
    sql("create table kept as select 1 as id union all select 2")
    sql("create table gone as select 1 as id")
    sql("create view broken as select * from gone")
    sql("drop table gone")
    names = {"kept": "staging", "broken": "intermediate", "never_made": "mart"}
    project = Project(
        layers=names.copy(), relations={name: f"raw.{schema.lower()}.{name}" for name in names}
    )
    run = Run("sales__orders__1h", schema, "sales", datetime.now(UTC), {})
    found = summarize(run, project, [], None, settings=warehouse.settings())
    rows = {layer.layer: layer.row_count for layer in found}
    assert rows["staging"] == 2
    assert rows["intermediate"] is None
    assert rows["mart"] is None


def test_a_database_that_is_not_there_holds_nothing(
    session: Callable[[], Sql], schema: str, warehouse: Warehouse
) -> None:
    session()("create table here (id int)")
    with warehouse.connect() as connection, connection.cursor() as cursor:
        found = existing(cursor, [f"raw.{schema}.here", f"raw.{schema}.not_here", "share.a.b"])
    assert found == {f"RAW.{schema}.HERE"}
