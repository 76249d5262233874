{% test same_row_count(model, compare_to) %}

with

counts as (
    select
        (select count(*) from {{ model }}) as model_rows,
        (select count(*) from {{ compare_to }}) as compared_rows
)

select *
from counts
where model_rows <> compared_rows

{% endtest %}
