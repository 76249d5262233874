"""Random changes in the source of the tpch models, each round followed by an incremental run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from include.domains.tpch import sample as tpch
from tests import campaign
from tests.integration import tpch_project
from tests.integration.tpch_project import FACTS, Project, written

if TYPE_CHECKING:
    from tests.conftest import Warehouse

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SOURCE = "tpch_random_test"
ROUNDS = campaign.size(2, 30)
CHANGES_IN_A_ROUND = 16
KEYS = {"stg_tpch__fct_orders": "order_key", "stg_tpch__fct_lineitem": "order_key, line_number"}


@pytest.fixture
def project(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    tpch.load(0.01, schema=SOURCE.upper(), settings=warehouse.settings())
    folder = tmp_path_factory.mktemp("dbt")
    # Sixty ranges of order keys instead of one, as at larger scales.
    with tpch_project.project(warehouse, folder, SOURCE, tpch_line_bucket_size=1000) as project:
        yield project


class Series:
    """Draws changes of orders and lines and makes them in the source."""

    def __init__(self, project: Project, seed: int) -> None:
        self._sql = project.rows
        self._draw = random.Random(seed)  # noqa: S311
        self._changes: list[Callable[[], Any]] = [
            self.new_order,
            self.line_without_order,
            self.order_moves,
            self.order_is_corrected,
            self.line_is_corrected,
            self.line_gets_another_number,
            self.line_goes,
            self.all_lines_go,
            self.order_goes_with_its_lines,
            self.order_goes_and_its_lines_stay,
            self.order_comes_back,
            self.nothing_really_changes,
        ]
        self._sql("create or replace table orders_at_first as select * from orders")
        self._sql("create or replace table lineitem_at_first as select * from lineitem")
        self.log: list[str] = []

    def go_on(self) -> None:
        """The changes of one round."""
        for _ in range(CHANGES_IN_A_ROUND):
            change = self._draw.choice(self._changes)
            self.log.append(f"{change.__name__}({change()})")

    def _order(self, table: str = "orders") -> int:
        keys = [key for (key,) in self._sql(f"select o_orderkey from {table} order by 1")]
        key: int = self._draw.choice(keys)
        return key

    def _line(self) -> tuple[int, int]:
        lines = self._sql(
            "select l_orderkey, l_linenumber from lineitem where l_orderkey >= %s"
            " order by l_orderkey, l_linenumber limit 1",
            self._order(),
        )
        key, number = lines[0] if lines else (self._order(), 1)
        return key, number

    def _new_key(self) -> int:
        taken = {key for (key,) in self._sql("select o_orderkey from orders")}
        taken |= {key for (key,) in self._sql("select distinct l_orderkey from lineitem")}
        # Keys of the benchmark have gaps, so that most new ones are lower than those loaded.
        free = [key for key in range(1, 65_000) if key not in taken]
        return self._draw.choice(free)

    def _copy_lines(self, to: int, of: int) -> None:
        self._sql(
            "insert into lineitem select %s, * exclude l_orderkey from lineitem_at_first"
            " where l_orderkey = %s",
            to,
            of,
        )

    def new_order(self) -> int:
        key, like = self._new_key(), self._order("orders_at_first")
        self._sql(
            "insert into orders select %s, * exclude o_orderkey from orders_at_first"
            " where o_orderkey = %s",
            key,
            like,
        )
        self._copy_lines(key, like)
        return key

    def line_without_order(self) -> int:
        key = self._new_key()
        self._copy_lines(key, self._order("orders_at_first"))
        return key

    def order_moves(self) -> int:
        key, days = self._order(), self._draw.randint(-900, 900)
        day = date(1995, 1, 1) + timedelta(days)
        self._sql("update orders set o_orderdate = %s where o_orderkey = %s", day, key)
        return key

    def order_is_corrected(self) -> int:
        key, cents = self._order(), self._draw.randint(-999, 999)
        self._sql(
            "update orders set o_totalprice = o_totalprice + %s / 100, o_clerk = %s"
            " where o_orderkey = %s",
            cents,
            f"Clerk#{cents}",
            key,
        )
        return key

    def line_is_corrected(self) -> tuple[int, int]:
        key, number = self._line()
        column, value = self._draw.choice(
            [
                ("l_quantity", self._draw.randint(1, 50)),
                ("l_discount", self._draw.randint(0, 10) / 100),
                ("l_shipmode", self._draw.choice(["AIR", "SLEDGE"])),
                ("l_receiptdate", date(1999, 1, self._draw.randint(1, 28))),
            ]
        )
        self._sql(
            f"update lineitem set {column} = %s where l_orderkey = %s and l_linenumber = %s",
            value,
            key,
            number,
        )
        return key, number

    def line_gets_another_number(self) -> tuple[int, int]:
        key, number = self._line()
        self._sql(
            "update lineitem set l_linenumber = l_linenumber + 10"
            " where l_orderkey = %s and l_linenumber = %s and not exists"
            " (select 1 from lineitem where l_orderkey = %s and l_linenumber = %s)",
            key,
            number,
            key,
            number + 10,
        )
        return key, number

    def line_goes(self) -> tuple[int, int]:
        key, number = self._line()
        self._sql("delete from lineitem where l_orderkey = %s and l_linenumber = %s", key, number)
        return key, number

    def all_lines_go(self) -> int:
        key = self._order()
        self._sql("delete from lineitem where l_orderkey = %s", key)
        return key

    def order_goes_with_its_lines(self) -> int:
        key = self.order_goes_and_its_lines_stay()
        self._sql("delete from lineitem where l_orderkey = %s", key)
        return key

    def order_goes_and_its_lines_stay(self) -> int:
        key = self._order()
        self._sql("delete from orders where o_orderkey = %s", key)
        return key

    def order_comes_back(self) -> int:
        gone = self._sql(
            "select o_orderkey from orders_at_first"
            " where o_orderkey not in (select o_orderkey from orders) order by 1"
        )
        if not gone:
            return self.new_order()
        key: int = self._draw.choice(gone)[0]
        self._sql("insert into orders select * from orders_at_first where o_orderkey = %s", key)
        self._sql("delete from lineitem where l_orderkey = %s", key)
        self._copy_lines(key, key)
        return key

    def nothing_really_changes(self) -> int:
        key = self._order()
        self._sql("update orders set o_clerk = o_clerk where o_orderkey = %s", key)
        return key


@pytest.mark.campaign
def test_after_any_series_of_changes_incremental_is_what_a_full_rebuild_is(
    project: Project,
) -> None:
    series = Series(project, campaign.SEED)
    assert project.dbt("run", "--select", *FACTS).success
    total = [0, 0]
    for number in range(1, ROUNDS + 1):
        for fact in FACTS:
            project.rows(
                f"create or replace table {fact}__before as select * from {project.table(fact)}"
            )
        series.go_on()
        story = f"round {number}, after {', '.join(series.log)}"

        run = project.dbt("run", "--select", *FACTS)
        assert run.success, f"{story}\n{run.output}"
        changed = []
        for fact in FACTS:
            now = f"select * from {project.table(fact)}"
            # The query of the model is what a full refresh would fill the table with.
            rebuilt = run.results[f"model.firn.{fact}"]["compiled_code"]
            assert project.apart(now, f"select * from ({rebuilt})") == 0, f"{fact}: {story}"
            changed.append(project.apart(f"select * from {fact}__before", now, what=KEYS[fact]))
        assert written(run) == tuple(changed), f"rows that did not change, or twice: {story}"
        assert project.load_facts() == (0, 0), f"a second run wrote rows: {story}"
        total = [before + more for before, more in zip(total, changed, strict=True)]

    assert min(total) > 0, f"the series changed nothing: {story}"
    for fact in FACTS:
        project.rows(
            f"create or replace table {fact}__before as select * from {project.table(fact)}"
        )
    assert project.dbt("run", "--full-refresh", "--select", *FACTS).success
    for fact in FACTS:
        now = f"select * from {project.table(fact)}"
        assert project.apart(f"select * from {fact}__before", now) == 0, f"{fact}: {story}"
