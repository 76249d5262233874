{% macro within_bounds(column, least=-1000000000000, most=1000000000000) -%}
    iff({{ column }} between {{ least }} and {{ most }}, {{ column }}, null)
{%- endmacro %}
