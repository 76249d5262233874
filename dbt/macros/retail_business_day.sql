{# The day that a delivery belongs to, from its file's name. Expects the columns of a raw table. #}
{% macro retail_business_day() -%}
    coalesce(
            try_to_date(
                regexp_substr(_source_file, '[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}'), 'YYYY-MM-DD'
            ),
            _loaded_at::date
        )
{%- endmacro %}
