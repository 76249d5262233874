"""The shop in the demo: three days of deliveries, among them transactions that change."""

from __future__ import annotations

from include.domains.retail import sample as retail
from include.ingestion.landing import landing_folder
from include.project.domains import Pipeline, Say
from include.warehouse.connection import ConnectionSettings

DAYS = 3
SIZES = retail.Sizes()

QUESTIONS = {
    "Which categories sell most?": """
        select
            coalesce(product_category, 'not known') as "Category",
            transaction_count as "Sales",
            revenue as "Revenue, $",
            average_amount as "Each, $"
        from {mart}.mart_retail__category_revenue
        order by revenue desc
        limit 3
    """,
    "Which customers bring the money?": """
        select
            customer_segment as "Segment",
            sum(customer_count)::number(38, 0) as "Customers",
            sum(segment_revenue)::number(38, 2) as "Spent, $"
        from {mart}.mart_retail__customer_segments
        group by customer_segment
        order by sum(segment_revenue) desc
        limit 4
    """,
    "What is missing most often in the latest delivery?": """
        select
            table_name || '.' || column_name as "Column",
            null_count as "Missing",
            (100 * null_rate)::number(38, 2) as "Missing, %"
        from {mart}.mart_retail__data_quality
        qualify load_id = max(load_id) over (partition by table_name)
        order by null_rate desc, null_count desc, 1
        limit 3
    """,
}


def _deliver(settings: ConnectionSettings, say: Say) -> None:
    say(f"Delivering {DAYS} days of {SIZES.transactions:,} transactions each")
    retail.deliver_days(DAYS, SIZES, landing=landing_folder(settings))


PIPELINE = Pipeline(
    domain="retail",
    title="a shop's customers, sales and stock",
    dags=("retail__sales__daily",),
    deliver=_deliver,
    questions=QUESTIONS,
    place=3,
)
