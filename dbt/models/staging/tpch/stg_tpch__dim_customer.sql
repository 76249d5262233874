with

source as (
    select * from {{ source('tpch', 'customer') }}
),

renamed as (
    select
        -- ids
        c_custkey as customer_key,
        c_nationkey as nation_key,

        -- text
        c_name as customer_name,
        c_address as customer_address,
        c_phone as customer_phone,
        c_mktsegment as market_segment,
        c_comment as customer_comment,

        -- numbers
        c_acctbal as account_balance
    from source
)

select * from renamed
