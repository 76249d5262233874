{{ config(tags=['affiliate__commission']) }}

with

web_traffic as (
    select * from {{ ref('int_affiliate__web_traffic_events') }}
),

scrapers as (
    select * from {{ ref('stg_affiliate__scrapers') }}
),

variants as (
    select * from {{ ref('int_affiliate__operator_variants') }}
),

daily_clicks as (
    select * from {{ ref('int_affiliate__daily_clicks') }}
),

scrapers_by_name as (
    select
        *,
        null::varchar as country_code
    from scrapers
),

scrapers_with_operators as (
    {{ with_operator('scrapers_by_name', 'variants') }}
),

united as (
    select
        event_id,
        source_id,
        'web_traffic' as traffic_family,
        traffic_source,
        marketing_source,
        operator_name,
        operator,
        country,
        country_code,
        raw_earnings,
        null::number(38, 10) as total_earnings,
        visits,
        signups,
        event_at,
        event_date
    from web_traffic
    union all
    select
        event_id,
        source_id,
        'scrapers' as traffic_family,
        traffic_source,
        marketing_source,
        operator_name,
        operator,
        country,
        country_code,
        null::number(38, 10) as raw_earnings,
        total_earnings,
        visits,
        null::number(38, 0) as signups,
        event_at,
        event_date
    from scrapers_with_operators
),

final as (
    select
        -- ids
        united.event_id,
        united.source_id,

        -- text
        united.traffic_family,
        united.traffic_source,
        united.marketing_source,
        united.operator_name,
        united.operator,
        united.country,
        united.country_code,

        -- numbers
        united.raw_earnings,
        united.total_earnings,
        united.visits,
        united.signups,

        -- of the marketing source's whole day
        coalesce(daily_clicks.clicks, 0)::number(38, 0) as day_clicks,
        count(*) over (
            partition by united.marketing_source, united.event_date
        ) as day_event_count,

        -- times
        united.event_at,
        united.event_date
    from united
    left join daily_clicks
        on
            united.marketing_source = daily_clicks.marketing_source
            and united.event_date = daily_clicks.event_date
)

select * from final
