{% macro set_query_tag() -%}
    {%- set writes = model.resource_type in ('model', 'seed', 'snapshot')
        and model.config.materialized != 'view' -%}
    {%- if writes -%}
        {%- do tag_session({'model': model.name}) -%}
    {%- endif -%}
    {{ return(writes) }}
{%- endmacro %}


{% macro unset_query_tag(original_query_tag) -%}
    {%- if original_query_tag -%}
        {%- do tag_session({}) -%}
    {%- endif -%}
{%- endmacro %}


{% macro tag_session(of_node) -%}
    {%- set tag = {
        'application': 'firn',
        'dag': env_var('AIRFLOW_CTX_DAG_ID', '') or none,
        'task': env_var('AIRFLOW_CTX_TASK_ID', '') or none,
        'run': invocation_id,
        'target': target.name,
    } -%}
    {%- do tag.update(of_node) -%}
    {%- do run_query("alter session set query_tag = '" ~ escape_literal(tojson(tag)) ~ "'") -%}
{%- endmacro %}


{% macro escape_literal(text) -%}
    {{ return(text | replace('\\', '\\\\') | replace("'", "''")) }}
{%- endmacro %}
