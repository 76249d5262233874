{% macro plain_number(text) -%}
    {%- set whole = '[0-9]{1,12}|[0-9]{1,3}(,[0-9]{3}){1,3}' -%}
    case
            when regexp_like({{ text }}, '[-+]?({{ whole }})?([.][0-9]{1,20})?')
                then try_to_decimal(replace({{ text }}, ',', ''), 18, 6)
        end
{%- endmacro %}


{% macro number_words(texts, column) -%}
    {%- set ones = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'] -%}
    {%- set teens = [
        'ten', 'eleven', 'twelve', 'thirteen', 'fourteen', 'fifteen', 'sixteen', 'seventeen',
        'eighteen', 'nineteen',
    ] -%}
    {%- set tens = [
        'twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy', 'eighty', 'ninety'
    ] -%}
    {%- set one = '(' ~ ones | join('|') ~ ')' -%}
    {%- set ten = '(' ~ tens | join('|') ~ ')' -%}
    {%- set below_100 = '(' ~ ten ~ '( ' ~ one ~ ')?|' ~ (teens + ones) | join('|') ~ ')' -%}
    {%- set below_1000 = '(' ~ one ~ ' hundred( (and )?' ~ below_100 ~ ')?|' ~ below_100 ~ ')' -%}
    {%- set more = '( (and )?' ~ below_1000 ~ ')?' -%}
    {%- set thousands = below_1000 ~ ' thousand' ~ more -%}
    {%- set grammar = '(minus )?(zero|' ~ below_1000 ~ '|' ~ thousands ~ '|' ~ below_1000
        ~ ' million( (and )?(' ~ thousands ~ '|' ~ below_1000 ~ '))?)' -%}
    with

    distinct_texts as (
        select distinct {{ column }} as words
        from {{ texts }}
    ),

    spelled as (
        select
            words,
            regexp_replace(
                regexp_replace(lower(words), '([a-z])-([a-z])', '\\1 \\2'), '[ \t]+', ' '
            ) as spelling
        from distinct_texts
    ),

    numbers as (
        select
            words,
            replace(spelling, ' and ', ' ') as spelling
        from spelled
        where regexp_like(spelling, '{{ grammar }}')
    ),

    tokens as (
        select
            numbers.words,
            token.index as place,
            token.value::varchar as word
        from numbers, lateral flatten(input => split(numbers.spelling, ' ')) as token
    ),

    scaled as (
        select
            words,
            case word
            {%- for word in ones + teens %}
                when '{{ word }}' then {{ loop.index }}
            {%- endfor %}
            {%- for word in tens %}
                when '{{ word }}' then {{ 10 + 10 * loop.index }}
            {%- endfor %}
                else 0
            end as word_value,
            lead(word) over (partition by words order by place) = 'hundred' as is_hundreds,
            max(iff(word = 'thousand', place, -1)) over (partition by words) as thousand_at,
            max(iff(word = 'million', place, -1)) over (partition by words) as million_at,
            max(iff(word = 'minus', 1, 0)) over (partition by words) as is_negative,
            place
        from tokens
    )

    select
        words,
        (
            iff(max(is_negative) = 1, -1, 1)
            * sum(
                word_value
                * iff(is_hundreds, 100, 1)
                * case
                    when place < million_at then 1000000
                    when place < thousand_at then 1000
                    else 1
                end
            )
        )::number(18, 6) as amount
    from scaled
    group by words
{%- endmacro %}
