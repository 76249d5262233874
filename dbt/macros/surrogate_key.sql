{% macro surrogate_key(columns) -%}
    {%- set parts = [] -%}
    {%- for column in columns -%}
        {#- The length in front is what no text can imitate: neither the separator nor the marker. -#}
        {%- do parts.append(
            "coalesce(length(" ~ column ~ ")::varchar || ':' || " ~ column ~ ", '-')"
        ) -%}
    {%- endfor -%}
    md5(concat_ws('|', {{ parts | join(', ') }}))
{%- endmacro %}
