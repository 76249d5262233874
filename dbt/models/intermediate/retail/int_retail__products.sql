with

delivered as (
    select * from {{ ref('stg_retail__products') }}
),

latest_load as (
    select max(load_id) as load_id
    from delivered
),

latest as (
    select delivered.*
    from delivered
    inner join latest_load
        on delivered.load_id = latest_load.load_id
    qualify
        row_number() over (
            partition by delivered.product_id
            order by delivered.row_number_in_file desc
        ) = 1
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
