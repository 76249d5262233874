with

source as (
    select * from {{ source('tpch', 'supplier') }}
),

renamed as (
    select
        -- ids
        s_suppkey as supplier_key,
        s_nationkey as nation_key,

        -- text
        s_name as supplier_name,
        s_address as supplier_address,
        s_phone as supplier_phone,
        s_comment as supplier_comment,

        -- numbers
        s_acctbal as account_balance
    from source
)

select * from renamed
