with

transactions as (
    select * from {{ ref('int_retail__transactions_completed') }}
),

final as (
    select
        -- ids
        {{ group_key(['product_category']) }} as category_key,
        product_category,

        -- numbers
        count(*) as transaction_count,
        sum(amount)::number(38, 2) as revenue,
        {{ rounded_ratio('sum(amount)', 'count(*)', 2) }} as average_amount,
        min(amount)::number(38, 2) as smallest_amount,
        max(amount)::number(38, 2) as largest_amount
    from transactions
    group by product_category
)

select * from final
