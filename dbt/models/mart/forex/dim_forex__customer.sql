with

transactions as (
    select * from {{ ref('int_forex__transactions') }}
),

members as (
    select distinct
        -- ids
        customer_key,

        -- text
        first_name,
        last_name,
        email,
        phone
    from transactions
)

select * from members
