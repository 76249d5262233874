with

source as (
    select * from {{ source('forex', 'customer_transactions') }}
),

trimmed as (
    select
        -- ids
        {{ trimmed('transaction_id') }} as transaction_id,
        {{ trimmed('customer_id') }} as customer_id,
        {{ trimmed('product_id') }} as product_id,

        -- what was bought
        {{ trimmed('product_name') }} as product_name,
        {{ trimmed('quantity') }} as quantity,
        {{ trimmed('price') }} as price,
        {{ trimmed('tax') }} as tax,
        {{ trimmed('transaction_date') }} as transaction_date,

        -- who bought it
        {{ trimmed('customer_first_name') }} as first_name,
        {{ trimmed('customer_last_name') }} as last_name,
        {{ trimmed('customer_email') }} as email,
        {{ trimmed('customer_phone') }} as phone,
        {{ trimmed('customer_country') }} as country,
        {{ trimmed('customer_city') }} as city,

        -- delivery
        _source_file as source_file,
        _row_number as file_row_number,
        _load_id as load_id,
        _loaded_at as loaded_at
    from source
),

latest as (
    select *
    from trimmed
    qualify
        row_number() over (
            partition by transaction_id
            order by loaded_at desc, load_id desc, file_row_number desc
        ) = 1
)

select * from latest
