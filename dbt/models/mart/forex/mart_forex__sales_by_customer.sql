{{ config(materialized='view') }}

with

transactions as (
    select * from {{ ref('fct_forex__transaction') }}
),

customers as (
    select * from {{ ref('dim_forex__customer') }}
),

sales as (
    select
        customer_key,
        count(*) as transaction_count,
        sum(quantity) as quantity,
        sum(revenue) as revenue,
        sum(tax) as tax,
        min(transaction_date) as first_transaction_date,
        max(transaction_date) as last_transaction_date
    from transactions
    group by customer_key
),

final as (
    select
        -- ids
        sales.customer_key,

        -- text
        customers.first_name,
        customers.last_name,
        customers.email,

        -- counts
        sales.transaction_count::number(38, 0) as transaction_count,
        rank() over (order by sales.revenue desc)::number(38, 0) as revenue_rank,

        -- amounts
        sales.quantity::number(38, 6) as quantity,
        sales.revenue::number(38, 2) as revenue,
        sales.tax::number(38, 2) as tax,

        -- dates
        sales.first_transaction_date,
        sales.last_transaction_date
    from sales
    left join customers
        on sales.customer_key = customers.customer_key
)

select * from final
