{% macro parsed_date(text) -%}
    {%- set day, year, time = '[0-9]{2}', '[1-9][0-9]{3}', '([01][0-9]|2[0-3])(:[0-5][0-9]){2}' -%}
    case
            when regexp_like({{ text }}, '{{ year }}-{{ day }}-{{ day }}( {{ time }})?')
                then try_to_date(left({{ text }}, 10), 'YYYY-MM-DD')
            when regexp_like({{ text }}, '{{ year }}/{{ day }}/{{ day }}')
                then try_to_date({{ text }}, 'YYYY/MM/DD')
            when regexp_like({{ text }}, '{{ day }}-{{ day }}-{{ year }}')
                then
                    coalesce(
                        try_to_date({{ text }}, 'DD-MM-YYYY'),
                        try_to_date({{ text }}, 'MM-DD-YYYY')
                    )
            when regexp_like({{ text }}, '{{ day }}/{{ day }}/{{ year }}')
                then
                    coalesce(
                        try_to_date({{ text }}, 'DD/MM/YYYY'),
                        try_to_date({{ text }}, 'MM/DD/YYYY')
                    )
            {#- The century is written out: which one Snowflake adds is a setting of the session. #}
            when regexp_like({{ text }}, '{{ day }}-{{ day }}-{{ day }}')
                then
                    coalesce(
                        try_to_date(insert({{ text }}, 7, 0, '20'), 'DD-MM-YYYY'),
                        try_to_date(insert({{ text }}, 7, 0, '20'), 'MM-DD-YYYY')
                    )
        end
{%- endmacro %}
