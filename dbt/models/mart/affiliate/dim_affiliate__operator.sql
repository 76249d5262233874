{{ config(tags=['affiliate__commission']) }}

with

variants as (
    select * from {{ ref('int_affiliate__operator_variants') }}
),

final as (
    select
        -- ids
        md5(operator) as operator_key,

        -- text
        operator,

        -- counts
        count(distinct operator_name)::number(38, 0) as name_count
    from variants
    group by operator
)

select * from final
