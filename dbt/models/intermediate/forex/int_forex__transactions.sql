{{
    config(
        materialized='incremental',
        incremental_strategy='bucket_merge',
        tmp_relation_type='view',
        unique_key='transaction_id',
        on_schema_change='sync_all_columns',
        cluster_by=['year(transaction_date)'],
        meta={
            'bucket': "date_trunc('month', transaction_date)",
            'window_column': 'transaction_date',
            'lookback_months': var('forex_lookback_months'),
        },
    )
}}

with

parsed as (
    select * from {{ ref('int_forex__parsed_transactions') }}
),

cleaned as (
    select
        -- ids
        transaction_id,
        customer_id,
        product_id,

        -- keys
        transaction_key,
        customer_key,
        product_key,
        location_key,
        content_key,

        -- what was bought
        product_name,
        quantity,
        price,
        tax,
        transaction_date,

        -- who bought it
        first_name,
        last_name,
        email,
        phone,
        country,
        city,

        -- delivery
        loaded_at
    from parsed
    where
        reject_reason is null
        and quantity is not null
)

select * from cleaned
