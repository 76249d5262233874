with

parts as (
    select * from {{ ref('stg_tpch__dim_part') }}
),

order_lines as (
    select * from {{ ref('mart_orders') }}
),

sales as (
    select
        part_key,
        count(*) as line_count,
        count_if(is_return_known) as return_known_line_count,
        count_if(is_returned) as returned_line_count,
        sum(quantity) as quantity,
        sum(net_price) as net_revenue,
        sum(margin_amount) as margin_amount
    from order_lines
    group by part_key
),

joined as (
    select
        parts.*,
        coalesce(sales.line_count, 0) as line_count,
        coalesce(sales.return_known_line_count, 0) as return_known_line_count,
        coalesce(sales.returned_line_count, 0) as returned_line_count,
        coalesce(sales.quantity, 0)::number(38, 2) as quantity,
        coalesce(sales.net_revenue, 0)::number(38, 4) as net_revenue,
        coalesce(sales.margin_amount, 0)::number(38, 4) as margin_amount
    from parts
    left join sales
        on parts.part_key = sales.part_key
),

final as (
    select
        -- ids
        part_key,

        -- text
        part_name,
        manufacturer,
        brand,
        part_type,

        -- sales
        line_count,
        quantity,
        net_revenue,
        {{ share_of_total('net_revenue') }} as revenue_share,
        rank() over (order by net_revenue desc) as revenue_rank,

        -- margin
        margin_amount,
        (margin_amount / nullif(net_revenue, 0))::number(38, 4) as margin_rate,
        rank() over (order by margin_amount desc) as margin_rank,

        -- returns
        return_known_line_count,
        returned_line_count,
        (returned_line_count / nullif(return_known_line_count, 0))::number(38, 4) as return_rate
    from joined
)

select * from final
