{#
    One text for the columns a mart is grouped by, in which null is a value like any other. Each
    value stands with its length, so that no two groups look the same.
#}
{% macro group_key(columns) -%}
    md5(
        {%- for column in columns %}
        coalesce(length({{ column }})::varchar || ':' || {{ column }}, '-')
        {%- if not loop.last %} || ',' ||{% endif %}
        {%- endfor %}
    )
{%- endmacro %}
