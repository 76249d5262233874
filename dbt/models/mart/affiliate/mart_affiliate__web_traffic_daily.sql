{{ config(tags=['affiliate__web_traffic']) }}

with

events as (
    select * from {{ ref('int_affiliate__web_traffic_events') }}
),

-- Clicks and the deal's factor are the same on each event of a source's day, and count once.
source_days as (
    select
        marketing_source,
        event_date,
        count(*) as event_count,
        sum(visits) as visits,
        sum(signups) as signups,
        max(day_clicks) as clicks,
        sum(raw_earnings) as raw_earnings,
        sum(raw_earnings + added_per_event) as event_commission,
        max(day_clicks) * max(added_per_click) as click_commission
    from events
    group by
        marketing_source,
        event_date
),

totals as (
    select
        *,
        (event_commission + click_commission)::number(38, 10) as commission_total
    from source_days
),

final as (
    select
        -- ids
        marketing_source,
        event_date,

        -- traffic
        event_count::number(38, 0) as event_count,
        coalesce(visits, 0)::number(38, 0) as visits,
        coalesce(signups, 0)::number(38, 0) as signups,
        clicks::number(38, 0) as clicks,

        -- money
        raw_earnings::number(38, 10) as raw_earnings,
        commission_total,
        greatest(commission_total, 0)::number(38, 10) as commission
    from totals
)

select * from final
