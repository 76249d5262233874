{%- set in_range = backfill_hours('app_hour') -%}

{{
    config(
        materialized='incremental',
        incremental_strategy='key_sync',
        tmp_relation_type='view',
        unique_key=['transaction_id', 'user_id', 'app_hour'],
        on_schema_change='sync_all_columns',
        cluster_by=['app_hour::date'],
        meta={
            'written_at': 'staged_at',
            'window_column': 'app_hour',
            'lookback_minutes': var('gaming_purchases_lookback_minutes'),
        },
    )
}}

{%- if is_incremental() %}
{%- set loaded_until = newest('loaded_at', this) %}
{%- set bought_until = newest('purchased_at', this) %}
{%- endif %}

with

source as (
    select * from {{ source('gaming', 'purchases') }}
),

{% if is_incremental() %}
-- Once more, because a CTE with two readers is not pruned for either.
loaded as (
    select * from {{ source('gaming', 'purchases') }}
),

existing as (
    select * from {{ this }}
),

-- Loads of different lengths end in another order than they begin in: hence a margin.
looked_at as (
    select transaction_id
    from loaded
    {% if in_range %}
    where {{ backfill_hours(gaming_moment('timestamp')) }}
    {% else %}
    where
        _loaded_at
        >= dateadd(
            minute,
            -{{ var('gaming_load_lookback_minutes') }},
            '{{ loaded_until }}'::timestamp_ntz
        )
        -- As text, which prunes and sorts like moments down to the second.
        or timestamp
        >= to_char(
            dateadd(
                minute,
                -{{ var('gaming_purchases_lookback_minutes') }},
                '{{ bought_until }}'::timestamp_ntz
            ),
            'YYYY-MM-DD HH24:MI:SS'
        )
    {% endif %}
    union distinct
    select transaction_id
    from existing
    where {{ in_range or 'false' }}
),

standing as (
    select *
    from existing
    where
        is_current
        and transaction_id in (select looked_at.transaction_id from looked_at)
),
{% endif %}

versions as (
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
        {{ gaming_purchase_fault() }} as fault
    from source
    {%- if is_incremental() %}
    where transaction_id in (select looked_at.transaction_id from looked_at)
    {%- endif %}
    -- Ranked before it is filtered, so that nobody takes other transactions' texts apart.
    qualify
        row_number() over (
            partition by transaction_id
            order by
                iff(fault is null, 0, 1) asc,
                updated_at desc nulls last,
                _load_id desc,
                _row_number desc
        ) = 1
),

latest as (
    select
        transaction_id,
        user_id,
        date_trunc('hour', purchased_at) as app_hour,
        revenue_text,
        revenue_type,
        currency,
        revenue,
        purchased_at,
        created_at,
        updated_at,
        loaded_at
    from versions
    where fault is null
),

final as (
    select
        latest.transaction_id,
        latest.user_id,
        latest.app_hour,
        latest.revenue_text,
        latest.revenue_type,
        latest.currency,
        latest.revenue,
        latest.purchased_at,
        latest.created_at,
        latest.updated_at,
        {%- if is_incremental() and in_range %}
        -- What was loaded outside the range must still look new to the next run without one.
        least(latest.loaded_at, '{{ loaded_until }}'::timestamp_ntz) as loaded_at,
        {%- else %}
        latest.loaded_at,
        {%- endif %}
        true as is_current,
        sysdate() as staged_at
    from latest
    {%- if is_incremental() and in_range %}
    -- A purchase that moves across the edge of the range waits for the next run without one.
    left join standing
        on latest.transaction_id = standing.transaction_id
    where
        {{ backfill_hours('latest.app_hour') }}
        and (standing.app_hour is null or ({{ backfill_hours('standing.app_hour') }}))
    {%- endif %}
    {%- if is_incremental() %}
    union all
    select standing.* replace (false as is_current, sysdate() as staged_at)
    from standing
    left join latest
        on standing.transaction_id = latest.transaction_id
    where
        coalesce(
            latest.user_id != standing.user_id or latest.app_hour != standing.app_hour, true
        )
        and {{ backfill_hours('standing.app_hour') or 'true' }}
        and {{ backfill_hours('coalesce(latest.app_hour, standing.app_hour)') or 'true' }}
    {%- endif %}
)

select * from final
