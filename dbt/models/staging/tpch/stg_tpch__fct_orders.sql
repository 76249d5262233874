{{
    config(
        materialized='incremental',
        incremental_strategy='bucket_merge',
        tmp_relation_type='view',
        unique_key='order_key',
        on_schema_change='sync_all_columns',
        cluster_by=['year(order_date)'],
        meta={
            'bucket': "date_trunc('month', order_date)",
            'window_column': 'order_date',
            'lookback_months': var('tpch_lookback_months'),
        },
    )
}}

with

source as (
    select * from {{ source('tpch', 'orders') }}
),

renamed as (
    select
        -- ids
        o_orderkey as order_key,
        o_custkey as customer_key,

        -- text
        o_orderstatus as order_status,
        o_orderpriority as order_priority,
        o_clerk as clerk,
        o_comment as order_comment,

        -- numbers
        o_totalprice as order_total,
        o_shippriority as ship_priority,

        -- dates
        o_orderdate as order_date
    from source
)

select * from renamed
