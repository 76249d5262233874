"""Which differences of a model's text are none to the warehouse."""

from __future__ import annotations

import pytest

from include.delivery.pull_requests.meaning import same_meaning
from include.warehouse.connection import REPOSITORY

MODEL = """{{ config(materialized='incremental') }}

with source as (
    select a, 'x -- y' as b from {{ ref('other') }}
)

select a, b from source
{% if is_incremental() %}
where a > (select max(a) from {{ this }})
{% endif %}
"""
MACRO = """{% macro trimmed(column) -%}
    {%- set names = 'a, b' -%}
    nullif(trim({{ column }}), '')
    || 'x'
{%- endmacro %}"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("with source", "-- where it comes from\nwith source"),
        ("select a, b from", "select a, /* and */ b from"),
        ("select a, b from", "select a, // and\n b from"),
        ("select a, b from source", "select\n    a,\n    b\nfrom source"),
        ("{% if is", "{# only what is new #}\n{% if is"),
        ("{{ this }}", "{{this}}"),
        ("from source\n", "from source -- all of it\n"),
    ],
)
def test_comments_and_blanks_of_a_model_say_nothing(before: str, after: str) -> None:
    assert before in MODEL
    assert same_meaning(MODEL, MODEL.replace(before, after, 1))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("select a, b from", "select a, c from"),
        ("'x -- y'", "'x -- z'"),
        ("'x -- y'", "'x  -- y'"),
        ("a, 'x", '"a -- b", \'x'),
        ("incremental", "table"),
        ("where a >", "where a >="),
        ("{% endif %}", "{% else %}{% endif %}"),
        # dbt reads a reference also where SQL does not.
        ("with source", "-- depends on: {{ ref('third') }}\nwith source"),
        # The tag takes away the end of the line, and the comment goes on behind it.
        ("source\n{% if", "source -- all of it\n{%- if"),
        ("{% if", "{%- if"),
        ("select a, b", "select ab"),
    ],
)
def test_what_the_warehouse_or_dbt_reads_is_a_difference(before: str, after: str) -> None:
    assert before in MODEL
    changed = MODEL.replace(before, after, 1)
    assert changed != MODEL
    assert not same_meaning(MODEL, changed)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("    || 'x'", "    -- a mark\n    || 'x'", True),
        ("    || 'x'", "    {# a mark #}\n    || 'x'", True),
        ("    || 'x'", "        || 'x'", True),
        # Its text may be cut into lines, or end within a line of its caller's.
        ("\n    || 'x'", " || 'x'", False),
        ("'x'\n", "'x' -- the end\n", False),
        ("'a, b'", "'a,b'", False),
    ],
)
def test_a_macro_may_not_change_its_lines(before: str, after: str, same: bool) -> None:
    assert before in MACRO
    assert same_meaning(MACRO, MACRO.replace(before, after, 1)) is same


def test_a_quote_that_a_branch_opens_is_not_guessed_about() -> None:
    code = "select {% if a %}'{% else %}'{% endif %} -- one ' as b"
    assert not same_meaning(code, code.replace("one", "two"))


def test_text_that_cannot_be_read_is_compared_as_it_is() -> None:
    assert not same_meaning("select 'a", "select 'a -- b")
    assert not same_meaning("select {{ a", "select {{ a -- b")


def test_every_model_of_the_project_is_taken_apart() -> None:
    models = sorted((REPOSITORY / "dbt" / "models").rglob("*.sql"))
    assert len(models) > 50
    for file in models:
        code = file.read_text(encoding="utf-8")
        at = code.rindex("select ")
        assert same_meaning(code, f"{code[:at]}-- the last one\n{code[at:]}"), file
        assert not same_meaning(code, f"{code[:at]}distinct {code[at:]}"), file
