{% macro file_day() -%}
    try_to_date(left(_source_file, 10), 'YYYY-MM-DD')
{%- endmacro %}


{% macro operator_name(column) -%}
    {{ trimmed("regexp_replace(replace(" ~ column ~ ", 'LOL', ' '), ' +', ' ')") }}
{%- endmacro %}


{% macro with_operator(events, variants) -%}
    select
        {{ events }}.*,
        coalesce(
            by_country.operator, by_country_code.operator, anywhere.operator
        ) as operator
    from {{ events }}
    left join {{ variants }} as by_country
        on
            {{ events }}.operator_name = by_country.operator_name
            and upper({{ events }}.country) = by_country.country
    left join {{ variants }} as by_country_code
        on
            {{ events }}.operator_name = by_country_code.operator_name
            and upper({{ events }}.country_code) = by_country_code.country
    left join {{ variants }} as anywhere
        on
            {{ events }}.operator_name = anywhere.operator_name
            and anywhere.country = ''
{%- endmacro %}
