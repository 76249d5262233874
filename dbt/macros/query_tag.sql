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
{%- endmacro %}


{% macro unset_query_tag(original_query_tag) -%}
    {#- Nothing to do: the next node of the thread sets its own tag, and hooks at the end of a run have
        their own session. Unsetting each tag would be a quarter of all statements of a build. -#}
{%- endmacro %}


{% macro escape_literal(text) -%}
    {{ return(text | replace('\\', '\\\\') | replace("'", "''")) }}
{%- endmacro %}
