-- A returned row is an order whose total is not what its lines come to. TPC-H cuts each line's
-- price down to whole cents twice, so up to 3 cents a line are no error. A warning, because a
-- wrong order in the source is a finding to look into and no reason to stop the marts.
{{ config(severity='warn', tags=['tpch']) }}

with

order_lineitems as (
    select * from {{ ref('int_tpch__order_lineitems') }}
),

order_sums as (
    select
        order_key,
        max(order_total) as order_total,
        sum(gross_price) as gross_price,
        count(*) as line_count
    from order_lineitems
    group by order_key
)

select *
from order_sums
where abs(order_total - gross_price) > 0.03 * line_count
