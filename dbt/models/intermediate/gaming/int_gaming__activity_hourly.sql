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
            'gone_when_null': 'total_spins_hourly',
            'window_column': 'app_hour',
            'lookback_minutes': var('gaming_load_lookback_minutes'),
        },
    )
}}

{%- set purchases, spins = ref('stg_gaming__purchase_places'), ref('stg_gaming__spin_places') %}
{%- set counted, staged_at = 'is_current', 'staged_at' %}
{%- if is_incremental() %}
{%- set built_until = newest('staged_at', this) %}
{#- Staging without an older row was built anew, and knows no places of before. #}
{%- set is_anew = built_until < [oldest('staged_at', [purchases]), oldest('staged_at', [spins])] | max %}
{%- set written_since = "staged_at >= dateadd(minute, -%d, '%s'::timestamp_ntz)"
    % (var('gaming_load_lookback_minutes'), built_until) %}
{%- set looked_at = in_range or ('true' if is_anew else written_since) %}
{%- set first_hour = oldest('app_hour', [purchases, spins, this], looked_at) %}
{%- set touched = "app_hour >= '" ~ first_hour[:10] ~ "'::timestamp_ntz
        and (app_hour::date, user_id) in (select app_day, user_id from touched_days)" %}
{%- set counted = [counted, touched, in_range or 'true'] | join('\n        and ') %}
{#- What was staged outside the range must still look new to the next run without one. #}
{%- set staged_at = "least(staged_at, '%s'::timestamp_ntz)" % built_until if in_range else staged_at %}
{%- endif %}

with

purchases as (
    select * from {{ ref('stg_gaming__purchase_places') }}
),

spins as (
    select * from {{ ref('stg_gaming__spin_places') }}
),

{% if is_incremental() %}
-- Staging marks the places that were left or emptied as written, too. What stands here matters in
-- a range, and after staging was built anew.
touched_days as (
    {%- for table in ['purchases', 'spins', this] %}
    select app_hour::date as app_day, user_id from {{ table }} where {{ looked_at }}
    {%- if not loop.last %} union distinct {%- endif %}
    {%- endfor %}
),

existing as (
    select * from {{ this }}
    where {{ touched }}
),
{% endif %}

hourly_purchases as (
    select
        app_hour,
        user_id,
        sum(revenue) as revenue,
        count(*) as purchase_count,
        max(staged_at) as staged_at
    from purchases
    where {{ counted }}
    group by app_hour, user_id
),

-- An hour's purchases belong to one country: that with most spins, then the first by name.
hourly_spins as (
    select
        *,
        row_number() over (
            partition by app_hour, user_id order by ceil(total_spins) desc, country asc
        ) = 1 as has_purchases
    from spins
    where {{ counted }}
),

hours as (
    select
        coalesce(spins.app_hour, purchases.app_hour) as app_hour,
        coalesce(spins.user_id, purchases.user_id) as user_id,
        coalesce(spins.country, 'UNKNOWN') as country,
        ceil(coalesce(spins.total_spins, 0))::number(38, 0) as total_spins_hourly,
        coalesce(purchases.revenue, 0)::number(18, 2) as total_revenue_hourly,
        coalesce(purchases.purchase_count, 0)::number(38, 0) as total_purchases_amount_hourly,
        greatest_ignore_nulls(spins.staged_at, purchases.staged_at) as staged_at
    from hourly_spins as spins
    full outer join hourly_purchases as purchases
        on
            spins.app_hour = purchases.app_hour
            and spins.user_id = purchases.user_id
            and spins.has_purchases
    {%- if is_incremental() and in_range %}
    -- The other hours of a day stay as they are, and count into its total.
    union all
    select * exclude (avg_revenue_per_purchase_hourly, total_revenue_per_user_daily)
    from existing
    where not ({{ in_range }})
    {%- endif %}
),

activity as (
    select
        app_hour,
        user_id,
        country,
        total_spins_hourly,
        total_revenue_hourly,
        total_purchases_amount_hourly,
        coalesce(
            total_revenue_hourly / nullif(total_purchases_amount_hourly, 0), 0
        )::number(18, 6) as avg_revenue_per_purchase_hourly,
        (
            sum(total_revenue_hourly) over (partition by user_id, app_hour::date)
        )::number(18, 2) as total_revenue_per_user_daily,
        {{ staged_at }} as staged_at
    from hours
),

final as (
    select * from activity
    {%- if is_incremental() %}
    union all
    select existing.* replace (null as total_spins_hourly)
    from existing
    left join activity
        on
            existing.app_hour = activity.app_hour
            and existing.user_id = activity.user_id
            and existing.country = activity.country
    where activity.app_hour is null
    {%- endif %}
)

select * from final
