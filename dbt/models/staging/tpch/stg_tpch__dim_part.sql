with

source as (
    select * from {{ source('tpch', 'part') }}
),

renamed as (
    select
        -- ids
        p_partkey as part_key,

        -- text
        p_name as part_name,
        p_mfgr as manufacturer,
        p_brand as brand,
        p_type as part_type,
        p_container as container,
        p_comment as part_comment,

        -- numbers
        p_size as part_size,
        p_retailprice as retail_price
    from source
)

select * from renamed
