{%- set in_range = backfill_hours('app_hour') -%}

{{
    config(
        materialized='incremental',
        incremental_strategy='key_sync',
        tmp_relation_type='view',
        unique_key=['app_hour', 'user_id', 'country'],
        on_schema_change='append_new_columns',
        cluster_by=['app_hour::date'],
        meta={
            'gone_when_null': 'total_spins_hourly',
            'window_column': 'app_hour',
            'lookback_days': var('gaming_mart_lookback_days'),
        },
    )
}}

with

purchases as (
    select * from {{ ref('stg_gaming__purchases') }}
),

spins as (
    select * from {{ ref('stg_gaming__spins_hourly') }}
),

hourly_purchases as (
    select
        date_trunc('hour', purchased_at) as app_hour,
        user_id,
        sum(revenue)::number(18, 2) as revenue,
        count(*) as purchase_count
    from purchases
    group by date_trunc('hour', purchased_at), user_id
),

hourly_spins as (
    select
        app_hour,
        user_id,
        country,
        ceil(total_spins)::number(38, 0) as spin_count
    from spins
),

{% if is_incremental() %}
existing as (
    select * from {{ this }}
),

-- What the hours come to, as staged and as built: each fact stands once on each side, or
-- something about its day has changed.
staged_facts as (
    select
        app_hour,
        user_id,
        country,
        spin_count as amount,
        null::number(18, 2) as revenue
    from hourly_spins
    union all
    select
        app_hour,
        user_id,
        null as country,
        purchase_count as amount,
        revenue
    from hourly_purchases
    union all
    select
        hourly_purchases.app_hour,
        hourly_purchases.user_id,
        'UNKNOWN' as country,
        0 as amount,
        null as revenue
    from hourly_purchases
    left join hourly_spins
        on
            hourly_purchases.app_hour = hourly_spins.app_hour
            and hourly_purchases.user_id = hourly_spins.user_id
    where hourly_spins.user_id is null
),

built_facts as (
    select
        app_hour,
        user_id,
        country,
        total_spins_hourly as amount,
        null::number(18, 2) as revenue
    from existing
    union all
    select
        app_hour,
        user_id,
        null as country,
        sum(total_purchases_amount_hourly) as amount,
        sum(total_revenue_hourly)::number(18, 2) as revenue
    from existing
    group by app_hour, user_id
    having sum(total_purchases_amount_hourly) > 0
),

facts as (
    select * from staged_facts
    union all
    select * from built_facts
),

newest_fact as (
    select max(app_hour) as app_hour from facts
),

compared_facts as (
    select facts.*
    from facts
    cross join newest_fact
    {% if in_range %}
    where {{ backfill_hours('facts.app_hour') }}
    {% elif var('gaming_mart_lookback_days') is not none %}
    where
        facts.app_hour
        >= dateadd(day, -{{ var('gaming_mart_lookback_days') }}, newest_fact.app_hour)
    {% endif %}
),

changed_facts as (
    select
        app_hour,
        user_id
    from compared_facts
    group by app_hour, user_id, country, amount, revenue
    having count(*) = 1
),

touched_days as (
    select distinct
        app_hour::date as app_day,
        user_id
    from changed_facts
),

touched_purchases as (
    select hourly_purchases.*
    from hourly_purchases
    inner join touched_days
        on
            hourly_purchases.app_hour::date = touched_days.app_day
            and hourly_purchases.user_id = touched_days.user_id
),

touched_spins as (
    select hourly_spins.*
    from hourly_spins
    inner join touched_days
        on
            hourly_spins.app_hour::date = touched_days.app_day
            and hourly_spins.user_id = touched_days.user_id
),

touched_existing as (
    select existing.*
    from existing
    inner join touched_days
        on
            existing.app_hour::date = touched_days.app_day
            and existing.user_id = touched_days.user_id
),
{% else %}
touched_purchases as (
    select * from hourly_purchases
),

touched_spins as (
    select * from hourly_spins
),
{% endif %}

-- An hour's purchases belong to one country: that with most spins, then the first by name.
ranked_spins as (
    select
        *,
        row_number() over (
            partition by app_hour, user_id
            order by spin_count desc, country asc
        ) as country_rank
    from touched_spins
),

hours as (
    select
        coalesce(ranked_spins.app_hour, touched_purchases.app_hour) as app_hour,
        coalesce(ranked_spins.user_id, touched_purchases.user_id) as user_id,
        coalesce(ranked_spins.country, 'UNKNOWN') as country,
        coalesce(ranked_spins.spin_count, 0) as spin_count,
        iff(
            coalesce(ranked_spins.country_rank, 1) = 1, coalesce(touched_purchases.revenue, 0), 0
        ) as revenue,
        iff(
            coalesce(ranked_spins.country_rank, 1) = 1,
            coalesce(touched_purchases.purchase_count, 0),
            0
        ) as purchase_count
    from ranked_spins
    full outer join touched_purchases
        on
            ranked_spins.app_hour = touched_purchases.app_hour
            and ranked_spins.user_id = touched_purchases.user_id
),

{% if is_incremental() and in_range %}
-- Of a day that the range covers in part the other hours stay as they are; their daily total
-- follows.
hours_in_and_beside_range as (
    select * from hours
    where {{ in_range }}
    union all
    select
        app_hour,
        user_id,
        country,
        total_spins_hourly as spin_count,
        total_revenue_hourly as revenue,
        total_purchases_amount_hourly as purchase_count
    from touched_existing
    where not ({{ in_range }})
),
{% else %}
hours_in_and_beside_range as (
    select * from hours
),
{% endif %}

activity as (
    select
        app_hour,
        user_id,
        country,
        spin_count::number(38, 0) as total_spins_hourly,
        revenue::number(18, 2) as total_revenue_hourly,
        purchase_count::number(38, 0) as total_purchases_amount_hourly,
        case
            when purchase_count = 0 then 0
            else revenue / nullif(purchase_count, 0)
        end::number(18, 6) as avg_revenue_per_purchase_hourly,
        (
            sum(revenue) over (partition by user_id, app_hour::date)
        )::number(18, 2) as total_revenue_per_user_daily
    from hours_in_and_beside_range
),

{% if is_incremental() %}
final as (
    select * from activity
    union all
    select
        touched_existing.app_hour,
        touched_existing.user_id,
        touched_existing.country,
        null as total_spins_hourly,
        null as total_revenue_hourly,
        null as total_purchases_amount_hourly,
        null as avg_revenue_per_purchase_hourly,
        null as total_revenue_per_user_daily
    from touched_existing
    left join activity
        on
            touched_existing.app_hour = activity.app_hour
            and touched_existing.user_id = activity.user_id
            and touched_existing.country = activity.country
    where activity.app_hour is null
)
{% else %}
final as (
    select * from activity
)
{% endif %}

select * from final
