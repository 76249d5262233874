{% macro standard_normal_quantile(probability) -%}
    {%- if execute and (
        probability is not number or probability < 0.5 or probability > 0.9999
    ) -%}
        {{ exceptions.raise_compiler_error(
            "A service level of '" ~ probability ~ "' makes no sense: give a number from 0.5 to "
            ~ '0.9999, such as 0.95.'
        ) }}
    {%- endif -%}
    {#- Neither Snowflake nor Jinja has this function: Abramowitz and Stegun, formula 26.2.23. -#}
    {%- set t = 'sqrt(-2 * ln(1 - ' ~ probability ~ '))' -%}
    {%- set above = '2.515517 + 0.802853 * ' ~ t ~ ' + 0.010328 * power(' ~ t ~ ', 2)' -%}
    {%- set below -%}
        1 + 1.432788 * {{ t }} + 0.189269 * power({{ t }}, 2) + 0.001308 * power({{ t }}, 3)
    {%- endset -%}
    greatest({{ t }} - ({{ above }}) / ({{ below }}), 0)::number(38, 3)
{%- endmacro %}
