{{ config(tags=['affiliate__web_traffic']) }}

with

source as (
    select * from {{ source('affiliate', 'deals') }}
),

renamed as (
    select
        {{ trimmed('marketing_source') }} as marketing_source,
        {{ trimmed('deal') }} as deal,
        {{ trimmed('comments') }} as comments,
        _row_number as source_row
    from source
),

-- A marketing source has one deal: of two in a file, the one further down.
final as (
    select
        -- ids
        marketing_source,

        -- text
        deal,
        comments
    from renamed
    qualify row_number() over (partition by marketing_source order by source_row desc) = 1
)

select * from final
