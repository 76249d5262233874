with

transactions as (
    select * from {{ ref('int_retail__transactions_completed') }}
),

final as (
    select
        -- ids
        {{ group_key(['payment_method']) }} as payment_method_key,
        payment_method,

        -- numbers
        count(*) as use_count,
        sum(amount)::number(38, 2) as amount,
        {{ rounded_ratio('sum(amount)', 'count(*)', 2) }} as average_amount
    from transactions
    group by payment_method
)

select * from final
