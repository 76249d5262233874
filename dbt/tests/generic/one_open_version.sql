{% test one_open_version(model, key) %}

with

versions as (
    select
        {{ key }},
        dbt_valid_from,
        dbt_valid_to,
        lead(dbt_valid_from) over (partition by {{ key }} order by dbt_valid_from) as next_from
    from {{ model }}
)

select *
from versions
where dbt_valid_to is distinct from next_from

{% endtest %}
