{#
    A quotient of exact numbers, rounded half away from zero. Casting a division would not do: the
    local warehouse divides in floating point, where 2.01 / 2 is a little less than 1.005. An account
    rounds the quotient too, to six more decimals than the six of the numerator.
#}
{% macro rounded_ratio(numerator, denominator, decimals) -%}
    {%- set scale = 10 ** decimals -%}
    (
        sign({{ numerator }}) * floor(
            ({{ 2 * scale }} * abs(({{ numerator }})::number(38, 6)) + {{ denominator }})::number(38, 6)
            / nullif(2 * {{ denominator }}, 0)
        ) / {{ scale }}
    )::number(38, {{ decimals }})
{%- endmacro %}
