{% macro get_incremental_key_sync_sql(arg_dict) %}
    {%- set keys = arg_dict['unique_key'] -%}
    {%- set keys = [keys] if keys is string else keys -%}
    {%- set meta = config.get('meta') or {} -%}
    {%- set gone, written_at = meta.get('gone_when_null'), meta.get('written_at') -%}

    {%- if not keys or not (gone or written_at) -%}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ ' uses incremental_strategy key_sync and must configure unique_key '
            ~ 'and meta.gone_when_null or meta.written_at.'
        ) }}
    {%- endif -%}

    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | list -%}
    {%- set key_names = [] -%}
    {%- for key in keys -%}
        {%- do key_names.append(adapter.quote(key | upper)) -%}
    {%- endfor -%}
    {%- set others = columns | reject('in', key_names) | list -%}
    {%- set compared = others | reject('eq', adapter.quote(written_at | upper)) | list -%}
    {%- set is_gone = 'dbt_source.' ~ adapter.quote(gone | upper) ~ ' is null' if gone else 'false' %}

    merge into {{ arg_dict['target_relation'] }} as dbt_target
    using {{ arg_dict['temp_relation'] }} as dbt_source
    on {% for name in key_names -%}
        dbt_target.{{ name }} = dbt_source.{{ name }}
        {%- if not loop.last %} and {% endif -%}
    {%- endfor %}
    {%- if gone %}
    when matched and {{ is_gone }} then delete
    {%- endif %}
    when matched and (
        {%- for name in compared %}
        {% if not loop.first %}or {% endif -%}
        dbt_target.{{ name }} is distinct from dbt_source.{{ name }}
        {%- endfor %}
    ) then update set
        {%- for name in others %}
        {{ name }} = dbt_source.{{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    when not matched and not ({{ is_gone }}) then insert (
        {{ columns | join(', ') }}
    ) values (
        {%- for name in columns %}
        dbt_source.{{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    )
{% endmacro %}
