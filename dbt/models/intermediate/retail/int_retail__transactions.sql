{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='transaction_id',
        on_schema_change='sync_all_columns',
        cluster_by=['transaction_date'],
        meta={
            'window_column': 'transacted_at',
            'lookback_hours': var('retail_lookback_hours'),
        },
        post_hook="{{ delete_replaced_rows(ref('stg_retail__transactions'), 'transacted_at') }}",
    )
}}

{%- set range = backfill_range('transacted_at') if is_incremental() else '' %}
{%- set looks_back = is_incremental() and not range %}

with

delivered as (
    select * from {{ ref('stg_retail__transactions') }}
),

{% if looks_back -%}
known as (
    select * from {{ this }}
),

-- Of a file that was delivered again under its name, the rows of before are not there any more.
looked_at as (
    select transaction_id
    from known
    where load_id not in (select delivered.load_id from delivered)
    union distinct
    select transaction_id
    from delivered
    where
        loaded_at >= (
            select
                dateadd(
                    hour,
                    -{{ var('retail_lookback_hours') }},
                    coalesce(max(known.loaded_at), '1970-01-02'::timestamp_ntz)
                )
            from known
        )
),

{% endif -%}
-- Every delivered row of a transaction: the row loaded last may belong to an earlier day.
candidates as (
    select *
    from delivered
    {%- if looks_back %}
    where transaction_id in (select looked_at.transaction_id from looked_at)
    {%- endif %}
),

latest as (
    select *
    from candidates
    qualify
        row_number() over (
            partition by transaction_id
            order by business_day desc, load_id desc, row_number_in_file desc
        ) = 1
),

final as (
    select
        -- ids
        latest.transaction_id,
        latest.customer_id,
        latest.product_id,

        -- text
        latest.product_category,
        latest.payment_method,
        latest.transaction_status,
        latest.device,
        latest.browser,
        latest.location,

        -- numbers
        latest.amount,

        -- times
        latest.transacted_at,
        latest.transacted_at::date as transaction_date,

        -- delivery
        latest.load_id,
        latest.row_number_in_file,
        latest.loaded_at
    from latest
    {%- if range %}
    where {{ range }}
    {%- elif looks_back %}
    left join known
        on latest.transaction_id = known.transaction_id
    where
        latest.load_id is distinct from known.load_id
        or latest.row_number_in_file is distinct from known.row_number_in_file
    {%- endif %}
)

select * from final
