{#
    The latest moment of a column as text, asked for before the statement that needs it is written:
    a moment that stands in a statement prunes, and a subquery for it does not.
#}
{% macro newest(column, relation) -%}
    {{ return(moment_of('max', column, [relation], 'true', '1970-01-02')) }}
{%- endmacro %}


{# The earliest moment of a column as text, in one table or several. #}
{% macro oldest(column, relations, condition='true') -%}
    {{ return(moment_of('min', column, relations, condition, '9999-12-31')) }}
{%- endmacro %}


{# Always with microseconds: so texts sort as their moments do. #}
{% macro moment_of(aggregate, column, relations, condition, otherwise) -%}
    {%- set found = none -%}
    {%- if execute and flags.INTROSPECT -%}
        {%- call statement('moment', fetch_result=true) -%}
            select to_char({{ aggregate }}(moment), 'YYYY-MM-DD HH24:MI:SS.FF6')
            from (
                {%- for relation in relations %}
                select {{ aggregate }}({{ column }}) as moment
                from {{ relation }}
                where {{ condition }}
                {%- if not loop.last %}
                union all
                {%- endif %}
                {%- endfor %}
            )
        {%- endcall -%}
        {%- set found = load_result('moment')['data'][0][0] -%}
    {%- endif -%}
    {{ return(found or otherwise ~ ' 00:00:00.000000') }}
{%- endmacro %}
