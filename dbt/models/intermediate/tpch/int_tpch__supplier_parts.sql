with

partsupp as (
    select * from {{ ref('stg_tpch__fct_partsupp') }}
),

order_lineitems as (
    select * from {{ ref('int_tpch__order_lineitems') }}
),

deliveries as (
    select
        part_key,
        supplier_key,
        count(*) as line_count,
        count_if(is_late) as late_line_count,
        count_if(is_return_known) as return_known_line_count,
        count_if(is_returned) as returned_line_count,
        sum(quantity)::number(38, 2) as quantity_ordered,
        sum(net_price)::number(38, 4) as net_revenue,
        avg(days_to_receive)::number(38, 2) as average_days_to_receive
    from order_lineitems
    group by part_key, supplier_key
),

final as (
    select
        -- ids
        partsupp.part_key,
        partsupp.supplier_key,

        -- cost
        partsupp.supply_cost,
        rank() over (partition by partsupp.part_key order by partsupp.supply_cost) as cost_rank,
        (
            partsupp.supply_cost / nullif(
                min(partsupp.supply_cost) over (partition by partsupp.part_key), 0
            )
        )::number(38, 4) as cost_to_cheapest_ratio,

        -- availability
        partsupp.available_quantity,
        count(*) over (partition by partsupp.part_key) as supplier_count,
        count(*) over (partition by partsupp.part_key) = 1 as is_single_source,

        -- reliability
        coalesce(deliveries.line_count, 0) as line_count,
        coalesce(deliveries.late_line_count, 0) as late_line_count,
        coalesce(deliveries.return_known_line_count, 0) as return_known_line_count,
        coalesce(deliveries.returned_line_count, 0) as returned_line_count,
        coalesce(deliveries.quantity_ordered, 0)::number(38, 2) as quantity_ordered,
        coalesce(deliveries.net_revenue, 0)::number(38, 4) as net_revenue,
        deliveries.average_days_to_receive,
        (1 - deliveries.late_line_count / deliveries.line_count)::number(38, 4) as on_time_rate,
        (
            deliveries.returned_line_count / nullif(deliveries.return_known_line_count, 0)
        )::number(38, 4) as return_rate
    from partsupp
    left join deliveries
        on
            partsupp.part_key = deliveries.part_key
            and partsupp.supplier_key = deliveries.supplier_key
)

select * from final
