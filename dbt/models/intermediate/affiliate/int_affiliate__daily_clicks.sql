{{ config(tags=['affiliate__web_traffic']) }}

with

clicks as (
    select * from {{ ref('stg_affiliate__voluum') }}
),

brands as (
    select * from {{ ref('stg_affiliate__voluum_mapper') }}
),

final as (
    select
        -- ids
        brands.marketing_source,
        clicks.event_date,

        -- counts
        count(distinct brands.voluum_brand) as brand_count,
        coalesce(sum(clicks.clicks), 0)::number(38, 0) as clicks
    from clicks
    inner join brands
        on clicks.voluum_brand = brands.voluum_brand
    group by
        brands.marketing_source,
        clicks.event_date
)

select * from final
