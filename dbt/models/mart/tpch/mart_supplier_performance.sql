with

suppliers as (
    select * from {{ ref('stg_tpch__dim_supplier') }}
),

nations as (
    select * from {{ ref('stg_tpch__dim_nation') }}
),

regions as (
    select * from {{ ref('stg_tpch__dim_region') }}
),

supplier_parts as (
    select * from {{ ref('int_tpch__supplier_parts') }}
),

order_lines as (
    select * from {{ ref('mart_orders') }}
),

offers as (
    select
        supplier_key,
        count(*) as part_count,
        count_if(is_single_source) as single_source_part_count,
        (sum(supply_cost) / nullif(sum(lowest_supply_cost), 0))::number(38, 4) as cost_index
    from supplier_parts
    group by supplier_key
),

deliveries as (
    select
        supplier_key,
        count(*) as line_count,
        count_if(is_late) as late_line_count,
        count_if(is_return_known) as return_known_line_count,
        count_if(is_returned) as returned_line_count,
        sum(net_price)::number(38, 4) as net_revenue,
        sum(margin_amount)::number(38, 4) as margin_amount,
        avg(days_to_ship)::number(38, 2) as average_days_to_ship,
        avg(days_to_receive)::number(38, 2) as average_days_to_receive,
        stddev_pop(days_to_receive)::number(38, 2) as days_to_receive_deviation,
        (percentile_cont(0.9) within group (order by days_to_receive))::number(38, 2)
            as p90_days_to_receive,
        avg(case when is_late then days_late end)::number(38, 2) as average_days_late
    from order_lines
    group by supplier_key
),

joined as (
    select
        suppliers.supplier_key,
        suppliers.supplier_name,
        nations.nation_name as supplier_nation,
        regions.region_name as supplier_region,
        coalesce(offers.part_count, 0) as part_count,
        coalesce(offers.single_source_part_count, 0) as single_source_part_count,
        offers.cost_index,
        coalesce(deliveries.line_count, 0) as line_count,
        coalesce(deliveries.late_line_count, 0) as late_line_count,
        coalesce(deliveries.return_known_line_count, 0) as return_known_line_count,
        coalesce(deliveries.returned_line_count, 0) as returned_line_count,
        coalesce(deliveries.net_revenue, 0)::number(38, 4) as net_revenue,
        coalesce(deliveries.margin_amount, 0)::number(38, 4) as margin_amount,
        deliveries.average_days_to_ship,
        deliveries.average_days_to_receive,
        deliveries.days_to_receive_deviation,
        deliveries.p90_days_to_receive,
        deliveries.average_days_late,
        (1 - deliveries.late_line_count / deliveries.line_count)::number(38, 4) as on_time_rate,
        (
            deliveries.returned_line_count / nullif(deliveries.return_known_line_count, 0)
        )::number(38, 4) as return_rate
    from suppliers
    left join nations
        on suppliers.nation_key = nations.nation_key
    left join regions
        on nations.region_key = regions.region_key
    left join offers
        on suppliers.supplier_key = offers.supplier_key
    left join deliveries
        on suppliers.supplier_key = deliveries.supplier_key
),

with_quality as (
    select
        *,
        (on_time_rate * (1 - return_rate))::number(38, 4) as quality_score
    from joined
),

with_ratio as (
    select
        *,
        (cost_index / nullif(quality_score, 0))::number(38, 4) as cost_to_quality_ratio
    from with_quality
),

final as (
    select
        -- ids
        supplier_key,

        -- text
        supplier_name,
        supplier_nation,
        supplier_region,

        -- offer
        part_count,
        single_source_part_count,
        cost_index,

        -- sales
        line_count,
        net_revenue,
        margin_amount,

        -- lead time
        average_days_to_ship,
        average_days_to_receive,
        days_to_receive_deviation,
        p90_days_to_receive,

        -- reliability
        late_line_count,
        on_time_rate,
        average_days_late,
        return_known_line_count,
        returned_line_count,
        return_rate,

        -- cost to quality
        quality_score,
        cost_to_quality_ratio,
        case
            when cost_to_quality_ratio is not null
                then rank() over (order by cost_to_quality_ratio nulls last)
        end as cost_to_quality_rank
    from with_ratio
)

select * from final
