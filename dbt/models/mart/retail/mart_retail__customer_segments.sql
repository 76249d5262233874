with

customers as (
    select * from {{ ref('int_retail__customers_enriched') }}
),

final as (
    select
        -- ids
        {{ group_key(['customer_segment', 'city']) }} as segment_city_key,
        customer_segment,
        city,

        -- customers
        count(*) as customer_count,
        {{ rounded_ratio('sum(age)', 'count(age)', 1) }} as average_age,

        -- value
        {{ rounded_ratio('sum(total_spent)', 'count(total_spent)', 2) }} as average_spent,
        {{
            rounded_ratio(
                'sum(iff(total_orders > 0, average_order_value, null))',
                'count(iff(total_orders > 0, average_order_value, null))',
                2,
            )
        }} as average_order_value,
        coalesce(sum(total_spent), 0)::number(38, 2) as segment_revenue
    from customers
    group by customer_segment, city
)

select * from final
