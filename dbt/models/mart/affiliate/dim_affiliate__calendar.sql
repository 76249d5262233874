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

-- Year by year, because one array cannot hold the days of several thousand years.
years as (
    select
        date_from_parts(step.value::integer, 1, 1) as first_day,
        date_from_parts(step.value::integer, 12, 31) as last_day
    from
        span,
        lateral flatten(
            input => array_generate_range(year(span.first_date), year(span.last_date) + 1)
        ) as step
),

all_days as (
    select dateadd(day, step.value::integer, years.first_day)::date as event_date
    from
        years,
        lateral flatten(
            input => array_generate_range(0, datediff(day, years.first_day, years.last_day) + 1)
        ) as step
),

days as (
    select all_days.event_date
    from all_days
    inner join span
        on all_days.event_date between span.first_date and span.last_date
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
