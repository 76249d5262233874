{{ config(tags=['affiliate__web_traffic']) }}

with

source as (
    select * from {{ source('affiliate', 'voluum_mapper') }}
),

renamed as (
    select distinct
        {{ trimmed('voluum_brand') }} as voluum_brand,
        {{ trimmed('marketing_source') }} as marketing_source
    from source
),

final as (
    select
        -- ids
        md5(voluum_brand || '|' || marketing_source) as mapping_id,

        -- text
        voluum_brand,
        marketing_source
    from renamed
)

select * from final
