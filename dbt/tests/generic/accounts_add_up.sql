{% test accounts_add_up(model) %}

{%- if model is string -%}
    {{ exceptions.raise_compiler_error(
        'accounts_add_up reads the books of a whole raw table: take the where away.'
    ) }}
{%- endif %}

with

loads as (
    select *
    from {{ source('meta', 'loads') }}
    where
        status = 'committed'
        and domain = '{{ model.schema | lower }}'
        and source = '{{ model.identifier | lower }}'
),

rejected_rows as (
    select
        load_id,
        count(distinct row_number) as row_count
    from {{ source('meta', 'rejected_rows') }}
    group by load_id
),

raw_rows as (
    select
        _load_id as load_id,
        count(*) as row_count
    from {{ model }}
    group by _load_id
)

select
    loads.load_id,
    loads.source_file,
    loads.delivered,
    loads.loaded,
    loads.rejected,
    loads.superseded,
    rejected_rows.row_count as rejected_rows_found,
    raw_rows.row_count as raw_rows_found
from loads
left join raw_rows
    on loads.load_id = raw_rows.load_id
left join rejected_rows
    on loads.load_id = rejected_rows.load_id
where
    loads.delivered is distinct from loads.loaded + loads.rejected + loads.superseded
    or (
        loads.rejected is distinct from coalesce(rejected_rows.row_count, 0)
        {#- Rejected rows are deleted after so many days, their load is not; a day for the time
            between the two. #}
        and loads.finished_at > dateadd(
            day, 1 - {{ env_var('FIRN_KEEP_REJECTED_ROWS_DAYS', '180') | int }}, sysdate()
        )
    )
    {#- Later deliveries take rows over, so that a load may hold fewer than it loaded. #}
    or coalesce(raw_rows.row_count, 0) > loads.loaded

{% endtest %}
