{% macro is_due_delivery() -%}
    {%- set range = backfill_range(file_day()) -%}
    {%- set days = (config.get('meta') or {}).get('lookback_days') -%}
    {%- if days is not none and (days is not integer or days < 1) -%}
        {{ exceptions.raise_compiler_error(
            'The look-back of ' ~ this.identifier ~ " is '" ~ days
            ~ "': give a whole number of days above 0, or null for all."
        ) }}
    {%- endif -%}

    {%- if not is_incremental() -%}
        true
    {%- elif range -%}
        {{ range }}
    {%- else -%}
        {#- A file that is delivered again comes under a new load. #}
        _load_id not in (select load_id from {{ this }})
        {%- if days is not none %}
        and {{ file_day() }} > (
            select coalesce(dateadd(day, -{{ days }}, max(file_date)), '0001-01-01') from {{ this }}
        )
        {%- endif %}
    {%- endif -%}
{%- endmacro %}


{% macro forget_vanished_files(relation) -%}
    {%- if is_incremental() -%}
        {#- delete+insert sees a file again only if a row of it is left to insert. #}
        delete from {{ this }}
        where
            source_file not in (select _source_file from {{ relation }})
            and {{ backfill_range('file_date') or 'true' }}
    {%- endif -%}
{%- endmacro %}
