{{ config(tags=['affiliate__web_traffic']) }}

with

source as (
    select * from {{ source('affiliate', 'central_mapping') }}
),

renamed as (
    select distinct
        {{ operator_name('variants') }} as operator_name,
        {{ operator_name('std_operator') }} as operator,
        {{ trimmed('country') }} as country
    from source
),

final as (
    select
        -- ids
        md5(operator_name || '|' || coalesce(country, '') || '|' || operator) as mapping_id,

        -- text
        operator_name,
        operator,
        country
    from renamed
    where
        operator_name is not null
        and operator is not null
)

select * from final
