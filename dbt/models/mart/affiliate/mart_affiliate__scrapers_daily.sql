{{ config(tags=['affiliate__scrapers']) }}

with

events as (
    select * from {{ ref('stg_affiliate__scrapers') }}
),

source_days as (
    select
        marketing_source,
        event_date,
        count(*) as event_count,
        sum(visits) as visits,
        sum(total_earnings)::number(38, 10) as total_earnings
    from events
    group by
        marketing_source,
        event_date
),

differences as (
    select
        today.*,
        coalesce(today.total_earnings - yesterday.total_earnings, 0)::number(38, 10)
            as commission_total
    from source_days as today
    left join source_days as yesterday
        on
            today.marketing_source = yesterday.marketing_source
            -- Subtract a day instead of adding one: 9999-12-31 has no next day.
            and yesterday.event_date = dateadd(day, -1, today.event_date)
),

final as (
    select
        -- ids
        marketing_source,
        event_date,

        -- traffic
        event_count::number(38, 0) as event_count,
        coalesce(visits, 0)::number(38, 0) as visits,

        -- money
        total_earnings,
        commission_total,
        greatest(commission_total, 0)::number(38, 10) as commission
    from differences
)

select * from final
