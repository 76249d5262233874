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

{%- set is_looked_at = 'true' %}
{%- if is_incremental() %}
{%- set loaded_until = newest('loaded_at', this) %}
{%- set spun_until = newest('app_hour', this) %}
{#- Loads of different lengths end in another order than they begin in: hence a margin. Moments are
    compared as text, which prunes; down to the second, texts sort like moments. #}
{%- set is_new %}
        _loaded_at >= dateadd(
            minute,
            -{{ var('gaming_load_lookback_minutes') }},
            '{{ loaded_until }}'::timestamp_ntz
        )
        or timestamp >= to_char(
            dateadd(
                hour,
                -{{ var('gaming_spins_lookback_hours') }},
                '{{ spun_until }}'::timestamp_ntz
            ),
            'YYYY-MM-DD HH24:MI:SS'
        )
{%- endset %}
{%- set spun_at = gaming_moment('timestamp') %}
{%- set is_looked_at = backfill_hours(spun_at) or is_new %}
{%- set first_day = oldest(spun_at, [source('gaming', 'spins_hourly')], is_looked_at)[:10] %}
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
        _loaded_at as loaded_at,
        ({{ is_looked_at }}) as is_looked_at
    from source
    where
        {{ gaming_spins_fault() }} is null
        {%- if is_incremental() %}
        -- Texts that begin with a blank or a sign come before all digits.
        and (timestamp >= '{{ first_day }}' or timestamp < '0')
        {%- endif %}
),

{% if is_incremental() %}
existing as (
    select * from {{ this }}
),

looked_at as (
    select
        app_hour,
        user_id,
        country
    from usable
    where is_looked_at
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
