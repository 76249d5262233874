{# Never built. Without a model here, what dbt_project.yml configures for the package would be a warning. #}
{{ config(enabled=false) }}
select null as nothing
