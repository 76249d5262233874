{#
    Elementary counts and records what a test found around the test itself. dbt takes a package's way
    of running tests only where the project asks for it, as this does.
#}
{% materialization test, adapter='snowflake' -%}
    {%- if env_var('FIRN_ELEMENTARY', 'off') == 'on' -%}
        {{ return(elementary.materialization_test_snowflake()) }}
    {%- endif -%}
    {{ return(dbt.materialization_test_snowflake()) }}
{%- endmaterialization %}


{#- The adapter tags every kind of node except this one, which would keep the previous tag. -#}
{% materialization unit, adapter='snowflake' -%}
    {%- do set_query_tag() -%}
    {{ return(materialization_unit_default()) }}
{%- endmaterialization %}
