{%- set budget = platform_amount('platform_budget', needed=false) -%}
{%- set warn_share = platform_amount('platform_budget_warn_share') -%}

with

costs as (
    select * from {{ ref('mart_platform__costs_daily') }}
),

latest as (
    select max(usage_date) as usage_date
    from costs
),

months as (
    select
        date_trunc('month', costs.usage_date)::date as usage_month,
        max(latest.usage_date) as latest_date,
        sum(costs.billed_credits) as credits,
        sum(costs.cost) as cost,
        -- What the latest day has told is not all of it.
        sum(iff(costs.usage_date < latest.usage_date, costs.cost, 0)) as complete_cost
    from costs
    cross join latest
    group by date_trunc('month', costs.usage_date)::date
),

rates as (
    select
        *,
        usage_month = date_trunc('month', latest_date)::date as is_current,
        datediff('day', usage_month, latest_date) as complete_days,
        datediff('day', usage_month, dateadd('month', 1, usage_month)) as days
    from months
),

forecasts as (
    select
        *,
        case
            when not is_current then cost
            when complete_days = 0 then cost * days
            else greatest(cost, complete_cost * days / complete_days)
        end::number(38, 6) as forecast_cost,
        {{ budget }}::number(38, 2) as budget
    from rates
),

shares as (
    select
        *,
        (cost / budget)::number(38, 6) as spent_share,
        (forecast_cost / budget)::number(38, 6) as forecast_share
    from forecasts
),

final as (
    select
        -- text
        case
            when budget is null then 'no budget'
            when spent_share > 1 then 'over'
            when spent_share > {{ warn_share }} or forecast_share > 1 then 'near'
            else 'within'
        end as budget_status,

        -- booleans
        is_current,

        -- numbers
        credits::number(38, 9) as credits,
        cost::number(38, 6) as cost,
        forecast_cost,
        budget,
        spent_share,
        forecast_share,

        -- times
        usage_month
    from shares
)

select * from final
