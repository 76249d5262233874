{{ config(tags=['affiliate__commission']) }}

with

events as (
    select * from {{ ref('int_affiliate__events') }}
),

final as (
    select
        -- ids
        event_id,
        source_id,
        md5(marketing_source) as marketing_source_key,
        md5(operator) as operator_key,
        md5(upper(coalesce(country, country_code))) as country_key,

        -- text
        traffic_family,
        traffic_source,
        operator_name,

        -- numbers
        raw_earnings,
        total_earnings,
        visits::number(38, 0) as visits,
        signups::number(38, 0) as signups,
        day_clicks,
        day_event_count::number(38, 0) as day_event_count,
        -- Six decimals in the numerator, so that ten decimals of the quotient are correct.
        (day_clicks::number(38, 6) / day_event_count)::number(38, 10) as click_share,

        -- times
        event_at,
        event_date
    from events
)

select * from final
