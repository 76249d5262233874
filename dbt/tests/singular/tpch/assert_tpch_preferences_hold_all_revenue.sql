-- A returned row is a kind of choice whose revenue is not that of all order lines.
{{ config(tags=['tpch']) }}

with

preferences as (
    select * from {{ ref('mart_geography_preferences') }}
),

order_lines as (
    select * from {{ ref('mart_orders') }}
),

by_kind as (
    select
        choice_kind,
        sum(net_revenue) as net_revenue
    from preferences
    group by choice_kind
),

everything as (
    select sum(net_price) as net_revenue
    from order_lines
)

select
    by_kind.choice_kind,
    by_kind.net_revenue
from by_kind
cross join everything
where by_kind.net_revenue != everything.net_revenue
