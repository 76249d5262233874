with

calendar as (
    select * from {{ ref('forex_calendar') }}
),

days as (
    select dateadd('day', step.value::number(38, 0), calendar.first_day)::date as calendar_date
    from
        calendar,
        lateral flatten(
            input => array_generate_range(
                0, datediff('day', calendar.first_day, calendar.last_day) + 1
            )
        ) as step
),

described as (
    select
        -- ids
        to_char(calendar_date, 'YYYYMMDD')::number(38, 0) as date_key,
        calendar_date,

        -- year
        year(calendar_date)::number(38, 0) as calendar_year,
        quarter(calendar_date)::number(38, 0) as quarter_of_year,
        month(calendar_date)::number(38, 0) as month_of_year,
        monthname(calendar_date)::varchar as month_name,
        date_trunc('month', calendar_date)::date as month_start,

        -- week
        yearofweekiso(calendar_date)::number(38, 0) as iso_year,
        weekiso(calendar_date)::number(38, 0) as iso_week,
        dayofweekiso(calendar_date)::number(38, 0) as day_of_week,
        dayname(calendar_date)::varchar as day_name,
        dayofweekiso(calendar_date) >= 6 as is_weekend
    from days
),

unknown as (
    select
        -1 as date_key,
        null::date as calendar_date,
        null::number(38, 0) as calendar_year,
        null::number(38, 0) as quarter_of_year,
        null::number(38, 0) as month_of_year,
        'unknown' as month_name,
        null::date as month_start,
        null::number(38, 0) as iso_year,
        null::number(38, 0) as iso_week,
        null::number(38, 0) as day_of_week,
        'unknown' as day_name,
        null::boolean as is_weekend
),

final as (
    select * from described
    union all
    select * from unknown
)

select * from final
