with

parts as (
    select * from {{ ref('stg_tpch__dim_part') }}
),

supplier_parts as (
    select * from {{ ref('int_tpch__supplier_parts') }}
),

with_shares as (
    select
        *,
        {{ share_of_total('quantity_ordered', within='part_key') }} as quantity_share,
        row_number() over (partition by part_key order by quantity_ordered desc, supplier_key asc)
            as quantity_rank
    from supplier_parts
),

main_suppliers as (
    select *
    from with_shares
    where quantity_ordered > 0 and quantity_rank = 1
),

replacements as (
    select
        main_suppliers.part_key,
        min(supplier_parts.supply_cost) as supply_cost
    from main_suppliers
    inner join supplier_parts
        on
            main_suppliers.part_key = supplier_parts.part_key
            and main_suppliers.supplier_key != supplier_parts.supplier_key
            and supplier_parts.available_quantity > 0
    group by main_suppliers.part_key
),

sources as (
    select
        part_key,
        count(*) as supplier_count,
        count_if(available_quantity > 0) as stocked_supplier_count,
        sum(available_quantity) as available_quantity,
        sum(quantity_ordered)::number(38, 2) as quantity_ordered,
        sum(net_revenue)::number(38, 4) as net_revenue,
        sum(power(quantity_share, 2))::number(38, 4) as concentration_index
    from with_shares
    group by part_key
),

joined as (
    select
        parts.part_key,
        parts.part_name,
        parts.brand,
        coalesce(sources.supplier_count, 0) as supplier_count,
        coalesce(sources.stocked_supplier_count, 0) as stocked_supplier_count,
        coalesce(sources.available_quantity, 0) as available_quantity,
        coalesce(sources.quantity_ordered, 0)::number(38, 2) as quantity_ordered,
        coalesce(sources.net_revenue, 0)::number(38, 4) as net_revenue,
        sources.concentration_index,
        main_suppliers.supplier_key as main_supplier_key,
        main_suppliers.quantity_share::number(38, 4) as main_supplier_share,
        coalesce(main_suppliers.net_revenue, 0)::number(38, 4) as revenue_at_risk,
        (replacements.supply_cost / nullif(main_suppliers.supply_cost, 0) - 1)::number(38, 4)
            as replacement_cost_change
    from parts
    left join sources
        on parts.part_key = sources.part_key
    left join main_suppliers
        on parts.part_key = main_suppliers.part_key
    left join replacements
        on parts.part_key = replacements.part_key
),

final as (
    select
        -- ids
        part_key,

        -- text
        part_name,
        brand,
        case
            when stocked_supplier_count = 0 then 'no source'
            when stocked_supplier_count = 1 then 'single source'
            when main_supplier_share >= {{ var('tpch_concentrated_supply_share') }}
                then 'concentrated'
            else 'spread'
        end as supply_risk,

        -- sources
        supplier_count,
        stocked_supplier_count,
        available_quantity,

        -- dependence
        quantity_ordered,
        main_supplier_key,
        main_supplier_share,
        concentration_index,

        -- what is at stake
        net_revenue,
        revenue_at_risk,
        replacement_cost_change
    from joined
)

select * from final
