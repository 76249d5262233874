{{ config(tags=['affiliate__web_traffic']) }}

with

routy as (
    select * from {{ ref('stg_affiliate__routy') }}
),

manual as (
    select * from {{ ref('stg_affiliate__manual') }}
),

variants as (
    select * from {{ ref('int_affiliate__operator_variants') }}
),

deal_terms as (
    select * from {{ ref('int_affiliate__deal_terms') }}
),

daily_clicks as (
    select * from {{ ref('int_affiliate__daily_clicks') }}
),

united as (
    select
        event_id,
        source_id,
        traffic_source,
        marketing_source,
        operator_name,
        country,
        country_code,
        raw_earnings,
        visits,
        signups,
        event_at,
        event_date
    from routy
    union all
    select
        event_id,
        source_id,
        traffic_source,
        marketing_source,
        operator_name,
        null::varchar as country,
        null::varchar as country_code,
        raw_earnings,
        visits,
        signups,
        event_at,
        event_date
    from manual
),

with_operators as (
    {{ with_operator('united', 'variants') }}
),

final as (
    select
        -- ids
        with_operators.event_id,
        with_operators.source_id,

        -- text
        with_operators.traffic_source,
        with_operators.marketing_source,
        with_operators.operator_name,
        with_operators.operator,
        with_operators.country,
        with_operators.country_code,

        -- numbers
        with_operators.raw_earnings,
        with_operators.visits,
        with_operators.signups,

        -- deal
        coalesce(deal_terms.added_per_event, 0)::number(38, 10) as added_per_event,
        coalesce(deal_terms.added_per_click, 0)::number(38, 10) as added_per_click,

        -- of the marketing source's whole day
        coalesce(daily_clicks.clicks, 0)::number(38, 0) as day_clicks,
        count(*) over (
            partition by with_operators.marketing_source, with_operators.event_date
        ) as day_event_count,

        -- times
        with_operators.event_at,
        with_operators.event_date
    from with_operators
    left join deal_terms
        on with_operators.marketing_source = deal_terms.marketing_source
    left join daily_clicks
        on
            with_operators.marketing_source = daily_clicks.marketing_source
            and with_operators.event_date = daily_clicks.event_date
)

select * from final
