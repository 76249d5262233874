{{ config(materialized='view') }}

with

transactions as (
    select * from {{ ref('fct_forex__transaction') }}
),

locations as (
    select * from {{ ref('dim_forex__location') }}
),

countries as (
    select
        coalesce(locations.country, 'unknown') as country,
        count(*) as transaction_count,
        count(distinct transactions.customer_key) as customer_count,
        sum(transactions.quantity) as quantity,
        sum(transactions.revenue) as revenue,
        sum(transactions.tax) as tax
    from transactions
    left join locations
        on transactions.location_key = locations.location_key
    group by 1
),

final as (
    select
        -- ids
        country,

        -- counts
        transaction_count::number(38, 0) as transaction_count,
        customer_count::number(38, 0) as customer_count,

        -- amounts
        quantity::number(38, 6) as quantity,
        revenue::number(38, 2) as revenue,
        tax::number(38, 2) as tax,
        {{ share_of_total('revenue') }} as revenue_share
    from countries
)

select * from final
