-- A returned row is a mart whose revenue is not that of all transactions.
with

totals as (
    select
        'fct_forex__transaction' as model,
        sum(revenue) as revenue
    from {{ ref('fct_forex__transaction') }}
    union all
    select
        'mart_forex__sales_monthly' as model,
        sum(revenue) as revenue
    from {{ ref('mart_forex__sales_monthly') }}
    union all
    select
        'mart_forex__sales_by_customer' as model,
        sum(revenue) as revenue
    from {{ ref('mart_forex__sales_by_customer') }}
    union all
    select
        'mart_forex__sales_by_country' as model,
        sum(revenue) as revenue
    from {{ ref('mart_forex__sales_by_country') }}
)

select *
from totals
qualify revenue is distinct from max(iff(model = 'fct_forex__transaction', revenue, null)) over ()
