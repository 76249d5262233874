"""Customer transactions in the demo: two dirty deliveries, the second correcting the first."""

from __future__ import annotations

from include.domains.forex import sample as forex
from include.project.domains import Pipeline, Say
from include.warehouse.connection import ConnectionSettings

DELIVERIES = 2
ROWS = 12_000

QUESTIONS = {
    "Which countries bring the most revenue?": """
        select
            country as "Country",
            revenue::number(38, 0) as "Revenue",
            (100 * revenue_share)::number(5, 1) as "Of all, %"
        from {mart}.mart_forex__sales_by_country
        order by revenue desc
        limit 3
    """,
    "How do sales develop from month to month?": """
        select
            to_char(sales_month, 'YYYY-MM') as "Month",
            transaction_count as "Transactions",
            revenue::number(38, 0) as "Revenue",
            (100 * revenue_growth)::number(38, 1) as "Growth, %"
        from {mart}.mart_forex__sales_monthly
        order by sales_month
        limit 3 offset 1
    """,
    "Which customers bring the most revenue?": """
        select
            first_name || ' ' || last_name as "Customer",
            transaction_count as "Transactions",
            revenue::number(38, 0) as "Revenue"
        from {mart}.mart_forex__sales_by_customer
        order by revenue_rank
        limit 3
    """,
}


def deliver(settings: ConnectionSettings, say: Say) -> None:
    """Write the same files each time; ingestion knows them from the second time on."""
    for number in range(1, DELIVERIES + 1):
        written = forex.deliver(number, ROWS, settings=settings)
        say(f"Delivered {written.file.name}: {written.rows:,} rows")


PIPELINE = Pipeline(
    domain="forex",
    title="customer transactions, dirty on purpose",
    dags=("forex__customer_transactions__hourly",),
    deliver=deliver,
    questions=QUESTIONS,
    place=2,
)
