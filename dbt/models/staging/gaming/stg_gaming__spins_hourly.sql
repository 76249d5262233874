{{ config(materialized='view') }}

with

places as (
    select * from {{ ref('stg_gaming__spin_places') }}
),

final as (
    select
        -- ids
        app_hour,
        user_id,
        country,

        -- numbers
        total_spins,
        source_rows,

        -- times
        created_at,
        updated_at,

        -- load
        loaded_at
    from places
    where is_current
)

select * from final
