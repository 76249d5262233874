with

order_lines as (
    select * from {{ ref('mart_orders') }}
),

modes as (
    select
        ship_mode,
        count(*) as line_count,
        count_if(is_late) as late_line_count,
        count_if(is_return_known) as return_known_line_count,
        count_if(is_returned) as returned_line_count,
        sum(quantity)::number(38, 2) as quantity,
        sum(net_price)::number(38, 4) as net_revenue,
        sum(supply_cost_amount)::number(38, 4) as supply_cost_amount,
        sum(margin_amount)::number(38, 4) as margin_amount,
        avg(days_to_receive - days_to_ship)::number(38, 2) as average_days_in_transit,
        avg(days_to_receive)::number(38, 2) as average_days_to_receive,
        avg(case when is_late then days_late end)::number(38, 2) as average_days_late
    from order_lines
    group by ship_mode
),

with_rates as (
    select
        *,
        (1 - late_line_count / line_count)::number(38, 4) as on_time_rate,
        (returned_line_count / nullif(return_known_line_count, 0))::number(38, 4) as return_rate
    from modes
),

final as (
    select
        -- ids
        ship_mode,

        -- volume
        line_count,
        {{ share_of_total('line_count') }} as line_share,
        quantity,
        net_revenue,

        -- time
        average_days_in_transit,
        average_days_to_receive,
        late_line_count,
        on_time_rate,
        average_days_late,

        -- satisfaction
        return_known_line_count,
        returned_line_count,
        return_rate,
        (1 - return_rate)::number(38, 4) as satisfaction_rate,
        case when return_rate is not null then rank() over (order by return_rate nulls last) end
            as satisfaction_rank,

        -- cost
        supply_cost_amount,
        (supply_cost_amount / nullif(quantity, 0))::number(38, 4) as supply_cost_per_piece,
        margin_amount,
        (margin_amount / nullif(net_revenue, 0))::number(38, 4) as margin_rate
    from with_rates
)

select * from final
