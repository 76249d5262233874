-- A returned row means: not every raw purchase is staged, rejected, superseded by another row of
-- the same transaction, or loaded after the last run that staged everything.

with

source as (
    select
        *,
        {{ gaming_purchase_fault() }} as fault
    from {{ source('gaming', 'purchases') }}
),

staged as (
    select * from {{ ref('stg_gaming__purchases') }}
),

rejected as (
    select * from {{ ref('stg_gaming__rejected') }}
    where raw_table = 'purchases'
),

progress as (
    select max(loaded_at) as loaded_until from staged
),

transactions as (
    select
        source.transaction_id,
        count(*) as raw_rows,
        min(source._loaded_at) as first_loaded_at,
        count(staged.transaction_id) as staged_rows
    from source
    left join staged
        on source.transaction_id = staged.transaction_id
    where source.fault is null
    group by source.transaction_id
),

accounts as (
    select
        (select count(*) from source) as raw_rows,
        (select count(*) from staged) as staged_rows,
        (select count(*) from rejected) as rejected_rows,
        coalesce(sum(iff(transactions.staged_rows > 0, transactions.raw_rows - 1, 0)), 0)
            as superseded_rows,
        coalesce(sum(
            iff(
                transactions.staged_rows = 0
                and coalesce(transactions.first_loaded_at > progress.loaded_until, true),
                transactions.raw_rows,
                0
            )
        ), 0) as waiting_rows
    from transactions
    cross join progress
)

select *
from accounts
where raw_rows != staged_rows + rejected_rows + superseded_rows + waiting_rows
