{% macro check_columns(test, model, argument, columns, example) -%}
    {%- if columns is not mapping or not columns -%}
        {{ exceptions.raise_compiler_error(
            test ~ ' of ' ~ model ~ ' needs ' ~ argument ~ ', columns with what is said of each, such as '
            ~ argument ~ ': {' ~ example ~ '}.'
        ) }}
    {%- endif -%}
    {%- for column in columns if not modules.re.fullmatch('[A-Za-z_][A-Za-z0-9_$]*', column | string) -%}
        {{ exceptions.raise_compiler_error(
            test ~ ' of ' ~ model ~ " has '" ~ column ~ "' in " ~ argument
            ~ ': write the name of a column, letters, digits and underscores.'
        ) }}
    {%- endfor -%}
{%- endmacro %}
