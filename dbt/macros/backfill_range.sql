{#
    The condition that a column lies in the range a run is bound to, empty when it is not bound.
    Incremental models take it instead of their look-back, and touch no row outside of it.
#}
{% macro backfill_range(column) -%}
    {%- set start = backfill_bound('backfill_start') -%}
    {%- set end = backfill_bound('backfill_end') -%}

    {%- if start and end and start >= end -%}
        {{ exceptions.raise_compiler_error(
            'backfill_start ' ~ start ~ ' is not before backfill_end ' ~ end
            ~ ': the end is the first moment left out.'
        ) }}
    {%- endif -%}

    {%- if start -%} {{ column }} >= '{{ start }}'::timestamp_ntz {%- endif -%}
    {%- if start and end %} and {% endif -%}
    {%- if end -%} {{ column }} < '{{ end }}'::timestamp_ntz {%- endif -%}
{%- endmacro %}


{# One bound as `yyyy-mm-dd hh:mm:ss`, or none; nothing while dbt, or a linter, only parses. #}
{% macro backfill_bound(name) -%}
    {%- if execute -%}
    {%- set given = var(name) -%}
    {%- set bound = '' if given is none else given | string | trim -%}
    {%- if not bound -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set shape = '^[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])'
        ~ '( ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])?$' -%}
    {%- set ns = namespace(valid=false) -%}
    {%- if modules.re.match(shape, bound) -%}
        {%- set year, month, day = bound[:10].split('-') | map('int') -%}
        {#- Counted on from the first, because a date that does not exist is a Python error. -#}
        {%- set first = modules.datetime.date(year, month, 1) -%}
        {%- set ns.valid = (first + modules.datetime.timedelta(days=day - 1)).month == month -%}
    {%- endif -%}
    {%- if not ns.valid -%}
        {{ exceptions.raise_compiler_error(
            "Variable " ~ name ~ " is '" ~ bound
            ~ "': give a moment as yyyy-mm-dd or yyyy-mm-dd hh:mm:ss."
        ) }}
    {%- endif -%}
    {{ return((bound ~ ' 00:00:00')[:19]) }}
    {%- endif -%}
{%- endmacro %}
