with

delivered as (
    select * from {{ ref('stg_retail__products') }}
),

latest as (
    select *
    from delivered
    where load_id = (select max(delivered.load_id) from delivered)
    qualify row_number() over (partition by product_id order by row_number_in_file desc) = 1
),

final as (
    select
        -- ids
        product_id,

        -- text
        product_name,
        category,
        supplier,

        -- numbers
        price,
        stock_quantity,
        weight_kg,

        -- dates
        created_date,

        -- flags
        is_active
    from latest
)

select * from final
