{% macro score_1_to_5(value) -%}
    {#- Whole numbers only: a rounded quotient would move customers on the edge of a fifth. -#}
    {%- set worse = '(rank() over (order by ' ~ value ~ ') - 1)' -%}
    {%- set all_rows = 'count(*) over ()' -%}
    case
        {%- for score in [5, 4, 3, 2] %}
        when 5 * {{ worse }} >= {{ score - 1 }} * {{ all_rows }} then {{ score }}
        {%- endfor %}
        else 1
    end
{%- endmacro %}
