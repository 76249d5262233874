{{ config(tags=['affiliate__web_traffic']) }}

with

source as (
    select * from {{ source('affiliate', 'deals') }}
),

renamed as (
    select
        -- ids
        {{ trimmed('marketing_source') }} as marketing_source,

        -- text
        {{ trimmed('deal') }} as deal,
        {{ trimmed('comments') }} as comments
    from source
    -- A marketing source has one deal: of two in a file, the one further down.
    qualify
        row_number() over (partition by {{ trimmed('marketing_source') }} order by _row_number desc) = 1
)

select * from renamed
