{% test same_total(model, column_name, compare_to, compare_column) %}

with

model_total as (
    select coalesce(sum({{ column_name }}), 0) as total
    from {{ model }}
),

compared_total as (
    select coalesce(sum({{ compare_column }}), 0) as total
    from {{ compare_to }}
)

select
    model_total.total as model_total,
    compared_total.total as compared_total
from model_total
cross join compared_total
where model_total.total <> compared_total.total

{% endtest %}
