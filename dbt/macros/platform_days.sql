{% macro platform_days(column) -%}
    {%- set days = var('platform_lookback_days') -%}
    {%- set range = backfill_range(column) -%}
    {%- if execute and (days is not integer or days < 1) -%}
        {{ exceptions.raise_compiler_error(
            "platform_lookback_days is '" ~ days ~ "': give a whole number of days above 0."
        ) }}
    {%- endif -%}
    {%- if not is_incremental() -%}
        true
    {%- elif range -%}
        {{ range }}
    {%- else -%}
        {{ column }} >= coalesce(
            (select dateadd('day', -{{ days }}, max(usage_date)) from {{ this }}),
            '1970-01-01'::date
        )
    {%- endif -%}
{%- endmacro %}


{% macro platform_warehouse_prefix() -%}
    '{{ escape_literal(var('platform_warehouse_prefix')) }}'
{%- endmacro %}


{% macro platform_amount(name, needed=true) -%}
    {%- set given = var(name) -%}
    {%- if given is none and not needed -%}
        null
    {%- elif execute and (given is not number or given <= 0) -%}
        {{ exceptions.raise_compiler_error(
            name ~ " is '" ~ given ~ "': give a number above 0"
            ~ ('.' if needed else ', or null for none.')
        ) }}
    {%- else -%}
        {{ given }}
    {%- endif -%}
{%- endmacro %}
