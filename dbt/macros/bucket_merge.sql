{% macro get_incremental_bucket_merge_sql(arg_dict) %}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set source = arg_dict['temp_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | list -%}
    {%- set keys = arg_dict['unique_key'] -%}
    {%- set keys = [keys] if keys is string else keys -%}
    {%- set bucket = (config.get('meta') or {}).get('bucket') -%}

    {%- if not keys or not bucket -%}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ ' uses incremental_strategy bucket_merge and must configure '
            ~ 'unique_key and meta.bucket.'
        ) }}
    {%- endif -%}

    {%- set key_names = [] -%}
    {%- for key in keys -%}
        {%- do key_names.append(adapter.quote(key | upper)) -%}
    {%- endfor -%}
    {%- set others = columns | reject('in', key_names) | list -%}
    {%- set window = bucket_window(source) %}

    merge into {{ target }} as dbt_target
    using (
        with

        source_buckets as (
            {{ bucket_checksums(source, bucket, columns, window) }}
        ),

        target_buckets as (
            {{ bucket_checksums(target, bucket, columns, window) }}
        ),

        both_sides as (
            select * from source_buckets
            union all
            select * from target_buckets
        ),

        {#- Grouped and not joined, because a bucket may be null. #}
        changed_buckets as (
            select _bucket
            from both_sides
            group by _bucket
            having
                count(*) = 1
                or min(_checksum) <> max(_checksum)
                or min(_rows) <> max(_rows)
        ),

        {#- Keys of both sides: a row that moved to another bucket or is gone must be found. #}
        changed_keys as (
            {% for relation in [source, target] %}
            select {{ key_names | join(', ') }}
            from {{ relation }}
            inner join changed_buckets
                on ({{ bucket }}) is not distinct from changed_buckets._bucket
            where {{ window }}
            {%- if not loop.last %}
            union
            {%- endif %}
            {%- endfor %}
        )

        select
            {%- for name in key_names %}
            changed_keys.{{ name }},
            {%- endfor %}
            {%- for name in others %}
            current_rows.{{ name }},
            {%- endfor %}
            current_rows.{{ key_names[0] }} is null as _is_deleted
        from changed_keys
        left join {{ source }} as current_rows
            on {% for name in key_names -%}
            changed_keys.{{ name }} = current_rows.{{ name }}
            {%- if not loop.last %} and {% endif -%}
            {%- endfor %}
    ) as dbt_source
    on {% for name in key_names -%}
        dbt_target.{{ name }} = dbt_source.{{ name }}
        {%- if not loop.last %} and {% endif -%}
    {%- endfor %}
    when matched and dbt_source._is_deleted then delete
    {%- if others %}
    when matched and (
        {%- for name in others %}
        {% if not loop.first %}or {% endif -%}
        dbt_target.{{ name }} is distinct from dbt_source.{{ name }}
        {%- endfor %}
    ) then update set
        {%- for name in others %}
        {{ name }} = dbt_source.{{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    {%- endif %}
    when not matched and not dbt_source._is_deleted then insert (
        {{ columns | join(', ') }}
    ) values (
        {%- for name in columns %}
        dbt_source.{{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    )
{% endmacro %}


{% macro bucket_checksums(relation, bucket, columns, window) -%}
    select
                {{ bucket }} as _bucket,
                count(*) as _rows,
                hash_agg({{ columns | join(', ') }}) as _checksum
            from {{ relation }}
            where {{ window }}
            group by 1
{%- endmacro %}


{% macro bucket_window(source) -%}
    {%- set meta = config.get('meta') or {} -%}
    {%- set column = meta.get('window_column') -%}
    {%- set months = meta.get('lookback_months') -%}
    {%- set range = backfill_range(column) -%}

    {%- if months is not none and (months is not integer or months < 1) -%}
        {{ exceptions.raise_compiler_error(
            'The look-back of ' ~ this.identifier ~ " is '" ~ months
            ~ "': give a whole number of months above 0, or null for all."
        ) }}
    {%- endif -%}

    {%- if not column or not (range or months) -%}
        true
    {%- elif range -%}
        {{ range }}
    {%- else -%}
        {{ column }} >= (
            select dateadd(month, {{ 1 - months }}, date_trunc('month', max({{ column }})))
            from {{ source }}
        )
    {%- endif -%}
{%- endmacro %}
