"""Whether there is anything to build: what a DAG's last build was made of, and what there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from snowflake.connector.cursor import SnowflakeCursor

from include.project.changes import Scope, built, last_build, record
from include.warehouse import ledgers
from include.warehouse.connection import ConnectionSettings
from tests.conftest import Warehouse

pytestmark = pytest.mark.integration

MART, OTHER = "shop__sales__daily", "shop__stock__hourly"


@dataclass
class Shop:
    """A domain of its own with two DAGs, of which the first reads what the second builds."""

    settings: ConnectionSettings
    cursor: SnowflakeCursor
    scope: Scope
    code: str = "one"

    def load(self, status: str = "committed", /, **counts: int | None) -> None:
        """A load that has ended, by whichever DAG."""
        told = {"loaded": 0, "rejected": 0, "superseded": 0, "removed": 0} | counts
        self.cursor.execute(
            f"insert into {ledgers.LOADS.table} (load_id, content_id, attempt_id, domain, source,"
            " source_file, file_bytes, load_mode, status, started_at, finished_at, loaded,"
            " rejected, superseded, removed) select %(id)s, %(id)s, %(id)s, %(domain)s, 'orders',"
            " 'orders.csv', 1, 'append', %(status)s, sysdate(), sysdate(), %(loaded)s,"
            " %(rejected)s, %(superseded)s, %(removed)s",
            {"id": uuid4().hex, "domain": self.scope.domain, "status": status} | told,
        )

    def now(self, dag: str = MART) -> str:
        """What there is to build from."""
        return last_build(
            self.cursor, self.settings, self.scope.domain, dag, with_others=dag == MART
        )[0]

    def build(self, dag: str = MART) -> None:
        """A build that goes well, of what there is now."""
        made = built(
            self.cursor, self.settings, self.scope, {"code": self.code, "loads": self.now(dag)}
        )
        assert made is not None
        record(self.cursor, self.settings, self.scope, dag, made)

    def is_unchanged(self, dag: str = MART) -> bool:
        """Whether a run of the DAG has nothing to build."""
        loads, last = last_build(
            self.cursor, self.settings, self.scope.domain, dag, with_others=dag == MART
        )
        if last is None:
            return False
        made = built(self.cursor, self.settings, self.scope, {"code": self.code, "loads": loads})
        return last == made


@pytest.fixture
def shop(warehouse: Warehouse) -> Iterator[Shop]:
    name = f"s{uuid4().hex[:10]}"
    settings = warehouse.settings().model_copy(update={"firn_user": name})
    with (
        warehouse.connect(database=settings.database) as connection,
        connection.cursor() as cursor,
    ):
        ledgers.prepare(cursor)
        schema = f"{settings.database}.{name}_mart"
        cursor.execute(f"create schema {schema}")
        cursor.execute(f"create table {schema}.sales (id int)")
        cursor.execute(f"create view {schema}.newest as select max(id) as id from {schema}.sales")
        nodes = ("model.firn.newest", "model.firn.sales")
        relations = tuple(f"{schema}.{table}" for table in ("newest", "sales"))
        yield Shop(settings, cursor, Scope(name, nodes, relations, reads_others=True))
        cursor.execute(f"drop schema {schema}")


def test_a_dag_that_never_built_builds(shop: Shop) -> None:
    assert not shop.is_unchanged()
    shop.build()
    assert shop.is_unchanged()
    assert not shop.is_unchanged(OTHER)


@pytest.mark.parametrize("counts", [{"loaded": 1}, {"rejected": 1}, {"removed": 1}])
def test_a_load_that_changes_something_is_built(shop: Shop, counts: dict[str, int]) -> None:
    shop.load(loaded=5)
    shop.build()
    assert shop.is_unchanged()
    shop.load(**counts)
    assert not shop.is_unchanged()
    shop.build()
    assert shop.is_unchanged()


def test_a_load_of_an_earlier_version_counts_whatever_it_did(shop: Shop) -> None:
    shop.build()
    shop.load(removed=None)
    assert not shop.is_unchanged()


def test_what_changes_no_raw_table_is_not_built(shop: Shop) -> None:
    shop.build()
    shop.load(superseded=4)
    shop.load("refused")
    shop.load("started", loaded=None, rejected=None)
    assert shop.is_unchanged()


def test_a_load_that_commits_while_it_is_built_is_built_by_the_next_run(shop: Shop) -> None:
    began = shop.now()
    shop.load(loaded=1)
    made = built(shop.cursor, shop.settings, shop.scope, {"code": shop.code, "loads": began})
    assert made is not None
    record(shop.cursor, shop.settings, shop.scope, MART, made)
    assert not shop.is_unchanged()


def test_what_another_dag_builds_is_built_upon_and_not_the_other_way_round(shop: Shop) -> None:
    shop.build(OTHER)
    shop.build()
    assert shop.is_unchanged()
    assert shop.is_unchanged(OTHER)
    shop.build(OTHER)
    assert not shop.is_unchanged()
    assert shop.is_unchanged(OTHER)


def test_other_code_is_built(shop: Shop) -> None:
    shop.build()
    shop.code = "two"
    assert not shop.is_unchanged()


def test_tables_that_are_gone_or_were_replaced_are_built(shop: Shop) -> None:
    shop.build()
    newest, sales = shop.scope.relations
    # Two DAGs may build a view; it is the same view again.
    shop.cursor.execute(f"create or replace view {newest} as select max(id) as id from {sales}")
    assert shop.is_unchanged()
    shop.cursor.execute(f"create or replace table {sales} (id int)")
    assert not shop.is_unchanged()
    shop.build()
    assert shop.is_unchanged()
    shop.cursor.execute(f"drop view {newest}")
    assert not shop.is_unchanged()


def test_a_build_somewhere_else_is_none_here(shop: Shop) -> None:
    shop.build()
    shop.settings = shop.settings.model_copy(update={"firn_user": f"{shop.settings.firn_user}_too"})
    assert not shop.is_unchanged()


def test_a_range_does_not_stand_for_all_there_is(shop: Shop) -> None:
    made_of = {"code": "", "loads": shop.now()}
    assert built(shop.cursor, shop.settings, shop.scope, made_of) is None
