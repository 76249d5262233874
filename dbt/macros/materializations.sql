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
