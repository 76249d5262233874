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
{%- set counted, stamp = 'is_current', 'staged_at' %}
{%- if is_incremental() %}
{%- set staged = [ref('stg_gaming__purchase_places'), ref('stg_gaming__spin_places')] %}
{%- set built_until = newest('staged_at', this) %}
{%- set written = "staged_at >= dateadd(minute, -" ~ var('gaming_load_lookback_minutes')
    ~ ", '" ~ built_until ~ "'::timestamp_ntz)" %}
{%- set staged_since = [oldest('staged_at', staged[:1]), oldest('staged_at', staged[1:])] | max %}
{%- set looked_at = in_range or ('true' if staged_since > built_until else written) %}
{%- set first_day = oldest('app_hour', staged + [this], looked_at)[:10] %}
{%- set touched = "app_hour >= '" ~ first_day ~ "'::timestamp_ntz
        and (app_hour::date, user_id) in (
            select touched_days.app_day, touched_days.user_id from touched_days
        )" %}
{%- set stamp = "least(staged_at, '" ~ built_until ~ "'::timestamp_ntz)" if in_range else stamp %}
{%- set counted = [counted, touched, in_range or 'true'] | join('\n        and ') %}
{%- endif %}

with

purchases as (
    select * from {{ ref('stg_gaming__purchase_places') }}
),

spins as (
    select * from {{ ref('stg_gaming__spin_places') }}
),

{% if is_incremental() %}
-- Staging also writes places that were left. A CTE with two readers would not be pruned for either.
touched_days as (
    {%- for table in staged + [this] %}
    select
        app_hour::date as app_day,
        user_id
    from {{ table }}
    where {{ looked_at }}
    {{ 'union distinct' if not loop.last }}
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
        * exclude (staged_at),
        coalesce(
            total_revenue_hourly / nullif(total_purchases_amount_hourly, 0), 0
        )::number(18, 6) as avg_revenue_per_purchase_hourly,
        (
            sum(total_revenue_hourly) over (partition by user_id, app_hour::date)
        )::number(18, 2) as total_revenue_per_user_daily,
        -- What was staged outside a range must still look new to the next run without one.
        {{ stamp }} as staged_at
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
