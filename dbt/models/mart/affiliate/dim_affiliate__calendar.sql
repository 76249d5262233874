{{ config(tags=['affiliate__commission']) }}

with

events as (
    select * from {{ ref('int_affiliate__events') }}
),

span as (
    select
        min(event_date) as first_date,
        max(event_date) as last_date
    from events
),

days as (
    select dateadd(day, step.value::integer, span.first_date)::date as event_date
    from
        span,
        lateral flatten(
            input => array_generate_range(0, datediff(day, span.first_date, span.last_date) + 1)
        ) as step
),

final as (
    select
        -- ids
        event_date,

        -- year and month
        year(event_date)::number(38, 0) as calendar_year,
        month(event_date)::number(38, 0) as month_of_year,
        date_trunc('month', event_date)::date as event_month,

        -- week
        dayofweekiso(event_date)::number(38, 0) as day_of_week,
        date_trunc('week', event_date)::date as week_start,
        dayofweekiso(event_date) >= 6 as is_weekend
    from days
)

select * from final
