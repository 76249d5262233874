"""How many decimals Snowflake gives a quotient, and where SQL asks for more.

Snowflake divides exact numbers into max(s, min(s + 6, 12)) decimals, s being the numerator's, and
averages likewise. The local warehouse divides in floating point. So a cast to more decimals than
that looks right here and is wrong on an account.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import sqlglot
from sqlglot import exp

EVERY = math.inf
"""The decimals of floating point, which has the same precision here and on an account."""

# These pass a value on unchanged, so the decimals that matter depend on what uses their result.
_SAME_VALUE = (
    exp.Abs, exp.Case, exp.Coalesce, exp.Greatest, exp.If, exp.Least, exp.Max, exp.Min, exp.Neg,
    exp.Nullif, exp.Paren, exp.Window,
)  # fmt: skip
_SUMS = (exp.Add, exp.Sub)
_AVERAGES = (exp.Avg, exp.Median)
_FLOATS = (
    exp.Exp, exp.Ln, exp.Log, exp.Pow, exp.Sqrt, exp.Stddev, exp.StddevPop, exp.StddevSamp,
    exp.ToDouble,
)  # fmt: skip


_NUMBERS = exp.DataType.NUMERIC_TYPES


def loose_quotients(sql: str) -> Iterator[str]:
    """The quotients and averages in SQL whose use needs more decimals than they have."""
    for node in (
        node
        for tree in sqlglot.parse(sql, read="snowflake")
        if tree is not None
        for node in tree.walk()
    ):
        if _is_quotient(node) and _asked(node) > _decimals(node):
            yield node.sql("snowflake")


def _is_quotient(node: exp.Expr) -> bool:
    return isinstance(node, (exp.Div, *_AVERAGES)) or _is_ratio_to_report(node)


def _is_ratio_to_report(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() == "ratio_to_report"


def _decimals(node: exp.Expr) -> float:
    """The least number of decimals that a value has; a column may be a whole number."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return len(node.name.partition(".")[2])
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return _decimals_of_type(node.to)
    if isinstance(node, _FLOATS):
        return EVERY
    if isinstance(node, exp.Div):
        if _decimals(node.expression) == EVERY:
            return EVERY
        return _of_quotient(_decimals(node.this))
    if isinstance(node, _AVERAGES):
        return _of_quotient(_decimals(node.this))
    if _is_ratio_to_report(node):
        return _of_quotient(_decimals(node.expressions[0]))
    if isinstance(node, exp.Mul):
        one, other = _decimals(node.this), _decimals(node.expression)
        return one + other if EVERY in (one, other) else min(one + other, max(one, other, 12))
    if isinstance(node, (*_SUMS, *_SAME_VALUE, exp.Sum)):
        return max((_decimals(value) for value in _values(node)), default=0)
    return 0


def _of_quotient(numerator: float) -> float:
    return max(numerator, min(numerator + 6, 12))


def _decimals_of_type(kind: exp.DataType) -> float:
    if kind.is_type(*exp.DataType.FLOAT_TYPES):
        return EVERY
    return int(kind.expressions[1].name) if len(kind.expressions) > 1 else 0


def _values(node: exp.Expr) -> list[exp.Expr]:
    """The operands that make up the value of an expression, without conditions and windows."""
    if isinstance(node, exp.Case):
        found = [*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")]
    elif isinstance(node, exp.If):
        found = [node.args["true"], node.args.get("false")]
    elif isinstance(node, (exp.Nullif, exp.Window)):
        found = [node.this]
    else:
        found = [node.this, node.args.get("expression"), *node.expressions]
    return [value for value in found if value is not None]


def _asked(node: exp.Expr) -> float:
    """How many decimals of a value matter to the expression that uses it."""
    user = node.parent
    if isinstance(user, (exp.Cast, exp.TryCast)):
        return _decimals_of_type(user.to) if user.to.is_type(*_NUMBERS) else EVERY
    if isinstance(user, (exp.Ceil, exp.Floor, exp.Round, exp.Trunc)) and node is user.this:
        decimals = user.args.get("decimals")
        return int(decimals.name) if decimals else 0
    if isinstance(user, exp.Mul):
        factor = user.expression if node is user.this else user.this
        if isinstance(factor, exp.Literal) and not factor.is_string:
            return _asked(user) + math.ceil(math.log10(float(factor.name)))
    if isinstance(user, exp.Div) and node is user.this and isinstance(user.expression, exp.Literal):
        return _asked(user) - math.floor(math.log10(float(user.expression.name)))
    if isinstance(user, exp.If) and isinstance(user.parent, exp.Case):
        return _asked(user) if node is user.args["true"] else EVERY
    if isinstance(user, (*_SUMS, *_SAME_VALUE)) and any(node is value for value in _values(user)):
        return _asked(user)
    if isinstance(node, exp.If) and isinstance(user, exp.Case):
        return _asked(user)
    return EVERY
