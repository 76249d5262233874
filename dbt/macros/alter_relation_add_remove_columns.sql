{#
    dbt adds new columns to an incremental model's table without the constraints of its contract. What
    is said to be never null would be refused neither in old rows nor in those to come.
#}
{% macro snowflake__alter_relation_add_remove_columns(relation, add_columns, remove_columns) -%}
    {%- set added = (add_columns or []) | map(attribute='name') | map('lower') | list -%}
    {%- for column in model.columns.values() if (config.get('contract') or {}).enforced and column.name | lower in added -%}
        {%- if column.constraints | selectattr('type', 'equalto', 'not_null') | list -%}
            {{ exceptions.raise_compiler_error(
                'Column ' ~ column.name ~ ' of ' ~ relation.identifier ~ ' is new, and dbt adds it to the '
                ~ 'existing table without its constraint not_null: build the model once with '
                ~ '--full-refresh, or declare the column without the constraint.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(dbt.snowflake__alter_relation_add_remove_columns(relation, add_columns, remove_columns)) }}
{%- endmacro %}
