"""Slim builds on the local warehouse, which plays the account: production first, then changes.

Production is one small domain, built once; each test changes a copy of the dbt project that stands
in a repository of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.delivery.pull_requests import schemas, text
from include.delivery.pull_requests.errors import CiError
from include.delivery.pull_requests.rehearsal import (
    build_production,
    plan_rehearsal,
    rehearsal_settings,
)
from include.delivery.pull_requests.slim import RELATIONS, Outcome, Plan, Rows, slim_build
from include.delivery.pull_requests.state import ANCESTORS, Base, commit_of, find_base
from include.domains.retail import sample as retail
from include.ingestion.loader import load_source
from include.ingestion.sources import load_domain
from include.warehouse.connection import REPOSITORY, ConnectionSettings, connect
from tests.conftest import Warehouse, start_warehouse

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DOMAIN = "retail"
SIZES = retail.Sizes(customers=200, transactions=500, products=40)
PRODUCTS = "models/staging/retail/stg_retail__products.sql"
SUPPLIERS = """
select
    supplier,
    count(*) as product_count
from {{ ref('int_retail__products') }}
group by supplier
"""
CHANGED = {
    "stg_retail__products",
    "int_retail__products",
    "int_retail__products_active",
    "mart_retail__inventory",
    "mart_retail__data_quality",
}
"""What is built on the products, and nothing else is."""

MARK = "kept-from-production"


@dataclass
class Clone:
    """A repository with the dbt project, and production of its first commit.

    Attributes:
        folder: where it is.
        work: for dbt's files, in the same place for every test, so that parsing is quick.
        delivered: how often raw data was asked for.
    """

    folder: Path
    work: Path
    base: str = ""
    delivered: list[str] = field(default_factory=list)

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True
        )

    def change(self, file: str, before: str, after: str) -> None:
        path = self.folder / "dbt" / file
        code = path.read_text(encoding="utf-8")
        assert before in code, file
        path.write_text(code.replace(before, after, 1), encoding="utf-8")

    def take_back(self) -> None:
        self.git("checkout", "--quiet", ".")
        self.git("clean", "--quiet", "--force", "-d")

    def deliver(self, settings: ConnectionSettings, domain: str, _: Any) -> None:
        self.delivered.append(domain)
        landing = self.work / "landing"
        retail.deliver_days(1, SIZES, landing=landing)
        for source in load_domain(domain).sources:
            load_source(source, settings=settings, landing=landing)

    def plan(self, number: int = 7) -> Plan:
        """The working tree against production; production is built if it is not there."""
        return plan_rehearsal(
            rehearsal_settings("ci", number),
            self.base,
            self.work,
            known={DOMAIN},
            deliver=self.deliver,
            repository=self.folder,
            say=lambda _: None,
        )

    def build(self, plan: Plan, number: int = 7) -> Outcome:
        settings = rehearsal_settings("ci", number)
        return slim_build(settings, plan, self.work, repository=self.folder, quiet=True)


def built(outcome: Outcome) -> set[str]:
    return {node.name for node in outcome.nodes if node.kind in RELATIONS}


def planned(plan: Plan) -> set[str]:
    return {one.split(".")[2] for one in plan.of_kind(*RELATIONS)}


def rows(query: str) -> list[Any]:
    with connect(rehearsal_settings("ci")) as connection, connection.cursor() as cursor:
        return list(cursor.execute(query) or ())


def schemas_there() -> set[str]:
    return {
        row[0]
        for row in rows("select schema_name from ANALYTICS_CI.information_schema.schemata")
        if str(row[0]).startswith("PR_")
    }


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """Of this module alone: production has one name."""
    running = start_warehouse(tmp_path_factory.mktemp("firn"))
    with pytest.MonkeyPatch.context() as environment:
        for name, value in running.environment().items():
            environment.setenv(name, value)
        yield running
    running.process.stop()


@dataclass(frozen=True)
class Production:
    """What the first plan has found, for which production was built."""

    clone: Clone
    first: Plan
    delivered: list[str]


@pytest.fixture(scope="module")
def production(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Production:
    clone = Clone(tmp_path_factory.mktemp("clone"), warehouse.home / "ci")
    # Without the two largest domains, which nothing here changes, it is parsed in half the time.
    ignored = shutil.ignore_patterns("affiliate", "tpch")
    shutil.copytree(REPOSITORY / "dbt", clone.folder / "dbt", symlinks=True, ignore=ignored)
    shutil.copy(REPOSITORY / "packages.yml", clone.folder)
    clone.git("init", "--quiet", "--initial-branch=main")
    clone.git("add", ".")
    clone.git("commit", "--quiet", "--message", "base")
    clone.base = commit_of("HEAD", clone.folder)
    clone.change(PRODUCTS, "select * from renamed", "select * from renamed where true")
    first = clone.plan()
    clone.take_back()
    return Production(clone, first, list(clone.delivered))


@pytest.fixture
def clone(production: Production) -> Iterator[Clone]:
    """As it was committed."""
    yield production.clone
    production.clone.take_back()


def test_production_is_built_once_for_what_a_change_needs(
    clone: Clone, production: Production
) -> None:
    assert production.delivered == [DOMAIN]
    assert planned(production.first) == CHANGED
    assert production.first.base.how.startswith("Production as this machine has built it")
    # A second time it is there, and known by its commit.
    clone.change(PRODUCTS, "select * from renamed", "select * from renamed where true")
    plan = clone.plan()
    assert clone.delivered == [DOMAIN]
    assert plan.base.how == (
        f"The artifacts of {clone.base[:12]}, which production was built from."
    )
    share = plan.share()
    assert share.saved_seconds is not None
    assert 0 < share.seconds < share.of_seconds
    assert share.relations == len(CHANGED)


def test_a_change_of_words_alone_builds_nothing(clone: Clone) -> None:
    clone.change(PRODUCTS, "renamed as (", "-- the names of the warehouse\nrenamed as (")
    clone.change("macros/trimmed.sql", " -%}", " -%}{# a word #}")
    clone.change(
        "models/mart/retail/mart_retail__inventory.yml", "Question it answers", "The question"
    )
    clone.change(
        "dbt_project.yml", "retail_max_age_days_products: 2", "retail_max_age_days_products: 3"
    )
    before = schemas_there()
    plan = clone.plan(number=6)
    outcome = clone.build(plan, number=6)
    assert not plan.builds
    assert not outcome.nodes
    assert schemas_there() == before
    assert "stg_retail__products" in plan.silent.comments
    assert "trimmed" in plan.silent.comments
    assert plan.silent.descriptions == ["mart_retail__inventory"]
    assert plan.silent.freshness == ["retail.products"]
    assert plan.share().saved == 1
    assert "nothing to build" in text.comment(outcome)


def test_a_changed_model_builds_what_stands_on_it_and_reads_the_rest_from_production(
    clone: Clone,
) -> None:
    rows(
        "insert into ANALYTICS.MART.MART_RETAIL__DATA_QUALITY select * replace "
        f"('{MARK}' as load_id) from ANALYTICS.MART.MART_RETAIL__DATA_QUALITY limit 1"
    )
    in_production = rows("select count(*) from ANALYTICS.INTERMEDIATE.INT_RETAIL__PRODUCTS")[0][0]
    clone.change(
        PRODUCTS, "select * from renamed", "select * from renamed where product_id <> 'PROD_0001'"
    )
    plan = clone.plan()
    outcome = clone.build(plan)
    assert not outcome.failed, text.comment(outcome)
    assert built(outcome) == CHANGED
    assert {node.kind for node in outcome.nodes} == {"model", "test", "unit_test"}
    # What is not built here was read from production: there is no other.
    here = rows(
        "select lower(table_name) from ANALYTICS_CI.information_schema.tables "
        "where startswith(table_schema, 'PR_7_')"
    )
    assert {row[0] for row in here} == CHANGED
    compiled = clone.work / "target/compiled/firn/models/mart/retail/mart_retail__data_quality.sql"
    assert "ANALYTICS.staging.stg_retail__transactions" in compiled.read_text()
    assert "ANALYTICS_CI.pr_7_staging.stg_retail__products" in compiled.read_text()
    # The table that is merged into began as production's: what only that has is still there.
    assert outcome.cloned == ["mart_retail__data_quality"]
    kept = rows(
        "select count(*) from ANALYTICS_CI.PR_7_MART.MART_RETAIL__DATA_QUALITY "
        f"where load_id = '{MARK}'"
    )
    assert kept[0][0] == 1
    counted = outcome.rows["model.firn.int_retail__products"]
    assert counted == Rows(in_production - 1, in_production)
    said = text.comment(outcome)
    assert f"| {in_production - 1:,} | {in_production:,} | -1 |" in said
    assert "`retail_dashboard`" in said
    assert rows("select count(*) from ANALYTICS.INTERMEDIATE.INT_RETAIL__PRODUCTS")[0][0] == (
        in_production
    )


def test_a_new_model_builds_itself(clone: Clone) -> None:
    new = clone.folder / "dbt/models/intermediate/retail/int_retail__suppliers.sql"
    new.write_text(SUPPLIERS, encoding="utf-8")
    outcome = clone.build(clone.plan(number=8), number=8)
    assert not outcome.failed
    assert built(outcome) == {"int_retail__suppliers"}
    assert [node.kind for node in outcome.nodes] == ["model"]
    counted = outcome.rows["model.firn.int_retail__suppliers"]
    assert counted.here
    assert counted.production is None
    assert outcome.plan.share().relations == 1
    assert outcome.plan.share().seconds == 0


def test_sql_that_is_refused_is_found_before_anything_is_built(clone: Clone) -> None:
    new = clone.folder / "dbt/models/intermediate/retail/int_retail__suppliers.sql"
    new.write_text(SUPPLIERS.replace("supplier,", "suplier,"), encoding="utf-8")
    outcome = clone.build(clone.plan(number=9), number=9)
    assert outcome.failed
    assert outcome.stopped_early
    assert not outcome.rows
    assert "suplier" in text.comment(outcome).lower()


def test_a_variable_and_a_macro_count_where_they_are_used(clone: Clone) -> None:
    clone.change("dbt_project.yml", "retail_gold_above: 1500", "retail_gold_above: 1600")
    clone.change("macros/delete_replaced_rows.sql", "where", "where true and")
    touched = planned(clone.plan())
    assert {"int_retail__customers_enriched", "int_retail__transactions"} <= touched
    assert not {"mart_retail__inventory", "stg_retail__transactions"} & touched
    # What dbt does not come by when it parses: a strategy, and the branch of incremental runs.
    clone.take_back()
    clone.change("macros/key_sync.sql", "then delete", "and true then delete")
    clone.change("macros/loaded_since.sql", " -%}", " -%} true and")
    touched = planned(clone.plan())
    assert {"stg_gaming__purchases", "int_forex__parsed_transactions"} <= touched
    assert not {name for name in touched if "retail" in name}


def test_without_artifacts_of_its_own_a_base_takes_those_of_the_commit_before(
    clone: Clone,
) -> None:
    settings = rehearsal_settings("ci")
    clone.git("commit", "--quiet", "--allow-empty", "--message", "merged, not deployed")
    newer = commit_of("HEAD", clone.folder)
    base = find_base(settings, newer, clone.work / "other", repository=clone.folder)
    assert base.sha == clone.base
    assert "1 commit back" in base.how
    assert f"none are kept of the base {newer[:12]}" in base.how
    parsed = find_base(settings, newer, clone.work / "other", ancestors=0, repository=clone.folder)
    assert parsed.sha == newer
    assert "itself, parsed" in parsed.how
    assert parsed.manifest["nodes"]["model.firn.mart_retail__inventory"]["relation_name"] == (
        "ANALYTICS.mart.mart_retail__inventory"
    )
    assert ANCESTORS > 1


def test_production_is_built_by_a_rehearsal_alone(clone: Clone) -> None:
    account = ConnectionSettings(
        firn_target="prod",
        snowflake_account="myorg-myaccount",
        snowflake_user="ada",
        snowflake_password="secret",
        snowflake_warehouse="wh",
    )
    base = Base(clone.base, "", {})
    with pytest.raises(CiError, match="on the local warehouse alone"):
        build_production(account, base, {DOMAIN}, clone.work, repository=clone.folder)


# -- clean-up --------------------------------------------------------------------------------------


def test_only_the_schemas_of_a_pull_request_are_dropped(clone: Clone) -> None:
    settings = rehearsal_settings("ci", 40)
    own = ["PR_40_INTERMEDIATE", "PR_40_MART", "PR_40_STAGING"]
    others = {"PR_400_MART", "PR_40_MART2", "XPR_40_MART", "PR_41_MART"}
    for name in (*own, *others):
        rows(f"create schema ANALYTICS_CI.{name}")
        rows(f"create table ANALYTICS_CI.{name}.T (a int)")
    before = schemas_there()
    assert schemas.drop(settings, 40) == own
    assert schemas_there() == before - set(own)
    assert schemas.drop(settings, 40) == []
    assert rows("select count(*) from ANALYTICS_CI.XPR_40_MART.T") == [(0,)]
    assert rows("select count(*) from ANALYTICS.MART.MART_RETAIL__INVENTORY")[0][0] > 0


def test_what_is_swept_is_old_and_closed(clone: Clone) -> None:
    settings = rehearsal_settings("ci")
    rows("create schema ANALYTICS_CI.PR_20_MART2")
    for number in (20, 21, 22, 23):
        rows(f"create schema ANALYTICS_CI.PR_{number}_MART")
        rows(f"create table ANALYTICS_CI.PR_{number}_MART.OLD (a int)")
    time.sleep(3)
    rows("create schema ANALYTICS_CI.PR_22_STAGING")
    rows("create table ANALYTICS_CI.PR_22_STAGING.NEW (a int)")
    asked: list[int] = []

    def state_of(number: int) -> str:
        asked.append(number)
        return {20: "closed", 21: "open", 22: "closed"}.get(number, "unknown")

    age = timedelta(seconds=2)
    assert not [
        one
        for one in schemas.sweep(settings, timedelta(days=1), state_of)
        if one.number in (20, 22) and one.dropped
    ]
    would = {one.number: one for one in schemas.sweep(settings, age, state_of, dry_run=True)}
    assert would[20].dropped == ("PR_20_MART",)
    assert "PR_20_MART" in schemas_there()
    swept = {one.number: one for one in schemas.sweep(settings, age, state_of)}
    assert swept[20].dropped == ("PR_20_MART",)
    assert swept[21].kept == "GitHub says it is open"
    assert swept[22].kept == "changed not long ago"
    assert 22 not in asked
    assert swept[23].kept == "GitHub says it is unknown"
    there = schemas_there()
    assert "PR_20_MART" not in there
    assert {"PR_20_MART2", "PR_21_MART", "PR_22_MART", "PR_22_STAGING"} <= there
    # Without GitHub, age alone decides.
    assert {one.number for one in schemas.sweep(settings, age) if one.dropped} >= {21, 23}


def test_schemas_that_a_build_has_renewed_meanwhile_are_left(clone: Clone) -> None:
    settings = rehearsal_settings("ci")
    rows("create schema ANALYTICS_CI.PR_30_MART")
    rows("create table ANALYTICS_CI.PR_30_MART.OLD (a int)")
    time.sleep(3)

    def state_of(number: int) -> str:
        # It is opened again, and its build begins, after its age was read.
        if number == 30:
            rows("create or replace table ANALYTICS_CI.PR_30_MART.NEW (a int)")
        return "closed"

    swept = {one.number: one for one in schemas.sweep(settings, timedelta(seconds=2), state_of)}
    assert swept[30].kept == "changed just now"
    assert "PR_30_MART" in schemas_there()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("PR_12_MART", 12),
        ("PR_12_SOME_LAYER", 12),
        ("PR_12_", None),
        ("PR_12", None),
        ("PR_12_MART2", None),
        ("pr_12_mart", None),
        ("PR_12_MART; DROP", None),
        ("XPR_12_MART", None),
        ("PR__MART", None),
    ],
)
def test_a_schema_belongs_to_a_pull_request_by_its_whole_name(
    name: str, number: int | None
) -> None:
    assert schemas.number_of(name) == number
