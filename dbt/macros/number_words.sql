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
            iff(startswith(spelling, 'minus '), -1, 1) as sign,
            regexp_replace(replace(spelling, ' and ', ' '), '^minus ', '') as spelling
        from spelled
        where regexp_like(spelling, '{{ grammar }}')
    ),

    parted as (
        select
            words,
            sign,
            {{ before_word('spelling', 'million') }} as millions,
            {{ after_word('spelling', 'million') }} as below_million
        from numbers
    ),

    triples as (
        select
            words,
            1000000 * sign as factor,
            millions as spelling
        from parted
        union all
        select
            words,
            1000 * sign as factor,
            {{ before_word('below_million', 'thousand') }} as spelling
        from parted
        union all
        select
            words,
            sign as factor,
            {{ after_word('below_million', 'thousand') }} as spelling
        from parted
    ),

    halves as (
        select
            words,
            factor,
            {{ before_word('spelling', 'hundred') }} as hundreds,
            {{ after_word('spelling', 'hundred') }} as below_hundred
        from triples
    ),

    single_words as (
        select
            words,
            100 * factor as factor,
            hundreds as word
        from halves
        union all
        select
            words,
            factor,
            split_part(below_hundred, ' ', 1) as word
        from halves
        union all
        select
            words,
            factor,
            split_part(below_hundred, ' ', 2) as word
        from halves
    )

    select
        words,
        sum(
            factor::number(38, 0)
            * case word
            {%- for word in ones + teens %}
                when '{{ word }}' then {{ loop.index }}
            {%- endfor %}
            {%- for word in tens %}
                when '{{ word }}' then {{ 10 + 10 * loop.index }}
            {%- endfor %}
                else 0
            end
        )::number(18, 6) as amount
    from single_words
    group by words
{%- endmacro %}


{% macro before_word(text, word) -%}
    iff(contains({{ text }}, ' {{ word }}'), split_part({{ text }}, ' {{ word }}', 1), '')
{%- endmacro %}


{% macro after_word(text, word) -%}
    iff(
                contains({{ text }}, ' {{ word }}'),
                ltrim(split_part({{ text }}, ' {{ word }}', 2)),
                {{ text }}
            )
{%- endmacro %}
