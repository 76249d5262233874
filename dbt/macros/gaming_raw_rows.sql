{# Text as a moment, null where it is none: with or without a fraction, with a space or a T. #}
{% macro gaming_moment(column) -%}
    coalesce(
        try_to_timestamp_ntz(replace({{ column }}, 'T', ' '), 'YYYY-MM-DD HH24:MI:SS.FF6'),
        try_to_timestamp_ntz(replace({{ column }}, 'T', ' '), 'YYYY-MM-DD HH24:MI:SS')
    )
{%- endmacro %}


{# The digits after the equals sign of texts such as PriceInUSD=4.99; null if there is no number. #}
{% macro gaming_revenue_digits(column) -%}
    regexp_substr(
        {{ column }}, '^[^=]*=\\s*([+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+))\\s*$', 1, 1, 'e', 1
    )
{%- endmacro %}


{# Those digits as a number; null if there are more than ten before the point. #}
{% macro gaming_revenue(column) -%}
    try_to_number({{ gaming_revenue_digits(column) }}, 12, 2)
{%- endmacro %}


{# Spins as an exact number; null if no player can make that many. #}
{% macro gaming_spins(column) -%}
    {#- Only values within the bounds are cast: a row may be cast before it is filtered out. #}
    {{ within_bounds(column, 0, 1000000000) }}::number(38, 9)
{%- endmacro %}


{# Why a raw purchase cannot be used; null if it can. Expects the columns of the raw table. #}
{% macro gaming_purchase_fault() -%}
    case
        when coalesce(trim(transaction_id), '') = '' then 'transaction_id is missing'
        when coalesce(trim(user_id), '') = '' then 'user_id is missing'
        when {{ gaming_moment('timestamp') }} is null then 'timestamp is no moment'
        when {{ gaming_revenue_digits('revenue') }} is null then 'revenue has no number after ='
        when
            startswith({{ gaming_revenue_digits('revenue') }}, '-')
            and coalesce({{ gaming_revenue('revenue') }} < 0, true)
            then 'revenue is negative'
        when {{ gaming_revenue('revenue') }} is null then 'revenue is above 9999999999.99'
        when {{ gaming_revenue('revenue') }} = 0 then 'revenue is zero'
    end
{%- endmacro %}


{# Why a raw row of spins cannot be used; null if it can. Expects the columns of the raw table. #}
{% macro gaming_spins_fault() -%}
    case
        when coalesce(trim(user_id), '') = '' then 'user_id is missing'
        when coalesce(trim(country), '') = '' then 'country is missing'
        when {{ gaming_moment('timestamp') }} is null then 'timestamp is no moment'
        when total_spins is null then 'total_spins is missing'
        when total_spins < 0 then 'total_spins is negative'
        {#- NaN is greater than every number, here and on an account. #}
        when {{ gaming_spins('total_spins') }} is null
            then 'total_spins is above 1000000000 or not a number'
    end
{%- endmacro %}
