-- A returned row is a transaction that was delivered and is neither cleaned nor rejected nor
-- waiting for its quantity. A run that is bound to a range leaves new rows to the next one.
with

staged as (
    select * from {{ ref('stg_forex__customer_transactions') }}
),

found as (
    select transaction_id from {{ ref('int_forex__transactions') }}
    union distinct
    select transaction_id from {{ ref('int_forex__rejected_transactions') }}
    union distinct
    select transaction_id from {{ ref('stg_forex__missing_quantity') }}
)

select staged.*
from staged
left join found
    on staged.transaction_id = found.transaction_id
where
    found.transaction_id is null
    {%- if backfill_range('staged.loaded_at') %}
    and false
    {%- endif %}
