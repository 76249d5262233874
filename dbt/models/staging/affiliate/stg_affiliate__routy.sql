{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='source_id',
        on_schema_change='sync_all_columns',
        cluster_by=['event_date'],
        meta={
            'window_column': 'file_date',
            'lookback_days': var('affiliate_lookback_days'),
        },
        tags=['affiliate__web_traffic'],
        post_hook="{{ forget_vanished_files(source('affiliate', 'routy')) }}",
    )
}}

with

source as (
    select * from {{ source('affiliate', 'routy') }}
),

due as (
    select *
    from source
    where {{ is_due_delivery() }}
),

renamed as (
    select
        -- ids
        md5(md5('routy:' || _source_file) || ':' || _row_hash) as event_id,
        md5('routy:' || _source_file) as source_id,

        -- text
        'routy' as traffic_source,
        {{ trimmed('marketing_source') }} as marketing_source,
        {{ operator_name('operator') }} as operator_name,
        {{ trimmed('country') }} as country,
        upper({{ trimmed('country_code') }}) as country_code,

        -- numbers
        coalesce(raw_earnings, 0)::number(38, 10) as raw_earnings,
        {{ within_bounds('visits') }} as visits,
        {{ within_bounds('signups') }} as signups,

        -- times
        coalesce(date, {{ file_day() }})::timestamp_ntz as event_at,
        coalesce(date, {{ file_day() }})::date as event_date,

        -- delivery
        _source_file as source_file,
        {{ file_day() }} as file_date,
        _row_number as source_row,
        _loaded_at as loaded_at,
        _load_id as load_id
    from due
)

select * from renamed
