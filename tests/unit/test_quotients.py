"""What the rule about quotients finds, form by form."""

from __future__ import annotations

import pytest

from include.project.domains import pipelines
from tests.unit.quotients import loose_quotients


def found(expression: str) -> int:
    return len(list(loose_quotients(f"select {expression} as it from t")))


@pytest.mark.parametrize(
    "expression",
    [
        # As they stood in the marts of affiliate.
        "(day_clicks / day_event_count)::number(38, 10)",
        "(max(day_clicks) * count(*) / max(day_event_count))::number(38, 10)",
        "(max(a) * count(*) * max(b) / max(c))::number(38, 10)",
        # Every way to divide.
        "avg(a)::number(38, 8)",
        "(avg(a) over (partition by b))::number(38, 8)",
        "median(a)::number(38, 8)",
        "div0(a, b)::number(38, 10)",
        "div0null(a, b)::number(38, 10)",
        "(ratio_to_report(a) over ())::number(38, 10)",
        "cast(a / b as number(38, 7))",
        "try_cast(a / b as number(38, 7))",
        "(a::number(38, 2) / b)::number(38, 9)",
        "(a::number(38, 7) / b)::number(38, 13)",
        "round(a / b, 7)",
        "trunc(a / b, 7)",
        "iff(c, a / b, 0)::number(38, 10)",
        "case when c then 0 else a / b end::number(38, 10)",
        "coalesce(a / nullif(b, 0), 0)::number(38, 10)",
        "(100 * (a / b))::number(38, 5)",
        # Nobody says how many decimals are wanted.
        "a / b",
        "sum(a / b)::number(38, 2)",
        "(a / b * c)::number(38, 2)",
        "(c / (a / b))::number(38, 2)",
        "power(a / b, 2)",
        "a / b > 0.5",
        "(a / b)::float",
        "(a / b)::varchar",
        "case when a / b > 0.5 then 1 end::number(38, 2)",
        "row_number() over (order by a / b)",
    ],
)
def test_a_quotient_used_beyond_its_decimals_is_found(expression: str) -> None:
    assert found(expression) == 1


@pytest.mark.parametrize(
    "expression",
    [
        "(a / b)::number(38, 6)",
        "(a::number(38, 6) / b)::number(38, 10)",
        "(max(a)::number(38, 6) * count(*) / max(b))::number(38, 10)",
        "(a::number(38, 14) / b)::number(38, 14)",
        "(a::float / b)::number(38, 10)",
        "(a / b::float)::number(38, 10)",
        "sqrt(a) / b",
        "avg(a::number(38, 6))::number(38, 10)",
        "avg(a::float)",
        "(avg(a) over ())::number(38, 2)",
        "round(a / b, 2)",
        "ceil(a / b)",
        "(1 - a / b)::number(38, 4)",
        "(100 * (a / b))::number(38, 4)",
        "((a / b) / 100)::number(38, 8)",
        "case when a > 0 then a / b end::number(38, 4)",
        "coalesce(a / nullif(b, 0), 0)::number(38, 6)",
        "sum((a / b)::number(38, 6))",
    ],
)
def test_a_quotient_used_within_its_decimals_is_none_of_its_business(expression: str) -> None:
    assert found(expression) == 0


def test_questions_of_the_demo_use_quotients_to_the_decimals_they_have() -> None:
    questions = [sql for one in pipelines().values() for sql in one.questions.values()]
    assert len(questions) > 10
    assert [
        quotient for sql in questions for quotient in loose_quotients(sql.format(mart="mart"))
    ] == []
