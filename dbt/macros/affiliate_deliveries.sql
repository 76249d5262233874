{% macro is_due_delivery() -%}
    {%- set start = backfill_bound('backfill_start') -%}
    {%- set end = backfill_bound('backfill_end') -%}
    {%- set days = var('affiliate_lookback_days') -%}
    {%- if days is not none and (days is not integer or days < 1) -%}
        {{ exceptions.raise_compiler_error(
            "The variable affiliate_lookback_days is '" ~ days
            ~ "': give a whole number of days above 0, or null for all."
        ) }}
    {%- endif -%}

    {%- if not is_incremental() -%}
        true
    {%- elif start or end -%}
        {{ is_within_bounds(file_day(), start, end) }}
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
            and {{ is_within_bounds(
                'file_date', backfill_bound('backfill_start'), backfill_bound('backfill_end')
            ) }}
    {%- endif -%}
{%- endmacro %}


{% macro is_within_bounds(day, start, end) -%}
    {%- if start and end and start >= end -%}
        {{ exceptions.raise_compiler_error(
            'backfill_start ' ~ start ~ ' is not before backfill_end ' ~ end
            ~ ': the end is the first day left out.'
        ) }}
    {%- endif -%}
    true
    {%- if start %} and {{ day }} >= '{{ start }}'::timestamp_ntz {%- endif -%}
    {%- if end %} and {{ day }} < '{{ end }}'::timestamp_ntz {%- endif -%}
{%- endmacro %}


{% macro file_day() -%}
    try_to_date(left(_source_file, 10), 'YYYY-MM-DD')
{%- endmacro %}
