with

regions as (
    select * from {{ ref('stg_tpch__dim_region') }}
),

acquisition_costs as (
    select * from {{ ref('tpch_acquisition_costs') }}
),

customers as (
    select * from {{ ref('mart_customer_summary') }}
),

customers_by_region as (
    select
        customer_region,
        count(*) as customer_count,
        count_if(order_count > 0) as ordering_customer_count,
        sum(lifetime_value)::number(38, 2) as lifetime_value,
        sum(lifetime_margin)::number(38, 4) as lifetime_margin,
        -- First order to the present day, which is the last order and the days since it.
        avg(
            datediff('day', first_order_date, last_order_date) + days_since_last_order
        )::number(38, 6) as average_days_known
    from customers
    group by customer_region
),

joined as (
    select
        regions.region_name as customer_region,
        acquisition_costs.acquisition_cost_per_customer,
        coalesce(customers_by_region.customer_count, 0) as customer_count,
        coalesce(customers_by_region.ordering_customer_count, 0) as ordering_customer_count,
        coalesce(customers_by_region.lifetime_value, 0)::number(38, 2) as lifetime_value,
        coalesce(customers_by_region.lifetime_margin, 0)::number(38, 4) as lifetime_margin,
        (customers_by_region.average_days_known / 30.4375)::number(38, 2) as average_months_known
    from regions
    left join acquisition_costs
        on regions.region_name = acquisition_costs.region_name
    left join customers_by_region
        on regions.region_name = customers_by_region.customer_region
),

with_averages as (
    select
        *,
        (acquisition_cost_per_customer * ordering_customer_count)::number(38, 2)
            as acquisition_cost,
        (lifetime_value / nullif(ordering_customer_count, 0))::number(38, 2)
            as average_lifetime_value,
        (lifetime_margin / nullif(ordering_customer_count, 0))::number(38, 2)
            as average_lifetime_margin
    from joined
),

final as (
    select
        -- ids
        customer_region,

        -- customers
        customer_count,
        ordering_customer_count,

        -- cost
        acquisition_cost_per_customer,
        acquisition_cost,

        -- value
        lifetime_value,
        average_lifetime_value,
        lifetime_margin,
        average_lifetime_margin,
        average_months_known,

        -- value against cost
        (average_lifetime_value / nullif(acquisition_cost_per_customer, 0))::number(38, 4)
            as value_to_cost_ratio,
        (average_lifetime_margin / nullif(acquisition_cost_per_customer, 0))::number(38, 4)
            as margin_to_cost_ratio,
        case
            when average_lifetime_margin > 0
                then
                    acquisition_cost_per_customer * average_months_known
                    / average_lifetime_margin
        end::number(38, 2) as payback_months
    from with_averages
)

select * from final
