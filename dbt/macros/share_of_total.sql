{% macro share_of_total(value, within=none) -%}
    {#- Six decimals before the division, so that ten of the quotient are right. -#}
    {%- set total -%}
        sum({{ value }}) over ({% if within %}partition by {{ within }}{% endif %})
    {%- endset -%}
    ({{ value }}::number(38, 6) / nullif({{ total }}, 0))::number(38, 10)
{%- endmacro %}
