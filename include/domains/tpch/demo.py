"""Wholesale orders in the demo: TPC-H at a small scale."""

from __future__ import annotations

from include.domains.tpch import sample as tpch
from include.domains.tpch.sample import demo_scale
from include.project.domains import Pipeline, Say
from include.warehouse.connection import ConnectionSettings

QUESTIONS = {
    "Which customer segments are worth most over their lifetime?": """
        select
            rfm_segment as "Segment",
            count(*) as "Customers",
            avg(lifetime_value)::number(38, 0) as "Lifetime value each"
        from {mart}.mart_customer_summary
        group by rfm_segment
        order by avg(lifetime_value)::number(38, 6) desc
        limit 3
    """,
    "Where do deliveries arrive late most often?": """
        select
            customer_region as "Region",
            count(*) as "Order lines",
            (100 * count_if(is_late) / count(*))::number(5, 1) as "Late, %"
        from {mart}.mart_orders
        where receipt_date is not null
        group by customer_region
        order by (count_if(is_late) / count(*))::number(38, 6) desc
        limit 3
    """,
    "Which nations bring the most net revenue?": """
        select
            customer_nation as "Nation",
            (sum(net_price) / 1000000)::number(38, 1) as "Net revenue, millions",
            (100 * sum(margin_amount) / sum(net_price))::number(5, 1) as "Margin, %"
        from {mart}.mart_orders
        group by customer_nation
        order by sum(net_price) desc
        limit 3
    """,
    "Which products earn the most, and at what margin?": """
        select
            part_name as "Product",
            net_revenue::number(38, 0) as "Net revenue",
            (100 * margin_rate)::number(5, 1) as "Margin, %"
        from {mart}.mart_product_performance
        order by revenue_rank
        limit 3
    """,
    "What does discounting cost?": """
        select
            (100 * discount_rate)::number(5, 0) || ' %' as "Discount",
            (100 * margin_rate_before_discount)::number(5, 1) as "Margin before, %",
            (100 * margin_rate)::number(5, 1) as "Margin after, %"
        from {mart}.mart_discount_impact
        where discount_rate in (0.02, 0.05, 0.10)
        order by discount_rate
    """,
    "Which suppliers give the most quality for their cost?": """
        select
            supplier_name as "Supplier",
            cost_index::number(5, 2) as "Cost index",
            (100 * on_time_rate)::number(5, 1) as "On time, %"
        from {mart}.mart_supplier_performance
        order by cost_to_quality_rank
        limit 3
    """,
    "How soon does a customer pay back the cost of winning them?": """
        select
            customer_region as "Region",
            average_lifetime_margin::number(38, 0) as "Lifetime margin each",
            payback_months::number(38, 1) as "Months to pay back"
        from {mart}.mart_region_unit_economics
        order by payback_months
        limit 3
    """,
}


def deliver(settings: ConnectionSettings, say: Say) -> None:
    """Generate TPC-H and load it where Snowflake's share would be; once."""
    scale = demo_scale()
    if not any(table.loaded for table in tpch.load(scale, settings=settings, progress=say)):
        say(f"TPC-H at scale {scale:g} is loaded already")


PIPELINE = Pipeline(
    domain="tpch",
    title="wholesale orders",
    dags=("tpch__orders__4h",),
    deliver=deliver,
    questions=QUESTIONS,
    check=demo_scale,
    place=1,
)
