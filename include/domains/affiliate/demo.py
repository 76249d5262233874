"""Affiliate traffic in the demo: ten days of files from seven systems."""

from __future__ import annotations

from include.domains.affiliate import sample as affiliate
from include.ingestion.landing import landing_folder
from include.project.domains import Pipeline, Say
from include.warehouse.connection import ConnectionSettings

QUESTIONS = {
    "Which marketing sources earned most, from everywhere?": """
        select
            marketing_source as "Marketing source",
            sum(clicks) as "Clicks",
            sum(web_traffic_total)::number(38, 2) as "Web traffic",
            sum(scrapers_total)::number(38, 2) as "Scrapers",
            sum(commission)::number(38, 2) as "Commission"
        from {mart}.mart_affiliate__commission_daily
        group by marketing_source
        order by sum(commission) desc
        limit 4
    """,
    "What did the operators pay, month by month?": """
        select
            operator || to_varchar(event_month::timestamp_ntz, ', YYYY-MM') as "Operator and month",
            event_count as "Events",
            commission_total::number(38, 2) as "Total",
            commission::number(38, 2) as "Commission"
        from {mart}.mart_affiliate__commission_operator_monthly
        order by commission desc
        limit 4
    """,
    "What do deals add to the raw earnings?": """
        select
            marketing_source as "Marketing source",
            sum(raw_earnings)::number(38, 2) as "Raw earnings",
            sum(commission_total - raw_earnings)::number(38, 2) as "Added by the deal"
        from {mart}.mart_affiliate__web_traffic_daily
        group by marketing_source
        order by sum(commission_total - raw_earnings) desc
        limit 3
    """,
}


def deliver(settings: ConnectionSettings, say: Say) -> None:
    """Put the files where their sources would; the same ones each time."""
    files = affiliate.deliver(landing_folder(settings))
    say(f"{len(files)} affiliate files with {sum(file.rows for file in files):,} rows delivered")


PIPELINE = Pipeline(
    domain="affiliate",
    title="affiliate traffic",
    dags=(
        "affiliate__web_traffic__daily",
        "affiliate__scrapers__daily",
        "affiliate__commission__daily",
    ),
    deliver=deliver,
    questions=QUESTIONS,
    place=4,
)
