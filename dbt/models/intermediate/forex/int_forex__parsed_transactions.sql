{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='transaction_id',
        on_schema_change='sync_all_columns',
        cluster_by=['year(transaction_date)'],
        meta={
            'window_column': 'transaction_date',
            'lookback_hours': var('forex_lookback_hours'),
        },
    )
}}
{%- set before, now = 'known.transaction_date', parsed_date('staged.transaction_date') %}
{%- set new_content = 'staged.loaded_at is distinct from known.loaded_at' %}

with

staged as (
    select * from {{ ref('stg_forex__customer_transactions') }}
),

{% if is_incremental() -%}
known as (
    select
        transaction_id,
        transaction_date,
        loaded_at
    from {{ this }}
),

changed as (
    select staged.*
    from staged
    left join known
        on staged.transaction_id = known.transaction_id
    where
        {{
            backfill_range(before) ~ ' or ' ~ backfill_range(now)
            if backfill_range(before)
            else new_content ~ ' and ' ~ loaded_since('staged', 'known', var('forex_lookback_hours'))
        }}
),
{%- else -%}
changed as (
    select * from staged
),
{%- endif %}

digits as (
    select
        *,
        {{ parsed_date('transaction_date') }} as parsed_date,
        {{ plain_number('quantity') }} as quantity_in_digits,
        {{ plain_number('price') }} as price_in_digits,
        {{ plain_number('tax') }} as tax_in_digits
    from changed
),

not_in_digits as (
    select quantity as words
    from digits
    where quantity is not null and quantity_in_digits is null
    union distinct
    select price as words
    from digits
    where price is not null and price_in_digits is null
    union distinct
    select tax as words
    from digits
    where tax is not null and tax_in_digits is null
),

words as (
    {{ number_words('not_in_digits', 'words') }}
),

parsed as (
    select
        digits.*,
        coalesce(digits.quantity_in_digits, quantity_words.amount)::number(18, 6)
            as parsed_quantity,
        coalesce(digits.price_in_digits, price_words.amount)::number(18, 6) as parsed_price,
        coalesce(digits.tax_in_digits, tax_words.amount)::number(18, 6) as parsed_tax
    from digits
    left join words as quantity_words
        on digits.quantity = quantity_words.words
    left join words as price_words
        on digits.price = price_words.words
    left join words as tax_words
        on digits.tax = tax_words.words
),

keyed as (
    select
        *,
        {{ surrogate_key(['first_name', 'last_name', 'email', 'phone']) }} as customer_key,
        {{ surrogate_key(['product_name']) }} as product_key,
        {{ surrogate_key(['city', 'country']) }} as location_key,
        to_char(parsed_date, 'YYYY-MM-DD') as date_text
    from parsed
),

final as (
    select
        -- ids
        transaction_id,
        customer_id,
        product_id,

        -- keys
        {{ surrogate_key(['customer_key', 'product_key', 'date_text']) }} as transaction_key,
        customer_key,
        product_key,
        location_key,
        {{ surrogate_key([
            'customer_key', 'product_key', 'location_key', 'date_text', 'customer_id',
            'product_id', 'parsed_quantity::varchar', 'parsed_price::varchar',
            'parsed_tax::varchar',
        ]) }} as content_key,

        -- what was bought
        product_name,
        parsed_quantity as quantity,
        parsed_price as price,
        parsed_tax as tax,
        parsed_date as transaction_date,

        -- who bought it
        first_name,
        last_name,
        email,
        phone,
        country,
        city,

        -- as delivered
        transaction_date as delivered_transaction_date,
        quantity as delivered_quantity,
        price as delivered_price,
        tax as delivered_tax,
        nullif(
            array_to_string(
                array_construct_compact(
                    case
                        when transaction_date is null then 'transaction_date is missing'
                        when parsed_date is null
                            then 'transaction_date is not a day in a known format'
                    end,
                    case
                        when quantity is not null and parsed_quantity is null
                            then 'quantity is not a number'
                    end,
                    case
                        when price is null then 'price is missing'
                        when parsed_price is null then 'price is not a number'
                    end,
                    case
                        when tax is null then 'tax is missing'
                        when parsed_tax is null then 'tax is not a number'
                    end
                ),
                '; '
            ),
            ''
        ) as reject_reason,

        -- delivery
        loaded_at
    from keyed
)

select * from final
