{#
    After a merge: delete what was delivered by loads whose rows are gone from the source, because
    their file was delivered again under its name. What a newer delivery holds is merged before.
#}
{% macro delete_replaced_rows(delivered, window_column) -%}
    {%- if is_incremental() -%}
        {%- set range = backfill_range(window_column) -%}
        delete from {{ this }}
        where load_id not in (select load_id from {{ delivered }})
        {%- if range %} and {{ range }} {%- endif -%}
    {%- endif -%}
{%- endmacro %}
