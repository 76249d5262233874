{#
    dbt's own ref, but for what is stored as text. A view keeps the names in its query, and on prod
    it is built in ANALYTICS_STAGING, which then changes names with ANALYTICS: with a full name it
    would go on to read from the other side. Without a database, Snowflake looks where the view is.
    All else is computed when it is built, and names its database.
#}
{% macro ref() -%}
    {%- set relation = builtins.ref(*varargs, **kwargs) -%}
    {%- if target.name == 'prod' and model.config.materialized in ('view', 'ephemeral') -%}
        {{ return(relation.include(database=false)) }}
    {%- endif -%}
    {{ return(relation) }}
{%- endmacro %}
