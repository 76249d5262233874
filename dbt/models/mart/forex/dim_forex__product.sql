with

transactions as (
    select * from {{ ref('int_forex__transactions') }}
),

members as (
    select distinct
        -- ids
        product_key,

        -- text
        product_name
    from transactions
)

select * from members
