"""What is expected of the workbook report, checked by Great Expectations and shown as Data Docs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from include.quality.workbook import NO_COUNTRY, RESULT, WorkbookError

# Read when the library is imported, which takes seconds and is why the command imports us late.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import Expectation, MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    MulticolumnMapMetricProvider,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (  # noqa: E501
    multicolumn_condition_partial,
)
from great_expectations.render import LegacyRendererType, RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer

COLUMNS = [column.upper() for column in RESULT]
(
    HOUR,
    USER,
    COUNTRY,
    SPINS,
    REVENUE,
    PURCHASES,
    AVERAGE,
    DAILY,
) = COLUMNS
COUNTRIES = ["US", "CA", NO_COUNTRY]
KEY = [HOUR, USER, COUNTRY]

# What a reader that guesses the types of a CSV makes of it.
TYPES = {
    HOUR: "datetime64",
    USER: "str",
    COUNTRY: "str",
    SPINS: "int64",
    REVENUE: "float64",
    PURCHASES: "int64",
    AVERAGE: "float64",
    DAILY: "float64",
}

# More than a player does in an hour or a day; above it a sum has gone wrong, or a bot plays.
LARGEST = {
    SPINS: 20_000,  # more than five a second
    REVENUE: 10_000,
    PURCHASES: 500,
    AVERAGE: 1_000,
    DAILY: 50_000,
}
EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)
# Two sheets of Excel's greatest length, no two rows of one hour.
MOST_ROWS = 2 * 1_048_575

# An average is rounded to six decimals.
_ROUNDING = 0.000_000_5
_SITE = "report"


class MulticolumnProductEquals(MulticolumnMapMetricProvider):
    """Row by row: the first column is the product of the other two, up to rounding."""

    condition_metric_name = "multicolumn_values.product_equals"
    condition_domain_keys = (
        "batch_id",
        "table",
        "column_list",
        "row_condition",
        "condition_parser",
        "ignore_row_if",
    )
    condition_value_keys = ()

    @multicolumn_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column_list: Any, **_: Any) -> Any:  # noqa: N805
        total, average, count = (column_list[name] for name in column_list.columns)
        # A thousandth of a cent more than rounding explains, for the sums of floats here.
        return (total - average * count).abs() <= count * _ROUNDING + 0.000_01


class ExpectRevenueToBeAverageTimesCount(MulticolumnMapExpectation):
    """Expect the first of three columns to be the second times the third, up to rounding."""

    map_metric = "multicolumn_values.product_equals"
    args_keys = ("column_list",)
    column_list: list[str]
    library_metadata: ClassVar[dict[str, Any]] = {"maturity": "production", "tags": []}
    _library_metadata = library_metadata

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    def _prescriptive_renderer(cls, *_: Any, **__: Any) -> list[RenderedStringTemplateContent]:
        sentence = "Revenue must be average revenue times number of purchases, up to rounding."
        return [
            RenderedStringTemplateContent(
                content_block_type="string_template",
                string_template={"template": sentence, "params": {}},
            )
        ]


@dataclass(frozen=True)
class Finding:
    """One expectation that was checked.

    Attributes:
        name: the expectation's type in snake_case.
        about: its columns; empty for the table as a whole.
        success: whether it was met.
        detail: what was found instead, in a few words.
    """

    name: str
    about: str
    success: bool
    detail: str


def expectations(expected_rows: int, now: datetime | None = None) -> list[Expectation]:
    """The suite for one report.

    Args:
        expected_rows: how many rows it has to have.
        now: the moment that hours must not lie far behind; the present one by default.
    """
    latest = (now or datetime.now(UTC)) + timedelta(days=1)
    return [
        gxe.ExpectTableColumnsToMatchOrderedList(column_list=COLUMNS),
        gxe.ExpectTableRowCountToEqual(value=expected_rows),
        gxe.ExpectTableRowCountToBeBetween(min_value=1, max_value=MOST_ROWS),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=KEY),
        *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in COLUMNS),
        *(
            gxe.ExpectColumnValuesToBeOfType(column=column, type_=type_)
            for column, type_ in TYPES.items()
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column=HOUR,
            # The table's moments are in UTC and do not say so.
            min_value=EARLIEST.replace(tzinfo=None),
            max_value=latest.replace(tzinfo=None),
        ),
        *(
            gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, max_value=largest)
            for column, largest in LARGEST.items()
        ),
        gxe.ExpectColumnValueLengthsToBeBetween(column=USER, min_value=1, max_value=64),
        gxe.ExpectColumnValuesToBeInSet(column=COUNTRY, value_set=COUNTRIES),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=DAILY, column_B=REVENUE, or_equal=True
        ),
        ExpectRevenueToBeAverageTimesCount(column_list=[REVENUE, AVERAGE, PURCHASES]),
    ]


def validate(frame: Any, suite: Sequence[Expectation], docs: Path, title: str) -> list[Finding]:
    """Check a pandas table and write the results as a web page, in place of what stood there.

    Args:
        frame: the report as read back from its file.
        suite: what `expectations` returned.
        docs: a folder for `index.html` and what belongs to it.
        title: what the run is called on the page.

    Raises:
        WorkbookError: the folder holds something else.
    """
    _clear(docs)
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs.absolute()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            data_docs_sites={_SITE: site},
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        ),
    )
    batch = (
        context.data_sources.add_pandas("workbook")
        .add_dataframe_asset("user_activity_hourly")
        .add_batch_definition_whole_dataframe("whole")
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name="workbook_report",
            data=batch,
            suite=context.suites.add(
                gx.ExpectationSuite(name="user_activity_hourly", expectations=list(suite))
            ),
        )
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name="workbook_report",
            validation_definitions=[definition],
            actions=[gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=[_SITE])],
            result_format="SUMMARY",
        )
    )
    outcome = checkpoint.run(
        batch_parameters={"dataframe": frame}, run_id=gx.RunIdentifier(run_name=title)
    )
    return [_finding(result) for run in outcome.run_results.values() for result in run.results]


def _clear(docs: Path) -> None:
    if not docs.exists():
        return
    if not docs.is_dir() or (any(docs.iterdir()) and not (docs / "index.html").is_file()):
        raise WorkbookError(
            f"{docs} is where the report's pages go, and holds something else: move that away, or "
            "choose another place for the report."
        )
    shutil.rmtree(docs)


def _finding(result: Any) -> Finding:
    kwargs = result.expectation_config.kwargs
    name = result.expectation_config.type
    about = [kwargs[one] for one in ("column", "column_A", "column_B") if one in kwargs]
    if not name.startswith("expect_table_"):
        about += kwargs.get("column_list", [])
    return Finding(
        name=name,
        about=", ".join(about),
        success=bool(result.success),
        detail="" if result.success else _detail(result),
    )


def _detail(result: Any) -> str:
    found = result.result or {}
    if "unexpected_count" in found:
        return f"{found['unexpected_count']:,} of {found['element_count']:,} rows"
    if "observed_value" in found:
        return f"found {found['observed_value']}"
    return "could not be checked"
