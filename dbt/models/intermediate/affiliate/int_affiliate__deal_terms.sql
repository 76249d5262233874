{{ config(tags=['affiliate__web_traffic']) }}

with

deals as (
    select * from {{ ref('stg_affiliate__deals') }}
),

formulas as (
    select
        *,
        upper(regexp_replace(coalesce(comments, ''), '[[:space:]]', '')) as formula,
        upper(regexp_replace(coalesce(deal, ''), '[[:space:]]', '')) = 'FIXED0' as is_fixed_at_zero
    from deals
),

-- What a click adds is taken out first: its factor is no amount for a row.
clicks_apart as (
    select
        *,
        regexp_substr(formula, '[+]CLICKS[*]([0-9]*[.]?[0-9]+)', 1, 1, 'e', 1) as click_term,
        regexp_replace(formula, '[+]CLICKS[*][0-9]*[.]?[0-9]+', '') as other_terms
    from formulas
),

terms as (
    select
        *,
        regexp_substr(other_terms, '^[+]([0-9]*[.]?[0-9]+)$', 1, 1, 'e', 1) as event_term
    from clicks_apart
),

-- Amounts are below 100,000, so that a day's clicks times an amount fits the column.
amounts as (
    select
        *,
        try_to_number(click_term, 15, 10) as click_amount,
        try_to_number(event_term, 15, 10) as event_amount
    from terms
),

final as (
    select
        -- ids
        marketing_source,

        -- text
        deal,
        comments,

        -- terms
        iff(is_fixed_at_zero, 0, coalesce(event_amount, 0))::number(38, 10) as added_per_event,
        iff(is_fixed_at_zero, 0, coalesce(click_amount, 0))::number(38, 10) as added_per_click,
        is_fixed_at_zero
        or (
            (other_terms = '' or event_amount is not null)
            and (click_term is null or click_amount is not null)
        ) as is_understood
    from amounts
)

select * from final
