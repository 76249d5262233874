{{ config(tags=['affiliate__web_traffic']) }}

with

source as (
    select * from {{ source('affiliate', 'deals') }}
),

renamed as (
    select
        -- ids
        trim(marketing_source) as marketing_source,

        -- text
        nullif(trim(deal), '') as deal,
        nullif(trim(comments), '') as comments
    from source
    -- A marketing source has one deal: of two in a file, the one further down.
    qualify
        row_number() over (partition by trim(marketing_source) order by _row_number desc) = 1
)

select * from renamed
