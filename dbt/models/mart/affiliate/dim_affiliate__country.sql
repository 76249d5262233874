{{ config(tags=['affiliate__commission']) }}

with

events as (
    select * from {{ ref('int_affiliate__events') }}
),

final as (
    select
        -- ids
        md5(upper(coalesce(country, country_code))) as country_key,

        -- text
        min(coalesce(country, country_code))::varchar as country,
        min(country_code)::varchar as country_code
    from events
    where coalesce(country, country_code) is not null
    group by 1
)

select * from final
