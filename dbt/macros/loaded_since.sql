{% macro loaded_since(source, loaded, hours) -%}
    {%- if hours is none -%}
        true
    {%- elif hours is not integer or hours < 1 -%}
        {{ exceptions.raise_compiler_error(
            'The look-back of ' ~ this.identifier ~ " is '" ~ hours
            ~ "': give a whole number of hours above 0, or null for all."
        ) }}
    {%- else -%}
        {#- An empty table has no latest row to look back from. -#}
        {{ source }}.loaded_at >= coalesce(
                (select dateadd('hour', -{{ hours }}, max(loaded_at)) from {{ loaded }}),
                '1970-01-01'::timestamp_ntz
            )
    {%- endif -%}
{%- endmacro %}
