with

delivered as (
    select * from {{ ref('stg_retail__customers') }}
),

-- A correction of an earlier day may be loaded later, but does not replace the latest day.
latest_load as (
    select load_id
    from delivered
    group by load_id
    qualify row_number() over (order by max(business_day) desc, load_id desc) = 1
),

latest as (
    select delivered.*
    from delivered
    inner join latest_load
        on delivered.load_id = latest_load.load_id
    qualify
        row_number() over (
            partition by delivered.customer_id
            order by delivered.row_number_in_file desc
        ) = 1
),

final as (
    select
        -- ids
        customer_id,

        -- text
        first_name,
        last_name,
        nullif(trim(coalesce(first_name, '') || ' ' || coalesce(last_name, '')), '') as full_name,
        email,
        city,
        case
            when total_spent is null then 'Unknown'
            when total_spent > {{ var('retail_premium_above') }} then 'Premium'
            when total_spent > {{ var('retail_gold_above') }} then 'Gold'
            when total_spent > {{ var('retail_silver_above') }} then 'Silver'
            else 'Bronze'
        end as customer_segment,

        -- numbers
        age,
        total_orders,
        total_spent,
        case
            when total_orders = 0 then 0
            else {{ rounded_ratio('total_spent', 'total_orders', 2) }}
        end::number(38, 2) as average_order_value,

        -- dates
        signup_date
    from latest
)

select * from final
