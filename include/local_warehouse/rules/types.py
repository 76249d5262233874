"""Numbers and text as Snowflake keeps them: exact sums, enforced lengths, keys not enforced."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import Expr, exp

if TYPE_CHECKING:
    from ..session import Session

AGGREGATES: dict[type[Expr], str] = {
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Median: "median",
    exp.Stddev: "stddev_samp",
    exp.StddevSamp: "stddev_samp",
    exp.StddevPop: "stddev_pop",
    exp.Variance: "var_samp",
    exp.VariancePop: "var_pop",
}


def exact_aggregates(statement: Expr, session: Session) -> Expr:
    """Keep sums of decimals decimal; fakesnow would make every one of them a double."""
    for node in list(statement.find_all(*AGGREGATES)):
        node.replace(exp.Anonymous(this=AGGREGATES[type(node)], expressions=[node.this]))
    return statement


def object_keys(statement: Expr, session: Session) -> Expr:
    """Keys of an object literal are text, not names to be written in upper case."""
    for literal in statement.find_all(exp.Struct):
        for pair in literal.expressions:
            if isinstance(pair, exp.PropertyEQ) and isinstance(pair.this, exp.Identifier):
                pair.this.set("quoted", True)
    return statement


def unenforced_keys(statement: Expr, session: Session) -> Expr:
    """Snowflake declares primary, unique and foreign keys and does not enforce them."""
    if not isinstance(statement, exp.Create | exp.Alter):
        return statement
    keys: tuple[type[Expr], ...] = (
        exp.PrimaryKeyColumnConstraint,
        exp.UniqueColumnConstraint,
        exp.Reference,
        exp.PrimaryKey,
        exp.ForeignKey,
    )
    for key in list(statement.find_all(*keys)):
        constraint = key.parent
        while isinstance(constraint, exp.ColumnConstraint | exp.Constraint):
            key, constraint = constraint, constraint.parent
        key.pop()
    return statement


def text_lengths(statement: Expr, session: Session) -> Expr:
    """Snowflake refuses text longer than its column; DuckDB has no lengths, but checks."""
    if not isinstance(statement, exp.Create) or not isinstance(statement.this, exp.Schema):
        return statement
    for column in list(statement.this.find_all(exp.ColumnDef)):
        kind = column.kind
        if kind is None or kind.this not in (
            exp.DataType.Type.VARCHAR,
            exp.DataType.Type.CHAR,
            exp.DataType.Type.TEXT,
        ):
            continue
        limit = kind.find(exp.DataTypeParam)
        if limit is None:
            continue
        length = exp.Anonymous(this="length", expressions=[exp.column(column.this.copy())])
        check = exp.CheckColumnConstraint(this=exp.LTE(this=length, expression=limit.this.copy()))
        column.append("constraints", exp.ColumnConstraint(kind=check))
    return statement


def slashed_dates(statement: Expr, session: Session) -> Expr:
    """Snowflake reads '09/30/2023' as a date, month first."""
    readers: tuple[type[Expr], ...] = (exp.Cast, exp.DateAdd, exp.DateDiff, exp.TsOrDsToDate)
    for node in list(statement.find_all(exp.Literal)):
        written = re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", node.name) if node.is_string else None
        if written is None or not isinstance(node.parent, readers):
            continue
        if isinstance(node.parent, exp.Cast) and not node.parent.is_type(
            *exp.DataType.TEMPORAL_TYPES
        ):
            continue
        node.set("this", f"{written[3]}-{written[1]}-{written[2]}")
    return statement
