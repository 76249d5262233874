with

lines as (
    select * from {{ ref('stg_tpch__fct_lineitem') }}
),

orders as (
    select * from {{ ref('stg_tpch__fct_orders') }}
),

partsupp as (
    select * from {{ ref('stg_tpch__fct_partsupp') }}
),

joined as (
    select
        lines.*,
        orders.customer_key,
        orders.order_status,
        orders.order_priority,
        orders.clerk,
        orders.order_total,
        partsupp.supply_cost
    from lines
    inner join orders
        on lines.order_key = orders.order_key
    -- Left, so that a line without a known cost is found by a test and not lost.
    left join partsupp
        on
            lines.part_key = partsupp.part_key
            and lines.supplier_key = partsupp.supplier_key
),

priced as (
    select
        *,
        (extended_price * discount_rate)::number(38, 4) as discount_amount,
        (extended_price * (1 - discount_rate))::number(38, 4) as net_price,
        (quantity * supply_cost)::number(38, 4) as supply_cost_amount
    from joined
),

with_amounts as (
    select
        *,
        (net_price * tax_rate)::number(38, 6) as tax_amount,
        (net_price * (1 + tax_rate))::number(38, 6) as gross_price,
        (net_price - supply_cost_amount)::number(38, 4) as margin_amount
    from priced
),

final as (
    select
        -- ids
        order_key,
        line_number,
        customer_key,
        part_key,
        supplier_key,

        -- text
        order_status,
        order_priority,
        clerk,
        return_flag,
        line_status,
        ship_instructions,
        ship_mode,

        -- amounts
        quantity,
        extended_price,
        discount_rate,
        discount_amount,
        net_price,
        tax_rate,
        tax_amount,
        gross_price,
        supply_cost,
        supply_cost_amount,
        margin_amount,
        (margin_amount / nullif(net_price, 0))::number(38, 4) as margin_rate,
        order_total,

        -- dates
        order_date,
        ship_date,
        commit_date,
        receipt_date,

        -- delivery
        datediff('day', order_date, ship_date) as days_to_ship,
        datediff('day', order_date, receipt_date) as days_to_receive,
        greatest(datediff('day', commit_date, receipt_date), 0) as days_late,
        receipt_date > commit_date as is_late,
        return_flag = 'R' as is_returned,
        return_flag in ('A', 'R') as is_return_known
    from with_amounts
)

select * from final
