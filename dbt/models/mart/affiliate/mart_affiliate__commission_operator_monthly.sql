{{ config(tags=['affiliate__commission']) }}

with

web_traffic as (
    select * from {{ ref('mart_affiliate__web_traffic_operator_monthly') }}
),

scrapers as (
    select * from {{ ref('mart_affiliate__scrapers_operator_monthly') }}
),

events as (
    select * from {{ ref('fct_affiliate__traffic_events') }}
),

operators as (
    select * from {{ ref('dim_affiliate__operator') }}
),

-- Over the events of both families, as a source's clicks are not doubled by being in both.
operator_days as (
    select
        operator_key,
        marketing_source_key,
        event_date,
        -- Six decimals in the numerator, so that ten decimals of the quotient are correct.
        (max(day_clicks)::number(38, 6) * count(*) / max(day_event_count))::number(38, 10)
            as clicks
    from events
    where operator_key is not null
    group by
        operator_key,
        marketing_source_key,
        event_date
),

monthly_clicks as (
    select
        operators.operator,
        date_trunc('month', operator_days.event_date)::date as event_month,
        sum(operator_days.clicks) as clicks
    from operator_days
    inner join operators
        on operator_days.operator_key = operators.operator_key
    group by
        operators.operator,
        date_trunc('month', operator_days.event_date)
),

-- Not `union distinct`: the same amounts in both families are two amounts.
families as (
    select
        operator,
        event_month,
        event_count,
        visits,
        signups,
        commission_total as web_traffic_total,
        0::number(38, 10) as scrapers_total
    from web_traffic
    union all
    select
        operator,
        event_month,
        event_count,
        visits,
        0 as signups,
        0::number(38, 10) as web_traffic_total,
        commission_total as scrapers_total
    from scrapers
),

operator_months as (
    select
        operator,
        event_month,
        sum(event_count) as event_count,
        sum(visits) as visits,
        sum(signups) as signups,
        sum(web_traffic_total)::number(38, 10) as web_traffic_total,
        sum(scrapers_total)::number(38, 10) as scrapers_total
    from families
    group by
        operator,
        event_month
),

totals as (
    select
        operator_months.*,
        monthly_clicks.clicks,
        (operator_months.web_traffic_total + operator_months.scrapers_total)::number(38, 10)
            as commission_total
    from operator_months
    left join monthly_clicks
        on
            operator_months.operator = monthly_clicks.operator
            and operator_months.event_month = monthly_clicks.event_month
),

final as (
    select
        -- ids
        operator,
        event_month,

        -- traffic
        event_count::number(38, 0) as event_count,
        visits::number(38, 0) as visits,
        signups::number(38, 0) as signups,
        coalesce(clicks, 0)::number(38, 10) as clicks,

        -- money
        web_traffic_total,
        scrapers_total,
        commission_total,
        greatest(commission_total, 0)::number(38, 10) as commission
    from totals
)

select * from final
