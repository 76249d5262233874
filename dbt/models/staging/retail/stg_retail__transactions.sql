with

source as (
    select * from {{ source('retail', 'transactions') }}
),

renamed as (
    select
        -- ids
        transaction_id,
        customer_id,
        nullif(trim(product_id), '') as product_id,

        -- text
        nullif(trim(product_category), '') as product_category,
        nullif(trim(payment_method), '') as payment_method,
        nullif(trim(status), '') as transaction_status,
        nullif(trim(device), '') as device,
        nullif(trim(browser), '') as browser,
        nullif(trim(location), '') as location,

        -- numbers
        amount,

        -- times
        -- Whole seconds in UTC; what names another zone would be a wrong time without it.
        try_to_timestamp_ntz(
            regexp_replace(timestamp, '([.][0-9]+)?Z?$', ''), 'YYYY-MM-DD"T"HH24:MI:SS'
        ) as transacted_at,

        -- delivery
        _source_file as source_file,
        {{ retail_business_day() }} as business_day,
        _row_number as row_number_in_file,
        _load_id as load_id,
        _loaded_at as loaded_at
    from source
)

select * from renamed
