"""Results that the server makes itself, as DuckDB queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

SUCCESS = "SELECT 'Statement executed successfully.' AS \"status\""


def status(message: str) -> str:
    """One row with one column, as DDL statements answer."""
    return f'SELECT {literal(message)} AS "status"'


def literal(value: object) -> str:
    """A DuckDB literal for any text, number or None."""
    if value is None:
        return "NULL::VARCHAR"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return exp.Literal.string(str(value)).sql(dialect="duckdb")


def identifier(name: str) -> str:
    """A quoted DuckDB identifier."""
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A query that gives the rows; every column is text where there is no row."""
    names = ", ".join(identifier(column) for column in columns)
    if not rows:
        nulls = ", ".join(f"NULL::VARCHAR AS {identifier(column)}" for column in columns)
        return f"SELECT {nulls} WHERE false"
    values = ", ".join(f"({', '.join(literal(value) for value in row)})" for row in rows)
    return f"SELECT * FROM (VALUES {values}) AS answer ({names})"
