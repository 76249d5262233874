{% macro trimmed(text) -%}
    {#- The no-break space is what spreadsheets leave. -#}
    nullif(trim({{ text }}, ' \t\r\n\u00a0'), '')
{%- endmacro %}
