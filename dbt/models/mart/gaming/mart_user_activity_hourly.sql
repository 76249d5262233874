{{ config(materialized='view') }}

with

activity as (
    select * from {{ ref('int_gaming__activity_hourly') }}
),

final as (
    select
        app_hour,
        user_id,
        country,
        total_spins_hourly,
        total_revenue_hourly,
        total_purchases_amount_hourly,
        avg_revenue_per_purchase_hourly,
        total_revenue_per_user_daily
    from activity
)

select * from final
