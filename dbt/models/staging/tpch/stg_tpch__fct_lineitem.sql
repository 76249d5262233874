{{
    config(
        materialized='incremental',
        incremental_strategy='bucket_merge',
        tmp_relation_type='view',
        unique_key=['order_key', 'line_number'],
        on_schema_change='sync_all_columns',
        cluster_by=['year(commit_date)'],
        meta={
            'bucket': 'order_key - mod(order_key, ' ~ var('tpch_line_bucket_size') ~ ')',
            'window_column': 'order_date',
            'lookback_months': var('tpch_lookback_months'),
        },
    )
}}

with

source as (
    select * from {{ source('tpch', 'lineitem') }}
),

orders as (
    select * from {{ ref('stg_tpch__fct_orders') }}
),

renamed as (
    select
        -- ids
        l_orderkey as order_key,
        l_linenumber as line_number,
        l_partkey as part_key,
        l_suppkey as supplier_key,

        -- text
        l_returnflag as return_flag,
        l_linestatus as line_status,
        l_shipinstruct as ship_instructions,
        l_shipmode as ship_mode,
        l_comment as line_comment,

        -- numbers
        l_quantity as quantity,
        l_extendedprice as extended_price,
        l_discount as discount_rate,
        l_tax as tax_rate,

        -- dates
        l_shipdate as ship_date,
        l_commitdate as commit_date,
        l_receiptdate as receipt_date
    from source
),

with_order as (
    select
        renamed.*,
        orders.order_date
    from renamed
    -- Joined to the loaded orders and not to the source: a line waits until its order is here.
    inner join orders
        on renamed.order_key = orders.order_key
)

select * from with_order
