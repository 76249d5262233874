{% test same_sum(model, column_name, compare_to, compare_column, group_by) %}

with

model_sums as (
    select
        {{ group_by }},
        sum({{ column_name }}) as model_sum
    from {{ model }}
    group by {{ group_by }}
),

compared_sums as (
    select
        {{ group_by }},
        sum({{ compare_column }}) as compared_sum
    from {{ compare_to }}
    group by {{ group_by }}
)

select
    model_sums.{{ group_by }},
    model_sums.model_sum,
    compared_sums.compared_sum
from model_sums
left join compared_sums
    on model_sums.{{ group_by }} = compared_sums.{{ group_by }}
where model_sums.model_sum is distinct from compared_sums.compared_sum

{% endtest %}
