{% test accepted_ranges(model, ranges) %}

{%- do check_columns('accepted_ranges', model, 'ranges', ranges, 'line_count: {min: 0}') -%}
{%- for column, bounds in ranges.items() -%}
    {%- set good = [] -%}
    {%- for name, bound in (bounds.items() if bounds is mapping else []) -%}
        {%- if name in ['min', 'max'] and bound is not boolean
            and (bound is number or (bound is string and bound.strip())) -%}
            {%- do good.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not good or good | length < bounds | length -%}
        {{ exceptions.raise_compiler_error(
            'accepted_ranges of ' ~ model ~ ' has ' ~ column ~ ': ' ~ tojson(bounds)
            ~ '. Write {min: 0}, {max: 1} or {min: 0, max: 1}; a bound is a number or an SQL expression.'
        ) }}
    {%- endif -%}
{%- endfor %}

with

out_of_range as (
    select
        {%- for column, bounds in ranges.items() %}
        {%- set conditions = [] -%}
        {%- if 'min' in bounds -%} {%- do conditions.append(column ~ ' < ' ~ bounds.min) -%} {%- endif -%}
        {%- if 'max' in bounds -%} {%- do conditions.append(column ~ ' > ' ~ bounds.max) -%} {%- endif %}
        case when {{ conditions | join(' or ') }} then {{ column }} end as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ model }}
),

measured as (
    select
        {%- for column in ranges %}
        count({{ column }}) as row_count_{{ loop.index }},
        min({{ column }})::varchar as least_value_{{ loop.index }},
        max({{ column }})::varchar as greatest_value_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from out_of_range
),

by_column as (
    {{ one_row_per_column(ranges, 'measured', ['row_count', 'least_value', 'greatest_value']) }}
)

select * from by_column
where row_count > 0

{% endtest %}
