with

source as (
    select * from {{ source('platform', 'query_attribution_history') }}
),

tagged as (
    select
        *,
        try_parse_json(query_tag) as tag,
        convert_timezone('UTC', start_time)::timestamp_ntz as started_at,
        convert_timezone('UTC', end_time)::timestamp_ntz as ended_at
    from source
    where startswith(warehouse_name, {{ platform_warehouse_prefix() }})
),

final as (
    select
        -- ids
        query_id,
        tag:run::varchar as run_id,
        tag:dag::varchar as dag_id,
        tag:task::varchar as task_id,

        -- text
        warehouse_name,
        user_name,
        tag:model::varchar as model_name,
        tag:load::varchar as source_name,
        tag:target::varchar as target,

        -- booleans
        coalesce(tag:application::varchar = 'firn', false) as is_firn,

        -- numbers
        credits_attributed_compute::number(38, 9) as credits,

        -- times
        started_at::date as usage_date,
        started_at,
        ended_at
    from tagged
)

select * from final
