with

order_lines as (
    select * from {{ ref('mart_orders') }}
),

events as (
    select
        order_date as calendar_date,
        count(distinct order_key) as order_count,
        count(*) as ordered_line_count,
        0 as shipped_line_count,
        0 as shipped_quantity,
        0 as received_line_count
    from order_lines
    group by order_date
    union all
    select
        ship_date as calendar_date,
        0 as order_count,
        0 as ordered_line_count,
        count(*) as shipped_line_count,
        sum(quantity) as shipped_quantity,
        0 as received_line_count
    from order_lines
    group by ship_date
    union all
    select
        receipt_date as calendar_date,
        0 as order_count,
        0 as ordered_line_count,
        0 as shipped_line_count,
        0 as shipped_quantity,
        count(*) as received_line_count
    from order_lines
    group by receipt_date
),

days as (
    select
        calendar_date,
        sum(order_count) as order_count,
        sum(ordered_line_count) as ordered_line_count,
        sum(shipped_line_count) as shipped_line_count,
        sum(shipped_quantity)::number(38, 2) as shipped_quantity,
        sum(received_line_count) as received_line_count
    from events
    group by calendar_date
),

-- By dates and not by rows, because a day on which nothing happened has no row.
history as (
    select
        days.calendar_date,
        sum(earlier.shipped_line_count) as shipped_in_28_days
    from days
    inner join days as earlier
        on
            days.calendar_date > earlier.calendar_date
            and days.calendar_date <= dateadd('day', 28, earlier.calendar_date)
    group by days.calendar_date
),

first_day as (
    select min(calendar_date) as first_date
    from days
),

with_usual as (
    select
        days.*,
        sum(days.ordered_line_count - days.shipped_line_count) over (
            order by days.calendar_date rows between unbounded preceding and current row
        ) as open_line_count,
        case
            when datediff('day', first_day.first_date, days.calendar_date) >= 28
                then coalesce(history.shipped_in_28_days, 0) / 28
        end::number(38, 4) as usual_shipped_line_count
    from days
    cross join first_day
    left join history
        on days.calendar_date = history.calendar_date
),

with_ratio as (
    select
        *,
        (shipped_line_count / nullif(usual_shipped_line_count, 0))::number(38, 4) as peak_ratio
    from with_usual
),

final as (
    select
        -- ids
        calendar_date,
        dayofweekiso(calendar_date) as day_of_week,

        -- work
        order_count,
        ordered_line_count,
        shipped_line_count,
        shipped_quantity,
        received_line_count,
        open_line_count,

        -- peaks
        usual_shipped_line_count,
        peak_ratio,
        coalesce(peak_ratio >= {{ var('tpch_peak_ratio') }}, false) as is_peak,

        -- resources
        ceil(shipped_line_count / {{ var('tpch_lines_per_picker_day') }})::number(38, 0)
            as pickers_needed,
        ceil(order_count / {{ var('tpch_orders_per_clerk_day') }})::number(38, 0)
            as clerks_needed
    from with_ratio
)

select * from final
