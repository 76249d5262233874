{%- set in_range = backfill_hours('purchased_at') -%}

{{
    config(
        materialized='incremental',
        incremental_strategy='key_sync',
        tmp_relation_type='view',
        unique_key='transaction_id',
        on_schema_change='sync_all_columns',
        cluster_by=['purchased_at::date'],
        meta={
            'gone_when_null': 'revenue',
            'window_column': 'purchased_at',
            'lookback_minutes': var('gaming_purchases_lookback_minutes'),
        },
    )
}}

with

source as (
    select * from {{ source('gaming', 'purchases') }}
),

usable as (
    select
        -- ids
        transaction_id,
        user_id,

        -- text
        revenue as revenue_text,
        regexp_substr(revenue, '^(.+)In([A-Z]{3})=', 1, 1, 'e', 1) as revenue_type,
        regexp_substr(revenue, '^(.+)In([A-Z]{3})=', 1, 1, 'e', 2) as currency,

        -- numbers
        {{ gaming_revenue('revenue') }} as revenue,

        -- times
        {{ gaming_moment('timestamp') }} as purchased_at,
        created_at,
        updated_at,

        -- load
        _loaded_at as loaded_at,
        _load_id as load_id,
        _row_number as row_number_in_load
    from source
    where {{ gaming_purchase_fault() }} is null
),

{% if is_incremental() %}
existing as (
    select * from {{ this }}
),

progress as (
    select
        coalesce(max(loaded_at), '1970-01-01'::timestamp_ntz) as loaded_until,
        coalesce(max(purchased_at), '1970-01-01'::timestamp_ntz) as purchased_until
    from existing
),

-- Loads of different lengths end in another order than they begin in: hence a margin.
looked_at as (
    select usable.transaction_id
    from usable
    cross join progress
    {% if in_range %}
    where {{ backfill_hours('usable.purchased_at') }}
    {% else %}
    where
        usable.loaded_at
        >= dateadd(minute, -{{ var('gaming_load_lookback_minutes') }}, progress.loaded_until)
        or usable.purchased_at
        >= dateadd(
            minute, -{{ var('gaming_purchases_lookback_minutes') }}, progress.purchased_until
        )
    {% endif %}
    union distinct
    select transaction_id from existing
    where {{ in_range or 'false' }}
),

candidates as (
    select usable.*
    from usable
    inner join looked_at
        on usable.transaction_id = looked_at.transaction_id
),
{% else %}
candidates as (
    select * from usable
),
{% endif %}

latest as (
    select
        transaction_id,
        user_id,
        revenue_text,
        revenue_type,
        currency,
        revenue,
        purchased_at,
        created_at,
        updated_at,
        loaded_at
    from candidates
    qualify
        row_number() over (
            partition by transaction_id
            order by updated_at desc nulls last, load_id desc, row_number_in_load desc
        ) = 1
),

{% if is_incremental() and in_range %}
-- A purchase that moves into the range from outside, or out of it, waits for the next run without
-- one: moving it would touch rows outside. For that run to find it, this one leaves the time up to
-- which loads are known as it is.
within_range as (
    select
        latest.transaction_id,
        latest.user_id,
        latest.revenue_text,
        latest.revenue_type,
        latest.currency,
        latest.revenue,
        latest.purchased_at,
        latest.created_at,
        latest.updated_at,
        least(latest.loaded_at, progress.loaded_until) as loaded_at
    from latest
    cross join progress
    left join existing
        on latest.transaction_id = existing.transaction_id
    where
        {{ backfill_hours('latest.purchased_at') }}
        and (
            existing.transaction_id is null
            or {{ backfill_hours('existing.purchased_at') }}
        )
    union all
    select
        existing.transaction_id,
        existing.user_id,
        existing.revenue_text,
        existing.revenue_type,
        existing.currency,
        null as revenue,
        existing.purchased_at,
        existing.created_at,
        existing.updated_at,
        existing.loaded_at
    from existing
    left join latest
        on existing.transaction_id = latest.transaction_id
    where
        {{ backfill_hours('existing.purchased_at') }}
        and latest.transaction_id is null
),
{% else %}
within_range as (
    select * from latest
),
{% endif %}

final as (
    select * from within_range
)

select * from final
