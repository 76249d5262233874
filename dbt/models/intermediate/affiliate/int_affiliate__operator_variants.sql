{{ config(tags=['affiliate__web_traffic']) }}

with

mapping as (
    select * from {{ ref('stg_affiliate__central_mapping') }}
),

-- Each step keeps the names that lead to one operator: what is ambiguous there matches nothing.
by_country as (
    select
        operator_name,
        upper(country) as country,
        min(operator) as operator
    from mapping
    where country is not null
    group by
        operator_name,
        upper(country)
    having count(distinct operator) = 1
),

by_variant as (
    select
        operator_name,
        min(operator) as operator
    from mapping
    group by operator_name
    having count(distinct operator) = 1
),

standard_names as (
    select distinct operator
    from mapping
),

anywhere as (
    select
        operator_name,
        operator
    from by_variant
    union all
    select
        standard_names.operator as operator_name,
        standard_names.operator
    from standard_names
    left join by_variant
        on standard_names.operator = by_variant.operator_name
    where by_variant.operator_name is null
),

final as (
    select
        -- ids
        operator_name,
        country,

        -- text
        operator
    from by_country
    union all
    select
        operator_name,
        '' as country,
        operator
    from anywhere
)

select * from final
