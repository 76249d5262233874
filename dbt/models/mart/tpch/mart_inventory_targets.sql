with

supplier_parts as (
    select * from {{ ref('int_tpch__supplier_parts') }}
),

order_lineitems as (
    select * from {{ ref('int_tpch__order_lineitems') }}
),

observed as (
    select datediff('day', min(order_date), max(order_date)) + 1 as day_count
    from order_lineitems
),

demand_by_day as (
    select
        part_key,
        supplier_key,
        order_date,
        sum(quantity) as quantity
    from order_lineitems
    group by part_key, supplier_key, order_date
),

demand as (
    select
        part_key,
        supplier_key,
        sum(quantity) as quantity,
        sum(power(quantity, 2)) as squared_quantity
    from demand_by_day
    group by part_key, supplier_key
),

-- Of the supplier over all its parts: one part alone has a handful of deliveries.
lead_times as (
    select
        supplier_key,
        avg(days_to_receive)::number(38, 2) as lead_time_days,
        stddev_pop(days_to_receive)::number(38, 2) as lead_time_deviation
    from order_lineitems
    group by supplier_key
),

joined as (
    select
        supplier_parts.part_key,
        supplier_parts.supplier_key,
        supplier_parts.available_quantity,
        lead_times.lead_time_days,
        lead_times.lead_time_deviation,
        coalesce(demand.quantity::double / observed.day_count, 0)::number(38, 6) as demand_per_day,
        -- Days without demand count as 0: they are in the number of days and not in the sums.
        coalesce(
            sqrt(
                greatest(
                    demand.squared_quantity::double / observed.day_count
                    - power(demand.quantity::double / observed.day_count, 2),
                    0
                )
            ),
            0
        )::number(38, 6) as demand_deviation
    from supplier_parts
    cross join observed
    left join demand
        on
            supplier_parts.part_key = demand.part_key
            and supplier_parts.supplier_key = demand.supplier_key
    left join lead_times
        on supplier_parts.supplier_key = lead_times.supplier_key
),

with_service as (
    select
        *,
        {{ var('tpch_service_level') }}::number(5, 4) as service_level,
        {{ standard_normal_quantile(var('tpch_service_level')) }} as service_factor
    from joined
),

with_stock as (
    select
        *,
        coalesce(demand_per_day::double * lead_time_days::double, 0)::number(38, 4)
            as lead_time_demand,
        coalesce(
            service_factor::double * sqrt(
                lead_time_days::double * power(demand_deviation::double, 2)
                + power(demand_per_day::double * lead_time_deviation::double, 2)
            ),
            0
        )::number(38, 4) as safety_stock
    from with_service
),

with_target as (
    select
        *,
        ceil(lead_time_demand + safety_stock)::number(38, 0) as reorder_point
    from with_stock
),

final as (
    select
        -- ids
        part_key,
        supplier_key,

        -- stock
        available_quantity,
        (available_quantity / nullif(demand_per_day, 0))::number(38, 2) as days_of_stock,

        -- demand
        demand_per_day,
        demand_deviation,

        -- lead time
        lead_time_days,
        lead_time_deviation,

        -- target
        service_level,
        lead_time_demand,
        safety_stock,
        reorder_point,
        greatest(reorder_point - available_quantity, 0) as shortfall_quantity,
        available_quantity < reorder_point as is_below_reorder_point
    from with_target
)

select * from final
