with

transactions as (
    select * from {{ ref('int_retail__transactions_completed') }}
),

final as (
    select
        -- ids
        {{ group_key(['device', 'browser']) }} as device_browser_key,
        device,
        browser,

        -- numbers
        count(*) as transaction_count,
        sum(amount)::number(38, 2) as revenue
    from transactions
    group by device, browser
)

select * from final
