{{ config(materialized='view') }}

with

parsed as (
    select * from {{ ref('int_forex__parsed_transactions') }}
),

staged as (
    select * from {{ ref('stg_forex__customer_transactions') }}
),

rejected as (
    select
        -- ids
        parsed.transaction_id,

        -- why
        parsed.reject_reason,
        parsed.delivered_transaction_date,
        parsed.delivered_quantity,
        parsed.delivered_price,
        parsed.delivered_tax,

        -- delivery
        staged.source_file,
        staged.file_row_number,
        staged.load_id,
        parsed.loaded_at
    from parsed
    left join staged
        on parsed.transaction_id = staged.transaction_id
    where parsed.reject_reason is not null
)

select * from rejected
