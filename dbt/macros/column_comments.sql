{% macro snowflake__alter_column_comment(relation, column_dict) -%}
    {%- if not model.config.contract.enforced -%}
        {{ return(dbt_snowflake.snowflake__alter_column_comment(relation, column_dict)) }}
    {%- endif -%}
    alter table {{ relation }} alter
    {%- for name, column in column_dict.items() %}
        {{ adapter.quote(name | upper) }} comment $${{ column.description | replace('$', '[$]') }}$$
        {{- ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
