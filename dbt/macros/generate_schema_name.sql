{#
    The schema of a node is its layer, so a node nobody configured a layer for is an error
    of the author and fails the parse instead of landing somewhere.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set layer = (custom_schema_name or '') | trim | lower -%}

    {%- if not layer -%}
        {%- if node.resource_type not in ('model', 'seed', 'snapshot') -%}
            {#- Analyses, hooks and `dbt run-operation` build nothing that needs a layer. -#}
            {{ return(target.schema) }}
        {%- endif -%}
        {{ exceptions.raise_compiler_error(
            node.unique_id ~ ' (' ~ node.original_file_path ~ ') has no schema: move it into a '
            ~ 'layer folder such as models/staging, or give its folder a +schema in '
            ~ 'dbt_project.yml.'
        ) }}
    {%- endif -%}

    {%- if target.name == 'prod' -%}
        {{ layer }}
    {%- elif target.name in ('local', 'dev') -%}
        {{ target.schema | trim | lower }}_{{ layer }}
    {%- elif target.name == 'ci' -%}
        {%- if not modules.re.match('^pr_[0-9]+$', target.schema | lower) -%}
            {{ exceptions.raise_compiler_error(
                "Target ci builds into pr_<number>_<layer>, but the profile's schema is '"
                ~ target.schema ~ "': set FIRN_PR_NUMBER to the number of the pull request."
            ) }}
        {%- endif -%}
        {{ target.schema | lower }}_{{ layer }}
    {%- else -%}
        {{ exceptions.raise_compiler_error(
            "No schema rule for target '" ~ target.name ~ "': use local, dev, ci or prod, or add "
            ~ 'the target to macros/generate_schema_name.sql.'
        ) }}
    {%- endif -%}
{%- endmacro %}
