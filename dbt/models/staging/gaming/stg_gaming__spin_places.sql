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
            'written_at': 'staged_at',
            'window_column': 'app_hour',
            'lookback_hours': var('gaming_spins_lookback_hours'),
        },
    )
}}

{%- if is_incremental() %}
{%- set loaded_until = newest('loaded_at', this) %}
{%- set spun_until = newest('app_hour', this) %}
{%- endif %}

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

-- Loads of different lengths end in another order than they begin in: hence a margin.
looked_at as (
    select
        app_hour,
        user_id,
        country
    from usable
    {% if in_range %}
    where {{ in_range }}
    {% else %}
    where
        loaded_at
        >= dateadd(
            minute,
            -{{ var('gaming_load_lookback_minutes') }},
            '{{ loaded_until }}'::timestamp_ntz
        )
        or app_hour
        >= dateadd(
            hour,
            -{{ var('gaming_spins_lookback_hours') }},
            '{{ spun_until }}'::timestamp_ntz
        )
    {% endif %}
    union distinct
    select
        app_hour,
        user_id,
        country
    from existing
    where {{ in_range or 'false' }}
),
{% endif %}

-- Rows that share the latest change are parts of one total; older ones are out of date.
parts as (
    select *
    from usable
    {%- if is_incremental() %}
    where
        (app_hour, user_id, country) in (
            select
                looked_at.app_hour,
                looked_at.user_id,
                looked_at.country
            from looked_at
        )
    {%- endif %}
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
        {%- if is_incremental() and in_range %}
        -- What was loaded outside the range must still look new to the next run without one.
        least(max(loaded_at), '{{ loaded_until }}'::timestamp_ntz) as loaded_at,
        {%- else %}
        max(loaded_at) as loaded_at,
        {%- endif %}
        true as is_current,
        sysdate() as staged_at
    from parts
    group by app_hour, user_id, country
),

final as (
    select * from totals
    {%- if is_incremental() and in_range %}
    union all
    select existing.* replace (false as is_current, sysdate() as staged_at)
    from existing
    left join totals
        on
            existing.app_hour = totals.app_hour
            and existing.user_id = totals.user_id
            and existing.country = totals.country
    where
        {{ backfill_hours('existing.app_hour') }}
        and totals.app_hour is null
    {%- endif %}
)

select * from final
