"""A mobile game in the demo: its operational database, generated and extracted from."""

from __future__ import annotations

from include.domains.gaming import sample as gaming
from include.project.domains import Pipeline, Say
from include.warehouse.connection import ConnectionSettings

QUESTIONS = {
    "Which players bring the most, and how much do they play?": """
        select
            user_id as "Player",
            sum(total_revenue_hourly) as "Revenue, USD",
            sum(total_purchases_amount_hourly) as "Purchases",
            sum(total_spins_hourly) as "Spins"
        from {mart}.mart_user_activity_hourly
        group by user_id
        order by sum(total_revenue_hourly) desc, user_id
        limit 3
    """,
    "Which hours of the day earn most?": """
        select
            lpad(hour(app_hour)::varchar, 2, '0') || ':00' as "Hour, UTC",
            sum(total_revenue_hourly) as "Revenue, USD",
            sum(total_spins_hourly) as "Spins"
        from {mart}.mart_user_activity_hourly
        group by lpad(hour(app_hour)::varchar, 2, '0') || ':00'
        order by sum(total_revenue_hourly) desc
        limit 3
    """,
    "Where is played and bought?": """
        select
            country as "Country",
            sum(total_spins_hourly) as "Spins",
            sum(total_purchases_amount_hourly) as "Purchases",
            sum(total_revenue_hourly) as "Revenue, USD"
        from {mart}.mart_user_activity_hourly
        group by country
        order by country
    """,
}


def deliver(settings: ConnectionSettings, say: Say) -> None:
    """The operational database with three days of play; made once."""
    made = gaming.fill(settings=settings, progress=say)
    if not made.purchases:
        say("The game's operational database is there already")


PIPELINE = Pipeline(
    domain="gaming",
    title="mobile game",
    dags=("gaming__purchases__5min", "gaming__user_activity__hourly"),
    deliver=deliver,
    questions=QUESTIONS,
    place=5,
)
