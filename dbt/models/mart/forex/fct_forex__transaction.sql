{{
    config(
        materialized='incremental',
        incremental_strategy='bucket_merge',
        tmp_relation_type='view',
        unique_key='transaction_id',
        on_schema_change='append_new_columns',
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
    select * from {{ ref('int_forex__transactions') }}
),

calendar as (
    select * from {{ ref('dim_forex__date') }}
),

-- Ids are counted up when they are given, so the later of two is the greater number.
numbered as (
    select
        *,
        ltrim(coalesce(regexp_substr(transaction_id, '[0-9]+$'), ''), '0') as id_digits
    from transactions
),

issued_last as (
    select *
    from numbered
    qualify
        row_number() over (
            partition by content_key
            order by length(id_digits) desc, id_digits desc, transaction_id desc
        ) = 1
),

final as (
    select
        -- ids
        issued_last.transaction_id,
        issued_last.transaction_key,
        issued_last.customer_key,
        issued_last.product_key,
        issued_last.location_key,
        coalesce(calendar.date_key, -1)::number(38, 0) as date_key,

        -- dates
        issued_last.transaction_date,

        -- amounts
        issued_last.quantity,
        issued_last.price,
        issued_last.tax,
        round(
            issued_last.quantity::number(38, 6) * issued_last.price::number(38, 6), 2
        )::number(38, 2) as revenue,

        -- delivery
        issued_last.loaded_at
    from issued_last
    left join calendar
        on issued_last.transaction_date = calendar.calendar_date
)

select * from final
