"""dbt-project-evaluator over the whole project, where its package is at hand.

The rules that a manifest is enough for are tests of our own, which run everywhere
(tests/unit/dbt_rules.py). This holds them against the package's own opinion.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.integration.dbt_runs import PROJECT, DbtRuns, dbt_environment

if TYPE_CHECKING:
    from tests.conftest import Warehouse

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PACKAGES = ("dbt_project_evaluator", "dbt_utils")
VARIABLES = {
    "primary_key_test_macros": [
        ["dbt.test_unique", "dbt.test_not_null"],
        ["firn.test_unique_combination"],
    ],
    "marts_folder_name": "mart",
    "marts_prefixes": ["mart_", "dim_", "fct_"],
    # As in tests/unit/dbt_rules.py.
    "models_fanout_threshold": 3,
}
WAIVED = {
    "fct_direct_join_to_source": {
        "stg_tpch__fct_lineitem": "A line is loaded once its order is.",
    },
    "fct_staging_dependent_on_staging": {
        "stg_tpch__fct_lineitem": "The loaded orders are a staging model.",
        "stg_forex__missing_quantity": "The part of the staged rows that waits for a quantity.",
    },
    "fct_rejoining_of_upstream_concepts": {
        "int_tpch__order_lineitems": "Staged lines carry the date of their order, nothing else.",
        "mart_affiliate__commission_operator_monthly": "It adds the scrapers' mart to the traffic.",
    },
    "fct_model_fanout": {
        "int_tpch__supplier_parts": "Its marts are read by exposures, which the package overlooks.",
        "mart_orders": "The same: what it leads to is read by people.",
        "fct_forex__transaction": "Its three marts are views that readers query.",
        "int_affiliate__events": "Dimensions, facts and marts are all taken from the events.",
        "int_retail__transactions_completed": "Its marts are read by exposures.",
    },
    "fct_multiple_sources_joined": {
        "stg_gaming__rejected": "Nothing is joined: rejected rows of both stand below one another.",
    },
    "fct_source_fanout": {
        "gaming.purchases": "Rows that can be used and those that cannot are two tables.",
        "gaming.spins_hourly": "The same.",
    },
    "fct_sources_without_freshness": {
        "meta.rejected_rows": "That nothing was rejected for long is well.",
    },
    "fct_unused_sources": {
        "meta.loads": "The accounts of ingestion are read by tests of every raw table.",
        "meta.rejected_rows": "The same.",
    },
}
"""What the package finds and we mean: its table, the model, and why. Ours have longer reasons."""


def findings(project: DbtRuns, table: str) -> set[str]:
    """The models or sources that a table of the package names, by the first name in its rows."""
    columns = [
        str(row[0]).lower()
        for row in project.rows(f"describe table analytics_dev.{project.name}_evaluator.{table}")
    ]
    named = ("child", "resource_name", "parent", "model_name", "source_name")
    column = next(name for name in (*named, *columns) if name in columns)
    rows = project.rows(f"select {column} from analytics_dev.{project.name}_evaluator.{table}")
    return {str(row[0]) for row in rows}


@pytest.fixture(scope="module")
def evaluated(
    warehouse: Warehouse,
    tmp_path_factory: pytest.TempPathFactory,
    dbt_packages: Callable[..., Path],
) -> Iterator[DbtRuns]:
    packages = dbt_packages(*PACKAGES)
    folder = tmp_path_factory.mktemp("evaluator")
    copy = folder / "dbt"
    ignored = shutil.ignore_patterns("dbt_packages", "target", "logs", "packages.yml")
    shutil.copytree(PROJECT, copy, ignore=ignored)
    for package in PACKAGES:
        shutil.copytree(packages / package, copy / "dbt_packages" / package)
    listed = [{"package": f"dbt-labs/{name}", "version": "0.0.0"} for name in PACKAGES]
    (copy / "packages.yml").write_text(yaml.safe_dump({"packages": listed}))
    settings = copy / "dbt_project.yml"
    configured = yaml.safe_load(settings.read_text())
    configured["packages-install-path"] = "dbt_packages"
    del configured["models"]["elementary"]
    for kind in ("models", "seeds"):
        configured[kind]["dbt_project_evaluator"] = {"+schema": "evaluator"}
    configured["dispatch"] = [
        {"macro_namespace": "dbt", "search_order": ["firn", "dbt_project_evaluator", "dbt"]}
    ]
    settings.write_text(yaml.safe_dump(configured))
    with (
        dbt_environment(warehouse, "evaluated"),
        warehouse.connect(database="ANALYTICS_DEV") as connection,
        connection.cursor() as cursor,
    ):
        yield DbtRuns(cursor, folder, "evaluated", "", VARIABLES, project=copy)


def test_the_package_finds_nothing_that_is_not_meant(evaluated: DbtRuns) -> None:
    built = evaluated.dbt("build", "--select", "package:dbt_project_evaluator")
    assert built.success, built.output
    tests = [one for one in built.results if one.startswith("test.")]
    assert len(tests) > 25
    warned = {one for one in tests if built.status(one) != "pass"}
    tables = {one.split(".is_empty_")[1].rpartition("_")[0].rstrip("_") for one in warned}
    found = {table: findings(evaluated, table) for table in tables}
    assert found == {table: set(reasons) for table, reasons in WAIVED.items()}
