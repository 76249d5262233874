{% test same_totals(model, compare_to, columns) %}

{%- do check_columns('same_totals', model, 'columns', columns, 'net_revenue: net_price') %}

with

model_totals as (
    select
        {%- for column in columns %}
        coalesce(sum({{ column }}), 0) as total_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ model }}
),

compared_totals as (
    select
        {%- for compared in columns.values() %}
        coalesce(sum({{ compared }}), 0) as total_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ compare_to }}
),

measured as (
    select
        {%- for column in columns %}
        {%- set of_model, compared = 'model_totals.total_' ~ loop.index, 'compared_totals.total_' ~ loop.index %}
        {{ of_model }} <> {{ compared }} as is_different_{{ loop.index }},
        {{ of_model }}::varchar as model_total_{{ loop.index }},
        {{ compared }}::varchar as compared_total_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from model_totals
    cross join compared_totals
),

by_column as (
    {{ one_row_per_column(columns, 'measured', ['is_different', 'model_total', 'compared_total']) }}
)

select
    column_name,
    model_total,
    compared_total
from by_column
where is_different

{% endtest %}
