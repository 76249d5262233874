with

customers as (
    select * from {{ ref('stg_tpch__dim_customer') }}
),

nations as (
    select * from {{ ref('stg_tpch__dim_nation') }}
),

regions as (
    select * from {{ ref('stg_tpch__dim_region') }}
),

customer_orders as (
    select * from {{ ref('int_tpch__customer_orders') }}
),

-- Customers without orders stand apart: ranked with the others they would fill the lower fifths.
scored as (
    select
        *,
        {{ score_1_to_5('last_order_date') }} as recency_score,
        {{ score_1_to_5('order_count') }} as frequency_score,
        {{ score_1_to_5('lifetime_value') }} as monetary_score,
        (days_since_last_order / nullif(average_days_between_orders, 0))::number(38, 2)
            as gap_ratio
    from customer_orders
),

joined as (
    select
        customers.*,
        nations.nation_name,
        regions.region_name,
        coalesce(scored.order_count, 0) as order_count,
        coalesce(scored.line_count, 0) as line_count,
        coalesce(scored.returned_line_count, 0) as returned_line_count,
        coalesce(scored.lifetime_value, 0)::number(38, 2) as lifetime_value,
        coalesce(scored.average_order_value, 0)::number(38, 2) as average_order_value,
        coalesce(scored.lifetime_net_revenue, 0)::number(38, 4) as lifetime_net_revenue,
        coalesce(scored.lifetime_margin, 0)::number(38, 4) as lifetime_margin,
        coalesce(scored.orders_per_year, 0)::number(38, 4) as orders_per_year,
        scored.first_order_date,
        scored.last_order_date,
        scored.days_since_last_order,
        scored.average_days_between_orders,
        scored.gap_ratio,
        coalesce(scored.recency_score, 1) as recency_score,
        coalesce(scored.frequency_score, 1) as frequency_score,
        coalesce(scored.monetary_score, 1) as monetary_score
    from customers
    left join nations
        on customers.nation_key = nations.nation_key
    left join regions
        on nations.region_key = regions.region_key
    left join scored
        on customers.customer_key = scored.customer_key
),

classified as (
    select
        *,
        case
            when order_count = 0 then 'never ordered'
            when recency_score >= 4 and frequency_score >= 4 and monetary_score >= 4
                then 'champion'
            when recency_score >= 3 and frequency_score >= 3 then 'loyal'
            when recency_score >= 4 then 'recent'
            when recency_score = 3 then 'occasional'
            when frequency_score >= 4 or monetary_score >= 4 then 'slipping away'
            else 'dormant'
        end as rfm_segment,
        case
            when order_count = 0 then 'never ordered'
            when gap_ratio is null then 'unknown'
            when gap_ratio >= {{ var('tpch_churn_high_ratio') }} then 'high'
            when gap_ratio >= {{ var('tpch_churn_medium_ratio') }} then 'medium'
            else 'low'
        end as churn_risk
    from joined
),

final as (
    select
        -- ids
        customer_key,

        -- text
        customer_name,
        market_segment,
        nation_name as customer_nation,
        region_name as customer_region,

        -- amounts
        account_balance,
        lifetime_value,
        average_order_value,
        lifetime_net_revenue,
        lifetime_margin,

        -- counts
        order_count,
        line_count,
        returned_line_count,

        -- rhythm
        first_order_date,
        last_order_date,
        days_since_last_order,
        average_days_between_orders,
        orders_per_year,
        gap_ratio,
        churn_risk,

        -- scores
        recency_score,
        frequency_score,
        monetary_score,
        rfm_segment
    from classified
)

select * from final
