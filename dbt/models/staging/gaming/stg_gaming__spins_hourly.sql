{%- set in_range = backfill_hours('app_hour') -%}

{{
    config(
        materialized='incremental',
        incremental_strategy='key_sync',
        tmp_relation_type='view',
        unique_key=['app_hour', 'user_id', 'country'],
        on_schema_change='sync_all_columns',
        cluster_by=['app_hour::date'],
        meta={
            'gone_when_null': 'total_spins',
            'window_column': 'app_hour',
            'lookback_hours': var('gaming_spins_lookback_hours'),
        },
    )
}}

with

source as (
    select * from {{ source('gaming', 'spins_hourly') }}
),

usable as (
    select
        -- ids
        date_trunc('hour', {{ gaming_moment('timestamp') }}) as app_hour,
        user_id,
        country,

        -- numbers
        {{ gaming_spins('total_spins') }} as spins,

        -- times
        {{ gaming_moment('timestamp') }} as spun_at,
        created_at,
        updated_at,

        -- load
        _loaded_at as loaded_at
    from source
    where {{ gaming_spins_fault() }} is null
),

{% if is_incremental() %}
existing as (
    select * from {{ this }}
),

progress as (
    select
        coalesce(max(loaded_at), '1970-01-01'::timestamp_ntz) as loaded_until,
        coalesce(max(app_hour), '1970-01-01'::timestamp_ntz) as spun_until
    from existing
),

-- Loads of different lengths end in another order than they begin in: hence a margin.
looked_at as (
    select
        usable.app_hour,
        usable.user_id,
        usable.country
    from usable
    cross join progress
    {% if in_range %}
    where {{ backfill_hours('usable.app_hour') }}
    {% else %}
    where
        usable.loaded_at
        >= dateadd(minute, -{{ var('gaming_load_lookback_minutes') }}, progress.loaded_until)
        or usable.app_hour
        >= dateadd(hour, -{{ var('gaming_spins_lookback_hours') }}, progress.spun_until)
    {% endif %}
    union distinct
    select
        app_hour,
        user_id,
        country
    from existing
    where {{ in_range or 'false' }}
),

candidates as (
    select usable.*
    from usable
    inner join looked_at
        on
            usable.app_hour = looked_at.app_hour
            and usable.user_id = looked_at.user_id
            and usable.country = looked_at.country
),
{% else %}
candidates as (
    select * from usable
),
{% endif %}

-- Rows that share the latest change are parts of one total; older ones are out of date.
parts as (
    select *
    from candidates
    qualify
        rank() over (
            partition by spun_at, user_id, country
            order by updated_at desc nulls last
        ) = 1
),

totals as (
    select
        app_hour,
        user_id,
        country,
        sum(spins)::number(38, 9) as total_spins,
        count(*) as source_rows,
        min(created_at) as created_at,
        max(updated_at) as updated_at,
        max(loaded_at) as loaded_at
    from parts
    group by app_hour, user_id, country
),

{% if is_incremental() and in_range %}
-- The time up to which loads are known stays as it is: the next run without a range then finds
-- what was loaded outside of this one.
within_range as (
    select
        totals.app_hour,
        totals.user_id,
        totals.country,
        totals.total_spins,
        totals.source_rows,
        totals.created_at,
        totals.updated_at,
        least(totals.loaded_at, progress.loaded_until) as loaded_at
    from totals
    cross join progress
    union all
    select
        existing.app_hour,
        existing.user_id,
        existing.country,
        null as total_spins,
        existing.source_rows,
        existing.created_at,
        existing.updated_at,
        existing.loaded_at
    from existing
    left join totals
        on
            existing.app_hour = totals.app_hour
            and existing.user_id = totals.user_id
            and existing.country = totals.country
    where
        {{ backfill_hours('existing.app_hour') }}
        and totals.app_hour is null
),
{% else %}
within_range as (
    select * from totals
),
{% endif %}

final as (
    select * from within_range
)

select * from final
