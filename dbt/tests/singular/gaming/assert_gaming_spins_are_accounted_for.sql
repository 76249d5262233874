-- A returned row means: not every raw row of spins is part of a staged total, rejected, superseded
-- by a later change, or loaded after the last run that staged everything.

with

source as (
    select
        *,
        {{ gaming_moment('timestamp') }} as spun_at
    from {{ source('gaming', 'spins_hourly') }}
    where {{ gaming_spins_fault() }} is null
),

raw_rows as (
    select * from {{ source('gaming', 'spins_hourly') }}
),

staged as (
    select * from {{ ref('stg_gaming__spins_hourly') }}
),

staged_total as (
    select coalesce(sum(source_rows), 0) as staged_rows from staged
),

rejected as (
    select * from {{ ref('stg_gaming__rejected') }}
    where raw_table = 'spins_hourly'
),

progress as (
    select max(loaded_at) as loaded_until from staged
),

ranked as (
    select
        date_trunc('hour', spun_at) as app_hour,
        user_id,
        country,
        _loaded_at as loaded_at,
        rank() over (
            partition by spun_at, user_id, country
            order by updated_at desc nulls last
        ) as change_rank
    from source
),

hours as (
    select
        ranked.app_hour,
        ranked.user_id,
        ranked.country,
        count(*) as usable_rows,
        sum(iff(ranked.change_rank > 1, 1, 0)) as superseded_rows,
        -- Something came after the last run: the total that is staged may be one of before.
        max(ranked.loaded_at) as last_loaded_at,
        max(coalesce(staged.source_rows, 0)) as staged_rows
    from ranked
    left join staged
        on
            ranked.app_hour = staged.app_hour
            and ranked.user_id = staged.user_id
            and ranked.country = staged.country
    group by ranked.app_hour, ranked.user_id, ranked.country
),

accounts as (
    select
        (select count(*) from raw_rows) as raw_rows,
        (select staged_total.staged_rows from staged_total) as staged_rows,
        (select count(*) from rejected) as rejected_rows,
        coalesce(sum(hours.superseded_rows), 0) as superseded_rows,
        coalesce(sum(
            iff(
                coalesce(hours.last_loaded_at > progress.loaded_until, true),
                hours.usable_rows - hours.superseded_rows - hours.staged_rows,
                0
            )
        ), 0) as waiting_rows
    from hours
    cross join progress
)

select *
from accounts
where raw_rows != staged_rows + rejected_rows + superseded_rows + waiting_rows
