with

order_lines as (
    select * from {{ ref('mart_orders') }}
),

-- Grouped once by all that is asked for, so that the order lines are read once.
sales as (
    select
        customer_region,
        customer_nation,
        brand,
        split_part(part_type, ' ', -1) as material,
        ship_mode,
        count(*) as line_count,
        sum(quantity) as quantity,
        sum(net_price) as net_revenue
    from order_lines
    group by
        customer_region,
        customer_nation,
        brand,
        split_part(part_type, ' ', -1),
        ship_mode
),

choices as (
    select
        customer_region,
        customer_nation,
        'brand' as choice_kind,
        brand as choice,
        line_count,
        quantity,
        net_revenue
    from sales
    union all
    select
        customer_region,
        customer_nation,
        'material' as choice_kind,
        material as choice,
        line_count,
        quantity,
        net_revenue
    from sales
    union all
    select
        customer_region,
        customer_nation,
        'ship mode' as choice_kind,
        ship_mode as choice,
        line_count,
        quantity,
        net_revenue
    from sales
),

choices_by_nation as (
    select
        customer_region,
        customer_nation,
        choice_kind,
        choice,
        sum(line_count) as line_count,
        sum(quantity)::number(38, 2) as quantity,
        sum(net_revenue)::number(38, 4) as net_revenue
    from choices
    group by customer_region, customer_nation, choice_kind, choice
),

with_totals as (
    select
        *,
        sum(net_revenue) over (partition by choice_kind, choice) as choice_revenue,
        sum(net_revenue) over (partition by choice_kind) as kind_revenue,
        {{ share_of_total('net_revenue', within='customer_nation, choice_kind') }}
            as revenue_share
    from choices_by_nation
),

with_shares as (
    select
        *,
        (choice_revenue::number(38, 6) / nullif(kind_revenue, 0))::number(38, 10) as overall_share
    from with_totals
),

final as (
    select
        -- ids
        customer_nation,
        choice_kind,
        choice,

        -- text
        customer_region,

        -- volume
        line_count,
        quantity,
        net_revenue,

        -- preference
        revenue_share,
        overall_share,
        (revenue_share / nullif(overall_share, 0))::number(38, 4) as preference_index,
        rank() over (
            partition by customer_nation, choice_kind
            order by
                (revenue_share::number(38, 10) / nullif(overall_share, 0))::number(38, 10) desc
        ) as preference_rank
    from with_shares
)

select * from final
