{% macro one_row_per_column(columns, measured, measures) -%}
    select
        column1 as column_name,
        {%- for measure in measures %}
        case column1
            {%- for column in columns %}
            when '{{ column }}' then {{ measure }}_{{ loop.index }}
            {%- endfor %}
        end as {{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ measured }}
    cross join (values ('{{ columns | join("'), ('") }}'))
{%- endmacro %}
