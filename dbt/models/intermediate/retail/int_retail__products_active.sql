with

products as (
    select * from {{ ref('int_retail__products') }}
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
        created_date
    from products
    where
        is_active
        and stock_quantity > 0
)

select * from final
