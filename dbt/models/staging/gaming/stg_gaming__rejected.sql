with

purchases as (
    select * from {{ source('gaming', 'purchases') }}
),

spins as (
    select * from {{ source('gaming', 'spins_hourly') }}
),

rejected_purchases as (
    select
        'purchases' as raw_table,
        {{ gaming_purchase_fault() }} as reason,
        timestamp as timestamp_text,
        user_id,
        transaction_id,
        null::varchar as country,
        revenue as revenue_text,
        null::float as total_spins,
        created_at,
        updated_at,
        _loaded_at as loaded_at,
        _load_id as load_id,
        _row_number as row_number_in_load
    from purchases
),

rejected_spins as (
    select
        'spins_hourly' as raw_table,
        {{ gaming_spins_fault() }} as reason,
        timestamp as timestamp_text,
        user_id,
        null::varchar as transaction_id,
        country,
        null::varchar as revenue_text,
        total_spins,
        created_at,
        updated_at,
        _loaded_at as loaded_at,
        _load_id as load_id,
        _row_number as row_number_in_load
    from spins
),

both_tables as (
    select * from rejected_purchases
    union all
    select * from rejected_spins
),

final as (
    select * from both_tables
    where reason is not null
)

select * from final
