with

transactions as (
    select * from {{ ref('int_forex__transactions') }}
),

members as (
    select distinct
        -- ids
        location_key,

        -- text
        city,
        country
    from transactions
)

select * from members
