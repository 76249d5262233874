{{ config(tags=['affiliate__commission']) }}

with

events as (
    select * from {{ ref('fct_affiliate__traffic_events') }}
),

operators as (
    select * from {{ ref('dim_affiliate__operator') }}
),

operator_days as (
    select
        operator_key,
        event_date,
        count(*) as event_count,
        sum(visits) as visits,
        sum(total_earnings)::number(38, 10) as total_earnings
    from events
    where traffic_family = 'scrapers'
    group by
        operator_key,
        event_date
),

differences as (
    select
        operators.operator,
        today.event_date,
        today.event_count,
        today.visits,
        coalesce(today.total_earnings - yesterday.total_earnings, 0)::number(38, 10)
            as commission_total
    from operator_days as today
    inner join operators
        on today.operator_key = operators.operator_key
    left join operator_days as yesterday
        on
            today.operator_key = yesterday.operator_key
            -- Subtract a day instead of adding one: 9999-12-31 has no next day.
            and yesterday.event_date = dateadd(day, -1, today.event_date)
),

operator_months as (
    select
        operator,
        date_trunc('month', event_date)::date as event_month,
        sum(event_count) as event_count,
        sum(visits) as visits,
        sum(commission_total)::number(38, 10) as commission_total
    from differences
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

        -- money
        commission_total,
        greatest(commission_total, 0)::number(38, 10) as commission
    from operator_months
)

select * from final
