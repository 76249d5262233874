with

order_lines as (
    select * from {{ ref('mart_orders') }}
),

bounds as (
    select
        min(order_date) as first_date,
        max(order_date) as last_date
    from order_lines
),

months as (
    select
        date_trunc('month', order_date)::date as order_month,
        count(distinct order_key) as order_count,
        count(*) as line_count,
        sum(net_price)::number(38, 4) as net_revenue,
        sum(margin_amount)::number(38, 4) as margin_amount
    from order_lines
    group by 1
),

with_days as (
    select
        months.*,
        year(months.order_month) as order_year,
        month(months.order_month) as month_of_year,
        datediff(
            'day',
            greatest(months.order_month, bounds.first_date),
            least(last_day(months.order_month), bounds.last_date)
        ) + 1 as day_count,
        months.order_month >= bounds.first_date
        and last_day(months.order_month) <= bounds.last_date as is_complete
    from months
    cross join bounds
),

with_year as (
    select
        *,
        count_if(is_complete) over (partition by order_year) = 12 as is_year_complete,
        sum(day_count) over (partition by order_year) as year_day_count,
        sum(order_count) over (partition by order_year) as year_order_count,
        sum(margin_amount) over (partition by order_year) as year_margin_amount
    from with_days
),

-- A year on its way up would make its last months look like a season, were they not compared
-- with the days of their own year.
compared_with_year as (
    select
        *,
        case
            when is_year_complete
                then
                    (order_count::number(38, 6) / day_count)::number(38, 10)
                    / (year_order_count::number(38, 6) / year_day_count)::number(38, 10)
        end::number(38, 10) as order_ratio,
        case
            when is_year_complete and year_margin_amount > 0
                then
                    (margin_amount::number(38, 6) / day_count)::number(38, 10)
                    / nullif(
                        (year_margin_amount::number(38, 6) / year_day_count)::number(38, 10), 0
                    )
        end::number(38, 10) as margin_ratio
    from with_year
),

with_season as (
    select
        *,
        (avg(order_ratio::number(38, 10)) over (partition by month_of_year))::number(38, 10)
            as order_index,
        (avg(margin_ratio::number(38, 10)) over (partition by month_of_year))::number(38, 10)
            as margin_index
    from compared_with_year
),

final as (
    select
        -- ids
        this_month.order_month,
        this_month.order_year,
        this_month.month_of_year,

        -- days
        this_month.day_count,
        this_month.is_complete,

        -- totals
        this_month.order_count,
        this_month.line_count,
        this_month.net_revenue,
        this_month.margin_amount,
        (this_month.margin_amount / nullif(this_month.net_revenue, 0))::number(38, 4)
            as margin_rate,

        -- trend
        (this_month.order_count / this_month.day_count)::number(38, 4) as orders_per_day,
        (this_month.margin_amount / this_month.day_count)::number(38, 4) as margin_per_day,
        case
            when this_month.is_complete and year_before.is_complete
                then
                    (this_month.order_count - year_before.order_count)
                    / year_before.order_count
        end::number(38, 4) as order_growth,
        case
            when this_month.is_complete and year_before.is_complete
                then
                    (this_month.margin_amount - year_before.margin_amount)
                    / nullif(abs(year_before.margin_amount), 0)
        end::number(38, 4) as margin_growth,

        -- season
        this_month.order_index::number(38, 4) as order_index,
        this_month.margin_index::number(38, 4) as margin_index
    from with_season as this_month
    left join with_season as year_before
        on this_month.order_month = dateadd('year', 1, year_before.order_month)
)

select * from final
