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

transactions as (
    select * from {{ ref('stg_forex__customer_transactions') }}
),

without_quantity as (
    select
        -- ids
        transaction_id,
        customer_id,
        product_id,

        -- what was bought
        product_name,
        price,
        tax,
        {{ parsed_date('transaction_date') }} as transaction_date,

        -- who bought it
        first_name,
        last_name,
        email,
        phone,
        country,
        city,

        -- delivery
        loaded_at
    from transactions
    where quantity is null
)

select * from without_quantity
