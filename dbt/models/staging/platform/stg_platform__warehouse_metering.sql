with

source as (
    select * from {{ source('platform', 'warehouse_metering_history') }}
),

final as (
    select
        -- ids
        warehouse_id,

        -- text
        warehouse_name,

        -- numbers
        credits_used_compute::number(38, 9) as compute_credits,
        credits_used_cloud_services::number(38, 9) as cloud_services_credits,

        -- times
        convert_timezone('UTC', start_time)::date as usage_date,
        convert_timezone('UTC', start_time)::timestamp_ntz as started_at
    from source
    where startswith(warehouse_name, {{ platform_warehouse_prefix() }})
)

select * from final
