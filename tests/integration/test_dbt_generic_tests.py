"""What the project's generic tests find, and what a contract refuses so that no test has to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.integration.dbt_runs import PROJECT, DbtRuns, Outcome, Row, dbt_environment

if TYPE_CHECKING:
    from tests.conftest import Warehouse

pytestmark = pytest.mark.integration

SETTINGS = """
name: firn
profile: firn
flags: {send_anonymous_usage_stats: false}
models: {firn: {+schema: mart, +materialized: table}}
"""
MEASURED = """
select
    column1::number(5, 2) as rate,
    column2::number(38, 0) as line_count,
    column3::number(5, 2) as loss,
    column4::timestamp_ntz as created_at,
    column5::timestamp_ntz as updated_at,
    column6::date as day
from values
"""
MODELS = {
    "on_bounds": MEASURED
    + """
    (0, 1, -8, '2022-04-01 10:00:00', '2022-04-01 10:00:00', '2020-12-31'),
    (1, 9, 0, '2022-04-01 10:00:00', '2022-04-01 11:00:00', '2020-01-01'),
    (null, null, null, null, '2022-04-01 10:00:00', null)
    """,
    "outside": MEASURED
    + """
    (-0.01, 0, 0.01, '2022-04-01 10:00:01', '2022-04-01 10:00:00', '2021-01-01'),
    (1.01, 1, 0, '2022-04-01 10:00:00', '2022-04-01 10:00:00', '2020-12-31'),
    (1.50, 8, null, '2022-04-01 10:00:00', null, '2021-06-01'),
    (0.50, 9, -9, '2022-04-01 10:00:00', '2022-04-01 10:00:00', '2020-12-31')
    """,
    "no_rows": MEASURED + "(1, 1, 1, null, null, null) where false",
}
TESTS = "models:" + "".join(
    f"""
  - name: {name}
    data_tests:
      - accepted_ranges:
          name: ranges_{name}
          arguments: &ranges_{name}
            ranges:
              line_count: {{min: 1}}
              rate: {{min: 0, max: 1}}
              loss: {{max: line_count - 9}}
              updated_at: {{min: created_at}}
              day: {{max: "'2020-12-31'::date"}}
      - accepted_ranges:
          name: ranges_{name}_where
          arguments: *ranges_{name}
          config: {{where: line_count > 8}}
      - same_totals:
          name: totals_{name}
          arguments:
            compare_to: ref('outside')
            columns:
              rate: rate
              line_count: line_count * 1
              loss: 0
"""
    for name in MODELS
)

SENSELESS = {
    "test_accepted_ranges('t', {})": "accepted_ranges of t needs ranges, columns with what is said "
    "of each, such as ranges: {line_count: {min: 0}}.",
    "test_accepted_ranges('t', ['one'])": "accepted_ranges of t needs ranges",
    "test_accepted_ranges('t', {'one': {}})": "accepted_ranges of t has one: {}. Write {min: 0}, "
    "{max: 1} or {min: 0, max: 1}; a bound is a number or an SQL expression.",
    "test_accepted_ranges('t', {'one': 1})": "has one: 1. Write {min: 0}",
    "test_accepted_ranges('t', {'one': {'min': none}})": 'has one: {"min": null}. Write',
    "test_accepted_ranges('t', {'one': {'min': ' '}})": 'has one: {"min": " "}. Write',
    "test_accepted_ranges('t', {'one': {'max': true}})": 'has one: {"max": true}. Write',
    "test_accepted_ranges('t', {'one': {'max': 1, 'least': 0}})": '"least": 0}. Write',
    "test_accepted_ranges('t', {'one - 1': {'min': 0}})": "accepted_ranges of t has 'one - 1' in "
    "ranges: write the name of a column, letters, digits and underscores.",
    "test_same_totals('t', 'u', none)": "same_totals of t needs columns, columns with what is said "
    "of each, such as columns: {net_revenue: net_price}.",
    "test_same_totals('t', 'u', {1: 'one'})": "same_totals of t has '1' in columns: write the name",
}

KEPT = {
    "kept_table": "materialized='table'",
    "kept_merge": "materialized='incremental', incremental_strategy='merge', unique_key='id'",
    "kept_delete_insert": (
        "materialized='incremental', incremental_strategy='delete+insert', unique_key='id'"
    ),
    "kept_bucket_merge": (
        "materialized='incremental', incremental_strategy='bucket_merge', unique_key='id',"
        " meta={'bucket': 'id'}"
    ),
    "kept_key_sync": (
        "materialized='incremental', incremental_strategy='key_sync', unique_key='id',"
        " meta={'gone_when_null': 'kind'}"
    ),
}
"""Every kind of model with a contract that the project has."""
CONTRACT = "models:" + "".join(
    f"""
  - name: {name}
    config: {{contract: {{enforced: true}}, on_schema_change: append_new_columns}}
    columns:
      - {{name: id, data_type: "number(38, 0)"}}
      - {{name: kind, data_type: varchar}}
      - {{name: amount, data_type: "number(38, 0)", constraints: [{{type: not_null}}]}}
"""
    for name in [*KEPT, "grown"]
)
NEW_COLUMN = '      - {name: added, data_type: "number(38, 0)", constraints: [{type: not_null}]}\n'


@pytest.fixture(scope="module")
def runs(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DbtRuns]:
    folder = tmp_path_factory.mktemp("generic")
    project = folder / "dbt"
    for part in ("macros", "tests/generic"):
        shutil.copytree(PROJECT / part, project / part)
    shutil.copy(PROJECT / "profiles.yml", project / "profiles.yml")
    files = {f"{name}.sql": sql for name, sql in MODELS.items()}
    for number, call in enumerate(SENSELESS):
        # In a model, because a test stops the parse, and with it all that follows.
        files[f"senseless_{number}.sql"] = f"{{% if execute %}}{{{{ {call} }}}}{{% endif %}}"
    for name, config in KEPT.items():
        files[f"{name}.sql"] = (
            f"{{{{ config({config}) }}}} select 1 as id, 'one' as kind,"
            " {{ var('amount') }}::number(38, 0) as amount"
        )
    files["grown.sql"] = (
        f"{{{{ config({KEPT['kept_merge']}) }}}} select 1 as id, 'one' as kind, 7 as amount"
        "{% if var('amount') == 'null' %}, 2 as added{% endif %}"
    )
    files |= {"tests.yml": TESTS, "contract.yml": CONTRACT}
    (project / "models").mkdir()
    for name, text in files.items():
        (project / "models" / name).write_text(text)
    (project / "dbt_project.yml").write_text(SETTINGS)
    with (
        dbt_environment(warehouse, "generic"),
        warehouse.connect(database="ANALYTICS_DEV") as connection,
        connection.cursor() as cursor,
    ):
        yield DbtRuns(cursor, folder, "generic", "", project=project)


@pytest.fixture(scope="module")
def built(runs: DbtRuns) -> Outcome:
    return runs.dbt("build", amount="7")


def found(name: str, built: Outcome, runs: DbtRuns) -> list[Row]:
    """The rows that a test of the build fails with, in the order of the columns."""
    [result] = [one for key, one in built.results.items() if key.split(".")[2] == name]
    rows = runs.rows(result["compiled_code"])
    assert result["status"] == ("fail" if rows else "pass"), result["message"]
    assert result["failures"] == len(rows)
    return sorted(rows)


def test_values_on_the_bounds_and_nulls_are_in_range(built: Outcome, runs: DbtRuns) -> None:
    for name in ("on_bounds", "on_bounds_where", "no_rows", "no_rows_where"):
        assert found(f"ranges_{name}", built, runs) == []


def test_each_column_that_is_out_of_range_is_named_with_its_values(
    built: Outcome, runs: DbtRuns
) -> None:
    assert found("ranges_outside", built, runs) == [
        ("day", 2, "2021-01-01", "2021-06-01"),
        ("line_count", 1, "0", "0"),
        ("loss", 2, "0.00", "0.01"),
        ("rate", 3, "-0.01", "1.50"),
        ("updated_at", 1, "2022-04-01 10:00:00", "2022-04-01 10:00:00"),
    ]
    # Its only row of more than 8 lines is in range.
    assert found("ranges_outside_where", built, runs) == []


def test_a_table_is_read_once_for_all_its_ranges(built: Outcome) -> None:
    [sql] = [
        one["compiled_code"].lower()
        for key, one in built.results.items()
        if key.split(".")[2] == "ranges_outside"
    ]
    assert sql.count("generic_mart.outside") == 1
    assert sql.count(" measured") == 1


def test_each_column_with_another_total_is_named_with_both(built: Outcome, runs: DbtRuns) -> None:
    assert found("totals_outside", built, runs) == [("loss", "-8.99", "0")]
    assert found("totals_on_bounds", built, runs) == [
        ("line_count", "10", "18"),
        ("loss", "-8.00", "0"),
        ("rate", "1.00", "3.00"),
    ]


def test_no_rows_have_the_total_0(built: Outcome, runs: DbtRuns) -> None:
    assert [row[0] for row in found("totals_no_rows", built, runs)] == ["line_count", "rate"]


def test_arguments_that_make_no_sense_are_refused(built: Outcome) -> None:
    for number, (call, message) in enumerate(SENSELESS.items()):
        said = built.results[f"model.firn.senseless_{number}"]["message"]
        assert message in " ".join(said.split()), call


def test_a_null_that_the_contract_forbids_fails_the_model(built: Outcome, runs: DbtRuns) -> None:
    assert {built.status(f"model.firn.{name}") for name in [*KEPT, "grown"]} == {"success"}
    (runs.project / "models" / "contract.yml").write_text(CONTRACT + NEW_COLUMN)
    again = runs.dbt("run", "--select", *KEPT, "grown", amount="null")
    for name in KEPT:
        message = again.results[f"model.firn.{name}"]["message"]
        assert "NULL result in a non-nullable column 'AMOUNT'" in message, name
        table = f"analytics_dev.generic_mart.{name}"
        assert runs.rows(f"select amount from {table}") == [(7,)], name
    said = " ".join(again.results["model.firn.grown"]["message"].split())
    assert (
        "Column added of GROWN is new, and dbt adds it to the existing table without its "
        "constraint not_null: build the model once with --full-refresh, or declare the column "
        "without the constraint."
    ) in said
    assert len(runs.rows("describe table analytics_dev.generic_mart.grown")) == 3
