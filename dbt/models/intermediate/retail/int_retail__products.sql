with

delivered as (
    select * from {{ ref('stg_retail__products') }}
),

-- A correction of an earlier day may be loaded later, but does not replace the latest day.
latest_load as (
    select load_id
    from delivered
    group by load_id
    qualify row_number() over (order by max(business_day) desc, load_id desc) = 1
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
