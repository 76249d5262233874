with

products as (
    select * from {{ ref('int_retail__products_active') }}
),

final as (
    select
        -- ids
        {{ group_key(['category', 'supplier']) }} as category_supplier_key,
        category,
        supplier,

        -- numbers
        count(*) as product_count,
        {{ rounded_ratio('sum(price)', 'count(price)', 2) }} as average_price,
        sum(stock_quantity)::number(38, 0) as stock_quantity
    from products
    group by category, supplier
)

select * from final
