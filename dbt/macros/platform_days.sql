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
