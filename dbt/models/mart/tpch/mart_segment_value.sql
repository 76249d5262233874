with

customers as (
    select * from {{ ref('mart_customer_summary') }}
),

customers_by_segment as (
    select
        'market segment' as segment_kind,
        market_segment as segment_name,
        *
    from customers
    union all
    select
        'behaviour' as segment_kind,
        rfm_segment as segment_name,
        *
    from customers
),

segments as (
    select
        segment_kind,
        segment_name,
        count(*) as customer_count,
        count_if(order_count > 0) as ordering_customer_count,
        sum(order_count) as order_count,
        sum(lifetime_value)::number(38, 2) as lifetime_value,
        avg(lifetime_value)::number(38, 2) as average_lifetime_value,
        median(lifetime_value)::number(38, 2) as median_lifetime_value,
        sum(lifetime_net_revenue)::number(38, 4) as net_revenue,
        sum(lifetime_margin)::number(38, 4) as margin_amount
    from customers_by_segment
    group by segment_kind, segment_name
),

final as (
    select
        -- ids
        segment_kind,
        segment_name,

        -- customers
        customer_count,
        ordering_customer_count,
        {{ share_of_total('customer_count', within='segment_kind') }} as customer_share,

        -- value
        lifetime_value,
        {{ share_of_total('lifetime_value', within='segment_kind') }} as lifetime_value_share,
        average_lifetime_value,
        median_lifetime_value,
        rank() over (partition by segment_kind order by average_lifetime_value desc)
            as value_rank,

        -- orders
        order_count,
        (lifetime_value / nullif(order_count, 0))::number(38, 2) as average_order_value,

        -- margin
        net_revenue,
        margin_amount,
        (margin_amount / nullif(net_revenue, 0))::number(38, 4) as margin_rate
    from segments
)

select * from final
