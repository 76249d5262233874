with

source as (
    select * from {{ source('retail', 'products') }}
),

renamed as (
    select
        -- ids
        product_id,

        -- text
        nullif(trim(product_name), '') as product_name,
        nullif(trim(category), '') as category,
        nullif(trim(supplier), '') as supplier,

        -- numbers
        price,
        {{ within_bounds('stock_quantity') }} as stock_quantity,
        weight_kg,

        -- dates
        try_to_date(created_date, 'YYYY-MM-DD') as created_date,

        -- flags
        is_active,

        -- delivery
        _source_file as source_file,
        {{ retail_business_day() }} as business_day,
        _row_number as row_number_in_file,
        _load_id as load_id,
        _loaded_at as loaded_at
    from source
)

select * from renamed
