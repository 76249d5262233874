with

transactions as (
    select * from {{ ref('int_retail__transactions') }}
),

final as (
    select
        -- ids
        transaction_id,
        customer_id,
        product_id,

        -- text
        product_category,
        payment_method,
        device,
        browser,
        location,

        -- numbers
        amount,

        -- times
        transacted_at,
        transaction_date
    from transactions
    where
        transaction_status = 'completed'
        and amount > 0
)

select * from final
