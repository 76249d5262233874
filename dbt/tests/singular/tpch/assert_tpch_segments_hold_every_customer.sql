-- A returned row is a kind of segment whose customers or lifetime values are not those of all
-- customers: a customer is missing from its segments, or in two of them.
{{ config(tags=['tpch']) }}

with

segments as (
    select * from {{ ref('mart_segment_value') }}
),

customers as (
    select * from {{ ref('mart_customer_summary') }}
),

by_kind as (
    select
        segment_kind,
        sum(customer_count) as customer_count,
        sum(lifetime_value) as lifetime_value
    from segments
    group by segment_kind
),

everybody as (
    select
        count(*) as customer_count,
        sum(lifetime_value) as lifetime_value
    from customers
)

select
    by_kind.segment_kind,
    by_kind.customer_count,
    by_kind.lifetime_value
from by_kind
cross join everybody
where
    by_kind.customer_count != everybody.customer_count
    or by_kind.lifetime_value != everybody.lifetime_value
