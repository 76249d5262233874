{%- set certain = 1 -%}

with

order_lines as (
    select * from {{ ref('mart_orders') }}
),

lines_by_part as (
    select
        order_key,
        part_key,
        supplier_key,
        count(*) as same_line_count
    from order_lines
    group by order_key, part_key, supplier_key
),

repeats as (
    select
        order_key,
        max(same_line_count) as same_line_count
    from lines_by_part
    group by order_key
),

orders as (
    select
        order_key,
        min(customer_key) as customer_key,
        min(order_date) as order_date,
        min(order_status) as order_status,
        min(order_total) as order_total,
        count(*) as line_count,
        count_if(line_status = 'O') as open_line_count,
        count_if(ship_date < order_date or receipt_date < ship_date) as impossible_line_count,
        sum(gross_price)::number(38, 2) as gross_price,
        sum(net_price)::number(38, 4) as net_price,
        sum(margin_amount)::number(38, 4) as margin_amount
    from order_lines
    group by order_key
),

compared as (
    select
        orders.*,
        repeats.same_line_count,
        abs(orders.order_total - orders.gross_price)::number(38, 2) as total_difference,
        case
            when orders.open_line_count = 0 then 'F'
            when orders.open_line_count = orders.line_count then 'O'
            else 'P'
        end as status_of_lines,
        (-orders.margin_amount / nullif(orders.net_price, 0))::number(38, 4) as loss_rate,
        count(*) over (partition by orders.customer_key, orders.order_date) as orders_of_day,
        avg(orders.order_total) over ()::number(38, 2) as average_total,
        (
            (orders.order_total - (avg(orders.order_total) over ())::number(38, 6))
            / nullif(stddev_pop(orders.order_total) over (), 0)
        )::number(38, 4) as deviations
    from orders
    inner join repeats
        on orders.order_key = repeats.order_key
),

findings as (
    select
        order_key,
        'total differs from lines' as rule,
        total_difference as observed_value,
        {{ var('tpch_anomaly_cents_per_line') }} * line_count * 0.01 as limit_value,
        'The order total is ' || order_total::varchar || ' US dollars, its lines come to '
        || gross_price::varchar || '.' as explanation
    from compared
    where total_difference > {{ var('tpch_anomaly_cents_per_line') }} * line_count * 0.01
    union all
    select
        order_key,
        'impossible dates' as rule,
        impossible_line_count as observed_value,
        {{ certain }} as limit_value,
        impossible_line_count::varchar
        || ' of ' || line_count::varchar
        || ' lines were shipped before the order or received before they were shipped.'
            as explanation
    from compared
    where impossible_line_count >= {{ certain }}
    union all
    select
        order_key,
        'status contradicts lines' as rule,
        {{ certain }} as observed_value,
        {{ certain }} as limit_value,
        'The order has status ' || order_status || ', its lines say ' || status_of_lines || ': '
        || open_line_count::varchar || ' of ' || line_count::varchar || ' lines are open.'
            as explanation
    from compared
    where order_status != status_of_lines
    union all
    select
        order_key,
        'unusually large' as rule,
        deviations as observed_value,
        {{ var('tpch_anomaly_large_order_deviations') }} as limit_value,
        'The order total of ' || order_total::varchar || ' US dollars is '
        || deviations::number(38, 1)::varchar || ' standard deviations above the mean of '
        || average_total::varchar || '.' as explanation
    from compared
    where deviations >= {{ var('tpch_anomaly_large_order_deviations') }}
    union all
    select
        order_key,
        'burst of orders' as rule,
        orders_of_day as observed_value,
        {{ var('tpch_anomaly_orders_per_day') }} as limit_value,
        'Customer ' || customer_key::varchar || ' placed ' || orders_of_day::varchar
        || ' orders on this day.' as explanation
    from compared
    where orders_of_day >= {{ var('tpch_anomaly_orders_per_day') }}
    union all
    select
        order_key,
        'repeated line' as rule,
        same_line_count as observed_value,
        2 as limit_value,
        'The same part of the same supplier stands on ' || same_line_count::varchar
        || ' lines of the order.' as explanation
    from compared
    where same_line_count >= 2
    union all
    select
        order_key,
        'sold under cost' as rule,
        loss_rate as observed_value,
        {{ var('tpch_anomaly_loss_rate') }} as limit_value,
        'The goods cost ' || (-margin_amount)::number(38, 2)::varchar
        || ' US dollars more than the customer pays for them before tax.' as explanation
    from compared
    where loss_rate >= {{ var('tpch_anomaly_loss_rate') }}
),

final as (
    select
        -- ids
        findings.order_key,
        findings.rule,

        -- order
        compared.customer_key,
        compared.order_date,
        compared.order_total,

        -- finding
        case
            when findings.rule in ('impossible dates', 'status contradicts lines') then 1
            else least(findings.observed_value / (2 * findings.limit_value), 1)
        end::number(5, 4) as score,
        findings.observed_value::number(38, 4) as observed_value,
        findings.limit_value::number(38, 4) as limit_value,
        findings.explanation
    from findings
    inner join compared
        on findings.order_key = compared.order_key
)

select * from final
