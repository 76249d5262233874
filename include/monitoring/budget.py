"""Whether the month stays within its budget, as the cost models have worked it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from include.warehouse.catalogue import existing
from include.warehouse.connection import ConnectionSettings, connect, get_settings

MART = "mart_platform__budget_monthly"
OVER, NEAR = "over", "near"


@dataclass(frozen=True)
class Month:
    """The current month of a budget.

    Attributes:
        month: its first day.
        status: over, near, within or no budget.
        cost: spent so far, in the currency of `platform_credit_price`.
        forecast: spent at its end at this rate, in the same currency.
        budget: what it may cost; None if there is no budget.
    """

    month: date
    status: str
    cost: Decimal
    forecast: Decimal
    budget: Decimal | None

    def sentence(self) -> str:
        """What there is to say, in whole numbers of the currency."""
        said = f"{self.month:%B %Y}: {self.cost:,.0f} spent, {self.forecast:,.0f} at this rate"
        return said if self.budget is None else f"{said}, of a budget of {self.budget:,.0f}"


def current_month(settings: ConnectionSettings | None = None) -> Month | None:
    """The month of the latest day that is told of; None where there are no costs.

    Raises:
        WarehouseUnreachableError: the warehouse takes no connection.
        snowflake.connector.errors.Error: it fails.
    """
    settings = settings or get_settings()
    relation = f"{settings.database}.{settings.schema_prefix}mart.{MART}"
    with (
        connect(settings, query_tag={"task": "budget"}) as connection,
        connection.cursor() as cursor,
    ):
        if not existing(cursor, [relation]):
            return None
        # The relation is named by the settings, which are checked.
        cursor.execute(
            "select usage_month, budget_status, cost, forecast_cost, budget"  # noqa: S608
            f" from {relation} where is_current"
        )
        rows = cursor.fetchall()
    return Month(*rows[0]) if rows else None
