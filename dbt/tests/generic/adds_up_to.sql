{% test adds_up_to(model, column_name, total, decimals, group_by=none) %}

with

sums as (
    select
        {%- for column in group_by or [] %}
        {{ column }},
        {%- endfor %}
        sum({{ column_name }}) as column_sum,
        count({{ column_name }}) * 0.5 * power(10, -{{ decimals }}) as rounding
    from {{ model }}
    {%- if group_by %}
    group by {{ group_by | join(', ') }}
    {%- endif %}
)

select *
from sums
where
    column_sum is null
    or abs(column_sum - {{ total }}) > rounding

{% endtest %}
