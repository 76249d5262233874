with

source as (
    select * from {{ source('tpch', 'partsupp') }}
),

renamed as (
    select
        -- ids
        ps_partkey as part_key,
        ps_suppkey as supplier_key,

        -- text
        ps_comment as partsupp_comment,

        -- numbers
        ps_availqty as available_quantity,
        ps_supplycost as supply_cost
    from source
)

select * from renamed
