{{ config(materialized='view') }}

with

places as (
    select * from {{ ref('stg_gaming__purchase_places') }}
),

final as (
    select
        -- ids
        transaction_id,
        user_id,

        -- text
        revenue_text,
        revenue_type,
        currency,

        -- numbers
        revenue,

        -- times
        purchased_at,
        created_at,
        updated_at,

        -- load
        loaded_at
    from places
    where is_current
)

select * from final
