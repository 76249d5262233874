{{ config(tags=['affiliate__commission']) }}

with

web_traffic as (
    select * from {{ ref('mart_affiliate__web_traffic_daily') }}
),

scrapers as (
    select * from {{ ref('mart_affiliate__scrapers_daily') }}
),

daily_clicks as (
    select * from {{ ref('int_affiliate__daily_clicks') }}
),

-- Not `union distinct`: the same amounts in both families are two amounts.
families as (
    select
        marketing_source,
        event_date,
        event_count,
        visits,
        signups,
        commission_total as web_traffic_total,
        0::number(38, 10) as scrapers_total
    from web_traffic
    union all
    select
        marketing_source,
        event_date,
        event_count,
        visits,
        0 as signups,
        0::number(38, 10) as web_traffic_total,
        commission_total as scrapers_total
    from scrapers
),

source_days as (
    select
        marketing_source,
        event_date,
        sum(event_count) as event_count,
        sum(visits) as visits,
        sum(signups) as signups,
        sum(web_traffic_total)::number(38, 10) as web_traffic_total,
        sum(scrapers_total)::number(38, 10) as scrapers_total
    from families
    group by
        marketing_source,
        event_date
),

totals as (
    select
        source_days.*,
        daily_clicks.clicks,
        (source_days.web_traffic_total + source_days.scrapers_total)::number(38, 10)
            as commission_total
    from source_days
    left join daily_clicks
        on
            source_days.marketing_source = daily_clicks.marketing_source
            and source_days.event_date = daily_clicks.event_date
),

final as (
    select
        -- ids
        marketing_source,
        event_date,

        -- traffic
        event_count::number(38, 0) as event_count,
        visits::number(38, 0) as visits,
        signups::number(38, 0) as signups,
        coalesce(clicks, 0)::number(38, 0) as clicks,

        -- money
        web_traffic_total,
        scrapers_total,
        commission_total,
        greatest(commission_total, 0)::number(38, 10) as commission
    from totals
)

select * from final
