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

offers as (
    select
        *,
        min(supply_cost) over (partition by part_key) as lowest_supply_cost
    from partsupp
),

final as (
    select
        -- ids
        offers.part_key,
        offers.supplier_key,

        -- cost
        offers.supply_cost,
        rank() over (partition by offers.part_key order by offers.supply_cost) as cost_rank,
        offers.lowest_supply_cost,
        (offers.supply_cost / nullif(offers.lowest_supply_cost, 0))::number(38, 4)
            as cost_to_cheapest_ratio,

        -- availability
        offers.available_quantity,
        count(*) over (partition by offers.part_key) as supplier_count,
        count(*) over (partition by offers.part_key) = 1 as is_single_source,

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
    from offers
    left join deliveries
        on
            offers.part_key = deliveries.part_key
            and offers.supplier_key = deliveries.supplier_key
)

select * from final
