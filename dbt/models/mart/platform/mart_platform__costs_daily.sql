{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='usage_date',
        on_schema_change='append_new_columns',
        cluster_by=['usage_date'],
        meta={
            'window_column': 'usage_date',
            'lookback_days': var('platform_lookback_days'),
        },
    )
}}

{%- set price = platform_amount('platform_credit_price') -%}

with

attribution as (
    select * from {{ ref('stg_platform__query_attribution') }}
),

metering as (
    select * from {{ ref('stg_platform__warehouse_metering') }}
),

queries as (
    select
        usage_date,
        warehouse_name,
        iff(is_firn, 'firn', 'other') as cost_kind,
        dag_id,
        task_id,
        model_name,
        source_name,
        run_id,
        user_name,
        target,
        count(*) as query_count,
        sum(credits) as credits
    from attribution
    where {{ platform_days('usage_date') }}
    group by
        usage_date, warehouse_name, cost_kind, dag_id, task_id, model_name, source_name, run_id,
        user_name, target
),

attributed as (
    select
        usage_date,
        warehouse_name,
        sum(credits) as credits
    from queries
    group by usage_date, warehouse_name
),

metered as (
    select
        usage_date,
        warehouse_name,
        sum(compute_credits) as compute_credits,
        sum(cloud_services_credits) as cloud_services_credits
    from metering
    where {{ platform_days('usage_date') }}
    group by usage_date, warehouse_name
),

-- Queries come later than metering, and a query over midnight counts on one day: where that leaves
-- more queries than metering, idle is below zero, so that the sum is metering's all the same.
remainders as (
    select
        coalesce(metered.usage_date, attributed.usage_date) as usage_date,
        coalesce(metered.warehouse_name, attributed.warehouse_name) as warehouse_name,
        coalesce(metered.compute_credits, 0) - coalesce(attributed.credits, 0) as idle_credits,
        coalesce(metered.compute_credits, 0) as compute_credits,
        coalesce(metered.cloud_services_credits, 0) as cloud_services_credits
    from metered
    full outer join attributed
        on
            metered.usage_date = attributed.usage_date
            and metered.warehouse_name = attributed.warehouse_name
),

costs as (
    select
        *,
        credits as billed_credits
    from queries
    union all
    select
        usage_date,
        warehouse_name,
        'idle' as cost_kind,
        null as dag_id,
        null as task_id,
        null as model_name,
        null as source_name,
        null as run_id,
        null as user_name,
        null as target,
        0 as query_count,
        idle_credits as credits,
        idle_credits as billed_credits
    from remainders
    union all
    select
        usage_date,
        warehouse_name,
        'cloud_services' as cost_kind,
        null as dag_id,
        null as task_id,
        null as model_name,
        null as source_name,
        null as run_id,
        null as user_name,
        null as target,
        0 as query_count,
        cloud_services_credits as credits,
        greatest(cloud_services_credits - 0.1 * compute_credits, 0) as billed_credits
    from remainders
),

final as (
    select
        -- ids
        {{ surrogate_key([
            'usage_date::varchar',
            'warehouse_name',
            'cost_kind',
            'dag_id',
            'task_id',
            'model_name',
            'source_name',
            'run_id',
            'user_name',
            'target',
        ]) }} as cost_id,
        dag_id,
        task_id,
        run_id,

        -- text
        warehouse_name,
        cost_kind,
        model_name,
        source_name,
        user_name,
        target,

        -- numbers
        query_count::number(38, 0) as query_count,
        credits::number(38, 9) as credits,
        billed_credits::number(38, 9) as billed_credits,
        (billed_credits * {{ price }})::number(38, 6) as cost,

        -- times
        usage_date
    from costs
)

select * from final
