with

order_lines as (
    select * from {{ ref('mart_orders') }}
),

lanes as (
    select
        supplier_nation,
        supplier_region,
        customer_nation,
        customer_region,
        count(*) as line_count,
        count_if(is_late) as late_line_count,
        sum(quantity)::number(38, 2) as quantity,
        sum(net_price)::number(38, 4) as net_revenue,
        avg(days_to_ship)::number(38, 2) as average_days_to_ship,
        avg(days_to_receive - days_to_ship)::number(38, 2) as average_days_in_transit,
        avg(days_to_receive)::number(38, 2) as average_days_to_receive,
        (percentile_cont(0.9) within group (order by days_to_receive))::number(38, 2)
            as p90_days_to_receive,
        avg(case when is_late then days_late end)::number(38, 2) as average_days_late
    from order_lines
    group by supplier_nation, supplier_region, customer_nation, customer_region
),

final as (
    select
        -- ids
        supplier_nation,
        customer_nation,

        -- text
        supplier_region,
        customer_region,
        case
            when supplier_nation = customer_nation then 'domestic'
            when supplier_region = customer_region then 'within region'
            else 'between regions'
        end as lane_kind,

        -- volume
        line_count,
        {{ share_of_total('line_count') }} as line_share,
        quantity,
        net_revenue,

        -- time
        average_days_to_ship,
        average_days_in_transit,
        average_days_to_receive,
        p90_days_to_receive,
        rank() over (order by average_days_to_receive desc) as slowness_rank,

        -- reliability
        late_line_count,
        (1 - late_line_count / line_count)::number(38, 4) as on_time_rate,
        average_days_late
    from lanes
)

select * from final
