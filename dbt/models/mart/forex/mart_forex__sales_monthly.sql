{{ config(materialized='view') }}

with

transactions as (
    select * from {{ ref('fct_forex__transaction') }}
),

months as (
    select
        date_trunc('month', transaction_date)::date as sales_month,
        count(*) as transaction_count,
        count(distinct customer_key) as customer_count,
        sum(quantity) as quantity,
        sum(revenue) as revenue,
        sum(tax) as tax
    from transactions
    group by 1
),

final as (
    select
        -- ids
        this_month.sales_month,

        -- counts
        this_month.transaction_count::number(38, 0) as transaction_count,
        this_month.customer_count::number(38, 0) as customer_count,

        -- amounts
        this_month.quantity::number(38, 6) as quantity,
        this_month.revenue::number(38, 2) as revenue,
        this_month.tax::number(38, 2) as tax,
        (
            (this_month.revenue - month_before.revenue) / nullif(abs(month_before.revenue), 0)
        )::number(38, 4) as revenue_growth
    from months as this_month
    left join months as month_before
        -- Subtract a month instead of adding one: December 9999 has no next month.
        on month_before.sales_month = dateadd('month', -1, this_month.sales_month)
)

select * from final
