with

order_lines as (
    select * from {{ ref('mart_orders') }}
),

steps as (
    select
        discount_rate,
        count(*) as line_count,
        sum(quantity)::number(38, 2) as quantity,
        sum(extended_price)::number(38, 2) as list_revenue,
        sum(discount_amount)::number(38, 4) as discount_amount,
        sum(net_price)::number(38, 4) as net_revenue,
        sum(margin_amount)::number(38, 4) as margin_amount
    from order_lines
    group by discount_rate
),

with_averages as (
    select
        *,
        (quantity / line_count)::number(38, 4) as average_quantity,
        (margin_amount + discount_amount)::number(38, 4) as margin_before_discount
    from steps
),

with_undiscounted as (
    select
        *,
        max(case when discount_rate = 0 then average_quantity end) over ()
            as undiscounted_average_quantity
    from with_averages
),

final as (
    select
        -- ids
        discount_rate,

        -- volume
        line_count,
        {{ share_of_total('line_count') }} as line_share,
        quantity,
        average_quantity,
        (average_quantity / nullif(undiscounted_average_quantity, 0) - 1)::number(38, 4)
            as quantity_lift,

        -- money
        list_revenue,
        discount_amount,
        net_revenue,
        margin_before_discount,
        margin_amount,

        -- profit
        (margin_before_discount / nullif(list_revenue, 0))::number(38, 4)
            as margin_rate_before_discount,
        (margin_amount / nullif(net_revenue, 0))::number(38, 4) as margin_rate,
        case when margin_amount > 0 then discount_amount / margin_amount end::number(38, 4)
            as break_even_quantity_lift
    from with_undiscounted
)

select * from final
