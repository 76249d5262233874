with

source as (
    select * from {{ source('retail', 'customers') }}
),

renamed as (
    select
        -- ids
        customer_id,

        -- text
        nullif(trim(first_name), '') as first_name,
        nullif(trim(last_name), '') as last_name,
        nullif(trim(email), '') as email,
        nullif(trim(city), '') as city,

        -- numbers
        {{ within_bounds('age', 0, 150) }} as age,
        {{ within_bounds('total_orders', 0) }} as total_orders,
        total_spent,

        -- dates
        try_to_date(signup_date, 'YYYY-MM-DD') as signup_date,

        -- delivery
        _source_file as source_file,
        {{ retail_business_day() }} as business_day,
        _row_number as row_number_in_file,
        _load_id as load_id,
        _loaded_at as loaded_at
    from source
)

select * from renamed
