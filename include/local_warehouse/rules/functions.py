"""Functions that DuckDB or fakesnow lack, or that give something else than on Snowflake."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb
import sqlglot
from sqlglot import Expr, exp
from sqlglot.dialects.snowflake import Snowflake

from ..errors import compilation_error, not_found, unsupported
from . import metadata, names

if TYPE_CHECKING:
    from ..session import Session, TableName

MACROS_SQL = """
CREATE OR REPLACE MACRO _fs_global.main._firn_signed(value) AS (
    CASE WHEN value >= 9223372036854775808::HUGEINT
        THEN (value - 18446744073709551616::HUGEINT)::BIGINT
        ELSE value::BIGINT END
);
CREATE OR REPLACE MACRO _fs_global.main._firn_divisor(value) AS (
    CASE WHEN value = 0 THEN error('Division by zero') ELSE value END
);
CREATE OR REPLACE MACRO _fs_global.main._firn_try_timestamp(value) AS (
    TRY_CAST(value AS TIMESTAMP)
);
CREATE OR REPLACE MACRO _fs_global.main._firn_texts(value) AS (CAST(to_json(value) AS VARCHAR[]));
CREATE OR REPLACE MACRO _fs_global.main._firn_items(value) AS (CAST(to_json(value) AS JSON[]));
"""
"""Helpers that the rules refer to, in the database that is always there."""


def last_changes(statement: Expr, session: Session) -> Expr:
    """SYSTEM$LAST_CHANGE_COMMIT_TIME('table'): when its rows were last changed, as committed.

    For a view it is the latest such time of the tables that the view reads.
    """
    for node in _calls(statement, "SYSTEM$LAST_CHANGE_COMMIT_TIME"):
        argument = node.expressions[0] if len(node.expressions) == 1 else None
        if not isinstance(argument, exp.Literal) or not argument.is_string:
            raise compilation_error(
                "SYSTEM$LAST_CHANGE_COMMIT_TIME needs the name of a table as a constant"
            )
        if isinstance(statement, exp.Create) and str(statement.kind).upper() == "VIEW":
            raise unsupported("SYSTEM$LAST_CHANGE_COMMIT_TIME in a view is")
        table = names.resolve(exp.to_table(argument.name, dialect="snowflake"), session)
        # Commits of other sessions count at once, also inside a transaction.
        with session.store.catalog_lock, session.store.hub.cursor() as connection:
            found = _last_change(connection, table)
        node.replace(exp.Literal.number(found))
    return statement


def _last_change(connection: duckdb.DuckDBPyConnection, name: TableName) -> int:
    view = connection.execute(
        "SELECT sql FROM duckdb_views() "
        "WHERE database_name = ? AND schema_name = ? AND view_name = ?",
        name,
    ).fetchone()
    if view:
        query = sqlglot.parse_one(view[0], read="duckdb").expression
        read = [
            (table.catalog or name[0], table.db or name[1], table.name)
            for table in names.stored_tables(query)
        ]
        return max((_last_change(connection, one) for one in read), default=0)
    table = connection.execute(
        "SELECT 1 FROM duckdb_tables() "
        "WHERE database_name = ? AND schema_name = ? AND table_name = ?",
        name,
    ).fetchone()
    if table is None:
        raise not_found("Table", ".".join(name))
    return metadata.last_change(connection, name) or 0


def hashes(statement: Expr, session: Session) -> Expr:
    """HASH gives a signed number; HASH_AGG does not depend on the order of rows.

    The values differ from Snowflake's, as its documentation allows: they are for comparing rows
    within one account. HASH_AGG adds hashes up, so that equal rows do not cancel out.
    """
    for node in _calls(statement, "HASH"):
        node.replace(_signed(exp.Anonymous(this="hash", expressions=_arguments(node))))
    for node in _calls(statement, "HASH_AGG"):
        arguments = _arguments(node)
        distinct = arguments and isinstance(arguments[0], exp.Distinct)
        columns = arguments[0].expressions if distinct else arguments
        row = exp.Cast(
            this=exp.Anonymous(this="hash", expressions=columns),
            to=exp.DataType.build("hugeint", "duckdb"),
        )
        total = exp.Anonymous(
            this="sum", expressions=[exp.Distinct(expressions=[row]) if distinct else row]
        )
        wrapped = exp.Mod(this=exp.Paren(this=total), expression=exp.Literal.number(2**64))
        filled = exp.Coalesce(this=exp.Paren(this=wrapped), expressions=[exp.Literal.number(0)])
        window = node.parent if isinstance(node.parent, exp.Window) else None
        if window is not None:
            raise unsupported("HASH_AGG as a window function is")
        node.replace(_signed(filled))
    return statement


def _signed(value: Expr) -> Expr:
    wide = exp.Cast(this=value, to=exp.DataType.build("hugeint", "duckdb"))
    return exp.Anonymous(this="_fs_global.main._firn_signed", expressions=[wide])


def sha2(statement: Expr, session: Session) -> Expr:
    """SHA2 with a number of bits; DuckDB has 256 alone, Snowflake's default."""
    for node in _calls(statement, "SHA2", "SHA2_HEX"):
        arguments = _arguments(node)
        if len(arguments) > 1 and arguments[1].name not in {"256", "0"}:
            raise unsupported(f"SHA2 with {arguments[1].name} bits is")
        node.replace(exp.Anonymous(this="sha256", expressions=arguments[:1]))
    return statement


def ratio_to_report(statement: Expr, session: Session) -> Expr:
    """RATIO_TO_REPORT(x) OVER (…): the share of the window's sum."""
    for node in _calls(statement, "RATIO_TO_REPORT"):
        window = node.parent
        if isinstance(window, exp.Window):
            value = _arguments(node)[0]
            total = window.copy()
            total.set("this", exp.Anonymous(this="sum", expressions=[value.copy()]))
            window.replace(exp.Paren(this=exp.SafeDivide(this=value, expression=total)))
    return statement


def zero_division(statement: Expr, session: Session) -> Expr:
    """Snowflake fails on a division by zero; DuckDB gives null."""
    for node in reversed(list(statement.find_all(exp.Div))):
        divisor = node.expression.unnest()
        if isinstance(divisor, exp.Literal | exp.Nullif | exp.Cast) and not _may_be_zero(divisor):
            continue
        checked = exp.Anonymous(
            this="_fs_global.main._firn_divisor", expressions=[node.expression.copy()]
        )
        node.set("expression", checked)
    return statement


def negated_patterns(statement: Expr, session: Session) -> Expr:
    """NOT LIKE by its own operator; sqlglot writes NOT before LIKE.

    DuckDB then expects few rows to pass, and may choose a plan that is slow for the many that do.
    """
    for node in list(statement.find_all(exp.Not)):
        like = node.this
        if isinstance(node.parent, exp.Select):
            continue  # A column without an alias is named after its text.
        if type(like) is exp.Like and isinstance(like.expression, exp.Literal):
            arguments = [like.this, like.expression]
            node.replace(exp.Anonymous(this='"!~~"', expressions=arguments))
    return statement


def _may_be_zero(divisor: Expr) -> bool:
    if isinstance(divisor, exp.Nullif):
        return False
    if isinstance(divisor, exp.Literal):
        return float(divisor.name or 0) == 0
    inner = divisor.this
    return _may_be_zero(inner) if isinstance(inner, exp.Literal | exp.Nullif | exp.Cast) else True


def aggregated_arrays(statement: Expr, session: Session) -> Expr:
    """ARRAY_TO_STRING and ARRAY_SLICE of what ARRAY_AGG and VARIANT columns hold, which is JSON."""
    for joined in list(statement.find_all(exp.ArrayToString)):
        joined.set("this", _macro("_firn_texts", joined.this.copy()))
    for slice_ in list(statement.find_all(exp.ArraySlice)):
        part = slice_.copy()
        part.set("this", _macro("_firn_items", part.this.copy()))
        slice_.replace(exp.Anonymous(this="to_json", expressions=[part]))
    return statement


def _macro(name: str, value: Expr) -> Expr:
    return exp.Anonymous(this=f"_fs_global.main.{name}", expressions=[value])


def current_moments(statement: Expr, session: Session) -> Expr:
    """CURRENT_TIMESTAMP and CURRENT_DATE are functions, even beside a column of that name."""
    kinds: dict[type[Expr], str] = {exp.CurrentTimestamp: "now", exp.CurrentDate: "today"}
    for alias in list(statement.find_all(exp.Alias)):
        name = alias.alias.upper()
        if name not in {"CURRENT_TIMESTAMP", "CURRENT_DATE"} or not alias.parent:
            continue
        for node in list(alias.parent.find_all(*kinds)):
            node.replace(exp.Anonymous(this=kinds[type(node)]))
    return statement


def convert_timezone(statement: Expr, session: Session) -> Expr:
    """CONVERT_TIMEZONE('UTC', x) has a time zone; fakesnow would give a plain timestamp.

    For other zones it stays one with that zone's clock, as here a time zone is always UTC.
    """
    for node in list(statement.find_all(exp.ConvertTimezone)):
        target, source = node.args.get("target_tz"), node.args.get("source_tz")
        if source is None and isinstance(target, exp.Literal) and target.name.upper() == "UTC":
            node.replace(exp.cast(node.args["timestamp"], "timestamptz", dialect="snowflake"))
    return statement


def attempted_timestamps(statement: Expr, session: Session) -> Expr:
    """TRY_CAST to a timestamp and TRY_TO_TIMESTAMP give null for what is none; fakesnow fails."""
    kinds = {exp.DataType.Type.TIMESTAMP, exp.DataType.Type.TIMESTAMPNTZ}
    for cast in reversed(list(statement.find_all(exp.TryCast))):
        if cast.to.this in kinds:
            cast.replace(_macro("_firn_try_timestamp", cast.this.copy()))
    for node in _calls(statement, "TRY_TO_TIMESTAMP", "TRY_TO_TIMESTAMP_NTZ"):
        if isinstance(node, exp.Anonymous) and len(node.expressions) == 1:
            node.replace(_macro("_firn_try_timestamp", node.expressions[0].copy()))
    return statement


def trimmed_characters(statement: Expr, session: Session) -> Expr:
    """TRIM keeps the characters it is to remove: fakesnow loses them on its way to a text."""
    for node in statement.find_all(exp.Trim):
        if node.expression:
            node.set("this", exp.cast(node.this, "varchar", dialect="snowflake"))
    return statement


def formatted_moments(statement: Expr, session: Session) -> Expr:
    """TO_CHAR of a column keeps its date format, which is lost where the type is not written."""
    for node in list(statement.find_all(exp.ToChar)):
        text = node.args.get("format")
        if text is None:
            continue
        if not (
            isinstance(text, exp.Literal) and re.search("(?i)YY|MM|DD|HH|MI|SS|MON", text.name)
        ):
            raise unsupported("TO_CHAR with a format that is not one of dates is")
        node.replace(exp.TimeToStr(this=node.this, format=Snowflake.format_time(text)))
    return statement


def _calls(statement: Expr, *names: str) -> list[Expr]:
    wanted = set(names)
    found: list[Expr] = []
    for node in statement.find_all(exp.Func):
        written = str(node.meta.get("written") or node.sql_name()).upper()
        name = (
            node.name.upper() if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc) else written
        )
        if name in wanted:
            found.append(node)
    return found


def _arguments(node: Expr) -> list[Expr]:
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        found = list(node.expressions)
    else:
        found = [value for key in node.arg_types for value in _listed(node.args.get(key))]
    # DuckDB spreads the columns of a star over arguments only when it is told so.
    return [exp.Var(this="*COLUMNS(*)") if isinstance(item, exp.Star) else item for item in found]


def _listed(value: object) -> list[Expr]:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, Expr)]
    return [value] if isinstance(value, Expr) else []
