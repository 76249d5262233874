{% macro set_query_tag() -%}
    {%- set tag = {
        'application': 'firn',
        'dag': env_var('AIRFLOW_CTX_DAG_ID', '') or none,
        'task': env_var('AIRFLOW_CTX_TASK_ID', '') or none,
        'model': model.name,
        'run': invocation_id,
        'target': target.name,
    } -%}
    {%- do run_query("alter session set query_tag = '" ~ escape_literal(tojson(tag)) ~ "'") -%}
    {#- The profile's own tag, if it has one, is what holds between two nodes. -#}
    {{ return(target.query_tag) }}
{%- endmacro %}


{% macro unset_query_tag(original_query_tag) -%}
    {%- if original_query_tag -%}
        {%- do run_query(
            "alter session set query_tag = '" ~ escape_literal(original_query_tag) ~ "'"
        ) -%}
    {%- else -%}
        {%- do run_query('alter session unset query_tag') -%}
    {%- endif -%}
{%- endmacro %}


{% macro escape_literal(text) -%}
    {{ return(text | replace('\\', '\\\\') | replace("'", "''")) }}
{%- endmacro %}
