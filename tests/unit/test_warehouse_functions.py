"""Which functions the local warehouse lets through: Snowflake's, and none of DuckDB's own."""

from __future__ import annotations

import re

import duckdb
import pytest
from snowflake.connector.errors import ProgrammingError

from include.local_warehouse import dialect
from include.local_warehouse.rules import refusals

# sqlglot gives these a syntax of their own and forgets how they were written.
PARSED_WITHOUT_A_NAME = {
    "apply", "arg_max", "arg_min", "argmax", "argmin", "glob", "json_object", "overlay", "show",
    "string_agg",
}  # fmt: skip


def duckdb_functions() -> list[str]:
    rows = (
        duckdb.connect().execute("select distinct function_name from duckdb_functions()").fetchall()
    )
    known = refusals.snowflake_functions()
    return sorted(
        name
        for (name,) in rows
        if re.fullmatch(r"[a-z_][a-z0-9_]*", name)
        and name.upper() not in known
        and name not in PARSED_WITHOUT_A_NAME
    )


def accepted(call: str) -> bool:
    try:
        refusals.check(dialect.parse(f"select {call} from t"))
    except ProgrammingError:
        return False
    return True


def test_no_function_of_duckdb_alone_is_accepted():
    names = duckdb_functions()
    assert len(names) > 500
    arguments = ("1", "a, b", "'x', 'y', 1", "")
    assert [name for name in names if any(accepted(f"{name}({each})") for each in arguments)] == []


@pytest.mark.parametrize("name", sorted(refusals.snowflake_functions() & {
    "COUNT_IF", "DATEADD", "DATEDIFF", "DATE_TRUNC", "DIV0", "HASH", "HASH_AGG", "IFF", "LISTAGG",
    "MEDIAN", "NTILE", "NVL", "OBJECT_CONSTRUCT", "REGEXP_REPLACE", "SHA2", "SPLIT_PART", "SUM",
    "TO_CHAR", "TO_DATE", "TRY_TO_NUMBER", "UUID_STRING", "ZEROIFNULL",
}))  # fmt: skip
def test_functions_of_snowflake_are_accepted(name):
    calls = [f"{name}({each})" for each in ("", "a", "a, b", "day, a, b", "a, b, c", "'day', a")]
    assert any(accepted(call) for call in calls)
