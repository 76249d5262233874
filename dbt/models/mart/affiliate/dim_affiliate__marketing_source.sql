{{ config(tags=['affiliate__commission']) }}

with

events as (
    select * from {{ ref('int_affiliate__events') }}
),

deal_terms as (
    select * from {{ ref('int_affiliate__deal_terms') }}
),

activity as (
    select
        marketing_source,
        min(event_date) as first_event_date,
        max(event_date) as last_event_date
    from events
    group by marketing_source
),

joined as (
    select
        coalesce(activity.marketing_source, deal_terms.marketing_source) as marketing_source,
        deal_terms.deal,
        deal_terms.comments,
        deal_terms.added_per_event,
        deal_terms.added_per_click,
        deal_terms.marketing_source is not null as has_deal,
        activity.first_event_date,
        activity.last_event_date
    from activity
    full outer join deal_terms
        on activity.marketing_source = deal_terms.marketing_source
),

final as (
    select
        -- ids
        md5(marketing_source) as marketing_source_key,

        -- text
        marketing_source,
        deal,
        comments,

        -- terms
        has_deal,
        coalesce(added_per_event, 0)::number(38, 10) as added_per_event,
        coalesce(added_per_click, 0)::number(38, 10) as added_per_click,

        -- dates
        first_event_date,
        last_event_date
    from joined
)

select * from final
