with

order_lineitems as (
    select * from {{ ref('int_tpch__order_lineitems') }}
),

customers as (
    select * from {{ ref('stg_tpch__dim_customer') }}
),

suppliers as (
    select * from {{ ref('stg_tpch__dim_supplier') }}
),

parts as (
    select * from {{ ref('stg_tpch__dim_part') }}
),

nations as (
    select * from {{ ref('stg_tpch__dim_nation') }}
),

regions as (
    select * from {{ ref('stg_tpch__dim_region') }}
),

geography as (
    select
        nations.nation_key,
        nations.nation_name,
        regions.region_name
    from nations
    left join regions
        on nations.region_key = regions.region_key
),

order_sums as (
    select
        *,
        count(*) over (partition by order_key) as order_line_count,
        max(line_number) over (partition by order_key) as last_line_number,
        sum(gross_price) over (partition by order_key) as order_gross_price
    from order_lineitems
),

rounded_shares as (
    select
        *,
        case
            when order_gross_price = 0 then round(order_total / order_line_count, 2)
            else round(order_total * gross_price / nullif(order_gross_price, 0), 2)
        end::number(18, 2) as rounded_share
    from order_sums
),

-- Rounding each line on its own loses or invents cents: the last line takes what is left.
exact_shares as (
    select
        *,
        case
            when line_number = last_line_number
                then
                    order_total
                    - sum(rounded_share) over (partition by order_key)
                    + rounded_share
            else rounded_share
        end::number(18, 2) as order_total_share
    from rounded_shares
),

final as (
    select
        -- ids
        exact_shares.order_key,
        exact_shares.line_number,
        exact_shares.customer_key,
        exact_shares.part_key,
        exact_shares.supplier_key,

        -- order
        exact_shares.order_date,
        exact_shares.order_status,
        exact_shares.order_priority,
        exact_shares.clerk,
        exact_shares.order_line_count,
        exact_shares.order_total,
        exact_shares.order_total_share,

        -- customer
        customers.customer_name,
        customers.market_segment,
        customer_geography.nation_name as customer_nation,
        customer_geography.region_name as customer_region,

        -- part
        parts.part_name,
        parts.manufacturer,
        parts.brand,
        parts.part_type,
        parts.part_size,
        parts.container,
        parts.retail_price,

        -- supplier
        suppliers.supplier_name,
        supplier_geography.nation_name as supplier_nation,
        supplier_geography.region_name as supplier_region,

        -- line
        exact_shares.line_status,
        exact_shares.return_flag,
        exact_shares.is_returned,
        exact_shares.is_return_known,
        exact_shares.quantity,
        exact_shares.extended_price,
        exact_shares.discount_rate,
        exact_shares.discount_amount,
        exact_shares.net_price,
        exact_shares.tax_rate,
        exact_shares.tax_amount,
        exact_shares.gross_price,
        exact_shares.supply_cost,
        exact_shares.supply_cost_amount,
        exact_shares.margin_amount,
        exact_shares.margin_rate,

        -- delivery
        exact_shares.ship_mode,
        exact_shares.ship_instructions,
        exact_shares.ship_date,
        exact_shares.commit_date,
        exact_shares.receipt_date,
        exact_shares.days_to_ship,
        exact_shares.days_to_receive,
        exact_shares.days_late,
        exact_shares.is_late
    from exact_shares
    left join customers
        on exact_shares.customer_key = customers.customer_key
    left join geography as customer_geography
        on customers.nation_key = customer_geography.nation_key
    left join parts
        on exact_shares.part_key = parts.part_key
    left join suppliers
        on exact_shares.supplier_key = suppliers.supplier_key
    left join geography as supplier_geography
        on suppliers.nation_key = supplier_geography.nation_key
)

select * from final
