-- A returned row means: a different number of users buys than spins. Only a warning: who buys
-- without spinning, or spins without buying, is no error.

{{ config(severity='warn') }}

with

purchases as (
    select count(distinct user_id) as users from {{ ref('stg_gaming__purchases') }}
),

spins as (
    select count(distinct user_id) as users from {{ ref('stg_gaming__spins_hourly') }}
)

select
    purchases.users as users_who_buy,
    spins.users as users_who_spin
from purchases
cross join spins
where purchases.users != spins.users
