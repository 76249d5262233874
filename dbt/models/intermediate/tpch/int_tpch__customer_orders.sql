with

orders as (
    select * from {{ ref('stg_tpch__fct_orders') }}
),

order_lineitems as (
    select * from {{ ref('int_tpch__order_lineitems') }}
),

as_of as (
    select max(order_date) as as_of_date
    from orders
),

orders_by_customer as (
    select
        customer_key,
        count(*) as order_count,
        count(distinct order_date) as order_day_count,
        sum(order_total)::number(38, 2) as lifetime_value,
        min(order_date) as first_order_date,
        max(order_date) as last_order_date
    from orders
    group by customer_key
),

lines_by_customer as (
    select
        customer_key,
        count(*) as line_count,
        count_if(is_returned) as returned_line_count,
        sum(net_price)::number(38, 4) as lifetime_net_revenue,
        sum(margin_amount)::number(38, 4) as lifetime_margin
    from order_lineitems
    group by customer_key
),

final as (
    select
        -- ids
        orders_by_customer.customer_key,

        -- counts
        orders_by_customer.order_count,
        orders_by_customer.order_day_count,
        coalesce(lines_by_customer.line_count, 0) as line_count,
        coalesce(lines_by_customer.returned_line_count, 0) as returned_line_count,

        -- amounts
        orders_by_customer.lifetime_value,
        (orders_by_customer.lifetime_value / orders_by_customer.order_count)::number(38, 2)
            as average_order_value,
        coalesce(lines_by_customer.lifetime_net_revenue, 0)::number(38, 4)
            as lifetime_net_revenue,
        coalesce(lines_by_customer.lifetime_margin, 0)::number(38, 4) as lifetime_margin,

        -- rhythm
        orders_by_customer.first_order_date,
        orders_by_customer.last_order_date,
        as_of.as_of_date,
        datediff('day', orders_by_customer.last_order_date, as_of.as_of_date)
            as days_since_last_order,
        (
            datediff('day', orders_by_customer.first_order_date, orders_by_customer.last_order_date)
            / nullif(orders_by_customer.order_day_count - 1, 0)
        )::number(38, 2) as average_days_between_orders,
        -- A year at least, so that one order yesterday is not read as 365 a year.
        (
            orders_by_customer.order_count * 365.25
            / greatest(
                datediff('day', orders_by_customer.first_order_date, as_of.as_of_date), 365.25
            )
        )::number(38, 4) as orders_per_year
    from orders_by_customer
    cross join as_of
    left join lines_by_customer
        on orders_by_customer.customer_key = lines_by_customer.customer_key
)

select * from final
