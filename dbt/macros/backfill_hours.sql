{#
    The condition that a moment lies in one of the hours that the range of a run touches, empty
    when the run has no range. An hour that the range touches in part is rebuilt whole.
#}
{% macro backfill_hours(column) -%}
    {%- if backfill_range(column) -%}
        {%- set start = backfill_bound('backfill_start') -%}
        {%- set end = backfill_bound('backfill_end') -%}
        {%- if start -%}
            {{ column }} >= '{{ start[:13] }}:00:00'::timestamp_ntz
        {%- endif -%}
        {%- if start and end %} and {% endif -%}
        {%- if end -%}
            date_trunc('hour', {{ column }}) < '{{ end }}'::timestamp_ntz
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
