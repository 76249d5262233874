{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['load_id', 'table_name', 'column_name'],
        on_schema_change='fail',
        full_refresh=false,
        cluster_by=['loaded_at::date'],
        meta={
            'window_column': 'loaded_at',
            'lookback_hours': var('retail_lookback_hours'),
        },
    )
}}

{%- set profiled = {
    'customers': [
        'customer_id', 'first_name', 'last_name', 'email', 'city', 'age', 'total_orders',
        'total_spent', 'signup_date',
    ],
    'transactions': [
        'transaction_id', 'customer_id', 'product_id', 'product_category', 'payment_method',
        'transaction_status', 'device', 'browser', 'location', 'amount', 'transacted_at',
    ],
    'products': [
        'product_id', 'product_name', 'category', 'supplier', 'price', 'stock_quantity',
        'weight_kg', 'created_date', 'is_active',
    ],
} %}
{%- set range = backfill_range('loaded_at') if is_incremental() else '' %}
{%- set looks_back = is_incremental() and not range %}
{%- if looks_back %}
{%- set is_recent = "loaded_at >= dateadd(hour, -" ~ var('retail_lookback_hours')
    ~ ", '" ~ newest('loaded_at', this) ~ "'::timestamp_ntz)" %}
{%- endif %}

with

customers as (
    select * from {{ ref('stg_retail__customers') }}
),

transactions as (
    select * from {{ ref('stg_retail__transactions') }}
),

products as (
    select * from {{ ref('stg_retail__products') }}
),

{% if looks_back -%}
known as (
    select
        table_name,
        load_id
    from {{ this }}
    where {{ is_recent }}
),

{% endif -%}
{% for table, columns in profiled.items() -%}
{{ table }}_by_load as (
    select
        load_id,
        min(source_file) as source_file,
        max(loaded_at) as loaded_at,
        count(*) as row_count,
        {%- for column in columns %}
        count({{ column }}) as {{ column }}__filled,
        count(distinct {{ column }}) as {{ column }}__distinct
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ table }}
    {%- if range %}
    where {{ range }}
    {%- elif looks_back %}
    where
        {{ is_recent }}
        and load_id not in (
            select known.load_id
            from known
            where known.table_name = '{{ table }}'
        )
    {%- endif %}
    group by load_id
),

{% endfor -%}
counts as (
    {%- for table, columns in profiled.items() %}
    {%- set last_table = loop.last %}
    {%- for column in columns %}
    select
        load_id,
        '{{ table }}' as table_name,
        '{{ column }}' as column_name,
        {{ loop.index }} as column_position,
        source_file,
        loaded_at,
        row_count,
        {{ column }}__filled as filled_count,
        {{ column }}__distinct as distinct_count
    from {{ table }}_by_load
    {%- if not (last_table and loop.last) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}
),

final as (
    select
        -- ids
        load_id,
        table_name,
        column_name,
        column_position::number(38, 0) as column_position,

        -- delivery
        source_file,
        loaded_at,
        row_count::number(38, 0) as row_count,

        -- quality
        (row_count - filled_count)::number(38, 0) as null_count,
        ((row_count - filled_count) / row_count)::number(38, 6) as null_rate,
        distinct_count::number(38, 0) as distinct_count,
        (filled_count - distinct_count)::number(38, 0) as duplicate_count
    from counts
)

select * from final
