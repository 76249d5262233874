{{ config(tags=['affiliate__web_traffic']) }}

with

events as (
    select * from {{ ref('int_affiliate__web_traffic_events') }}
),

-- Shares are made of an operator's events of a day together, so that each is rounded only once.
operator_days as (
    select
        operator,
        marketing_source,
        event_date,
        count(*) as event_count,
        sum(visits) as visits,
        sum(signups) as signups,
        sum(raw_earnings) as raw_earnings,
        sum(raw_earnings + added_per_event) as event_commission,
        -- Six decimals in the numerator, so that ten decimals of the quotient are correct.
        (max(day_clicks)::number(38, 6) * count(*) / max(day_event_count))::number(38, 10)
            as clicks,
        (
            (max(day_clicks) * count(*) * max(added_per_click))::number(38, 10)
            / max(day_event_count)
        )::number(38, 10) as click_commission
    from events
    where operator is not null
    group by
        operator,
        marketing_source,
        event_date
),

operator_months as (
    select
        operator,
        date_trunc('month', event_date)::date as event_month,
        sum(event_count) as event_count,
        sum(visits) as visits,
        sum(signups) as signups,
        sum(clicks) as clicks,
        sum(raw_earnings) as raw_earnings,
        sum(event_commission + click_commission)::number(38, 10) as commission_total
    from operator_days
    group by
        operator,
        date_trunc('month', event_date)
),

final as (
    select
        -- ids
        operator,
        event_month,

        -- traffic
        event_count::number(38, 0) as event_count,
        coalesce(visits, 0)::number(38, 0) as visits,
        coalesce(signups, 0)::number(38, 0) as signups,
        clicks::number(38, 10) as clicks,

        -- money
        raw_earnings::number(38, 10) as raw_earnings,
        commission_total,
        greatest(commission_total, 0)::number(38, 10) as commission
    from operator_months
)

select * from final
