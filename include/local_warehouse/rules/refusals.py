"""What Snowflake would refuse, and what needs an account: refused here, in one sentence."""

from __future__ import annotations

from functools import cache
from importlib import resources

from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr, exp

from ..errors import compilation_error, not_found, unsupported
from .session_state import command_words

STATEMENTS: tuple[type[Expr], ...] = (
    exp.Alter, exp.Command, exp.Comment, exp.Commit, exp.Copy, exp.Create, exp.Delete, exp.Describe,
    exp.Drop, exp.Grant, exp.Insert, exp.Merge, exp.Query, exp.Revoke, exp.Rollback, exp.Set,
    exp.Show, exp.Transaction, exp.TruncateTable, exp.Update, exp.Use, exp.Put, exp.Get,
    exp.MultitableInserts, exp.Alias,
)  # fmt: skip
COMMANDS = {
    "ALTER", "CALL", "CREATE", "DESC", "DESCRIBE", "DROP", "EXECUTE", "EXPLAIN", "GET", "GRANT",
    "LIST", "LS", "PUT", "REMOVE", "REVOKE", "RM", "SHOW", "UNSET", "SET",
}  # fmt: skip
INNER_DATABASES = {"_FS_GLOBAL", "MEMORY", "SYSTEM", "TEMP"}
INNER_SCHEMAS = {"MAIN", "_FS_INFORMATION_SCHEMA", "PG_CATALOG", "_FIRN"}
NEEDS_ACCOUNT = {
    ("DYNAMIC", "TABLE"): "Dynamic tables are",
    ("HYBRID", "TABLE"): "Hybrid tables are",
    ("ICEBERG", "TABLE"): "Iceberg tables are",
    ("EXTERNAL", "TABLE"): "External tables are",
    ("EVENT", "TABLE"): "Event tables are",
    ("MATERIALIZED", "VIEW"): "Materialized views are",
    ("STREAM",): "Streams are",
    ("TASK",): "Tasks are",
    ("PIPE",): "Pipes are",
    ("ALERT",): "Alerts are",
    ("PROCEDURE",): "Stored procedures are",
    ("FUNCTION",): "User-defined functions are",
    ("SHARE",): "Shares are",
    ("MASKING", "POLICY"): "Masking policies are",
    ("ROW", "ACCESS"): "Row access policies are",
}


def check(statement: Expr) -> None:
    """Refuse a statement that must not reach DuckDB.

    Raises:
        ProgrammingError: with the reason.
    """
    foreign_statements(statement)
    inner_objects(statement)
    account_features(statement)
    local_files(statement)
    time_travel(statement)
    filter_clauses(statement)
    merge_by_source(statement)
    unknown_functions(statement)


def foreign_statements(statement: Expr) -> None:
    """Statements of DuckDB and other engines: ATTACH, PRAGMA, INSTALL, COPY to a local file."""
    if isinstance(statement, exp.Command):
        words = command_words(statement)
        if not words or (words[0] not in COMMANDS and words[:2] != ["COPY", "FILES"]):
            raise compilation_error(f"syntax error: unexpected '{words[0] if words else ''}'.")
        if words[0] in {"CALL", "EXECUTE"}:
            raise unsupported("Procedures and Snowflake Scripting are")
        if words[0] == "CREATE" and {"MACRO", "SECRET", "TYPE"} & set(words[1:4]):
            raise compilation_error(f"syntax error: unexpected '{words[1]}'.")
    elif isinstance(statement, exp.Alias):
        # sqlglot reads UNSET, and any unknown word before another, as a column with an alias.
        if statement.this.name.upper() != "UNSET":
            raise compilation_error(f"syntax error: unexpected '{statement.this.name}'.")
    elif isinstance(statement, exp.Copy) and not statement.args.get("kind"):
        raise compilation_error("syntax error: unexpected 'TO'; COPY INTO loads and unloads.")
    elif not isinstance(statement, STATEMENTS) and type(statement).__name__ not in {
        "ListStage",
        "Undrop",
    }:
        raise compilation_error(f"syntax error: unexpected '{statement.key.upper()}'.")


def inner_objects(statement: Expr) -> None:
    """What the server and DuckDB keep for themselves, beside the client's databases."""
    for table in statement.find_all(exp.Table):
        if table.catalog.upper() in INNER_DATABASES or table.db.upper() in INNER_SCHEMAS:
            name = ".".join(part.name for part in table.parts)
            raise not_found("Object", name)
        if not table.catalog and table.db.upper() in INNER_DATABASES:
            raise not_found("Object", f"{table.db}.{table.name}")
    for call in statement.find_all(exp.Dot):
        if isinstance(call.expression, exp.Func) and call.this.sql().upper().startswith("_FS_"):
            raise _unknown_function(call.sql())


def account_features(statement: Expr) -> None:
    """Kinds of objects that live in an account only."""
    if isinstance(statement, exp.Command):
        words = command_words(statement)
        if words and words[0] in {"CREATE", "ALTER", "DROP"}:
            _refuse_kind([word for word in words[1:6] if word not in {"OR", "REPLACE", "SECURE"}])
        return
    if not isinstance(statement, exp.Create | exp.Alter | exp.Drop):
        return
    kind = str(statement.args.get("kind") or "").upper().split()
    _refuse_kind(kind)
    for prefix, found in (
        ("DYNAMIC", exp.DynamicProperty),
        ("MATERIALIZED", exp.MaterializedProperty),
    ):
        if statement.find(found):
            _refuse_kind([prefix, *kind])


def _refuse_kind(words: list[str]) -> None:
    for kind, sentence in NEEDS_ACCOUNT.items():
        if tuple(words[: len(kind)]) == kind:
            raise unsupported(sentence)


def local_files(statement: Expr) -> None:
    """A file named as if it were a table; staged files are read with COPY or FROM @stage."""
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Literal) and not isinstance(
            statement, exp.Copy | exp.Put | exp.Get
        ):
            raise compilation_error(
                f"syntax error: unexpected '{table.this.name}'. Files are read from a stage."
            )
        if isinstance(table.this, exp.DynamicIdentifier):
            continue
        if isinstance(table.this, exp.Func):
            # Snowflake calls table functions within TABLE(…) or LATERAL only.
            raise _unknown_function(
                table.this.name
                if isinstance(table.this, exp.Anonymous)
                else str(table.this.meta.get("written") or table.this.sql_name())
            )


def time_travel(statement: Expr) -> None:
    """AT and BEFORE need the history that an account keeps."""
    if statement.find(exp.HistoricalData):
        raise unsupported("Time travel (AT, BEFORE) is")


def filter_clauses(statement: Expr) -> None:
    """Snowflake has no FILTER clause; conditional aggregates use IFF or COUNT_IF."""
    if statement.find(exp.Filter):
        raise compilation_error("syntax error: unexpected 'FILTER'.")


def merge_by_source(statement: Expr) -> None:
    """WHEN NOT MATCHED BY SOURCE is not Snowflake's."""
    if isinstance(statement, exp.Merge) and any(
        when.args.get("source") for when in statement.find_all(exp.When)
    ):
        raise compilation_error("syntax error: unexpected 'BY'.")


def unknown_functions(statement: Expr) -> None:
    """Functions that are not in Snowflake's list, DuckDB's own above all."""
    known = snowflake_functions()
    for node in statement.find_all(exp.Func):
        written = node.meta.get("written") if not isinstance(node, exp.Anonymous) else node.name
        if not written or isinstance(node.parent, exp.Dot):
            continue
        name = str(written).upper()
        if name not in known and not name.startswith("SYSTEM$"):
            raise _unknown_function(name)


def _unknown_function(name: str) -> ProgrammingError:
    return ProgrammingError(
        msg=f"SQL compilation error:\nUnknown function {name.upper()}.",
        errno=2140,
        sqlstate="42601",
    )


@cache
def snowflake_functions() -> frozenset[str]:
    """The names of Snowflake's built-in functions and keywords that are written like functions."""
    text = (
        resources.files(__package__.rpartition(".")[0])
        .joinpath("snowflake_functions.txt")
        .read_text()
    )
    return frozenset(
        name for line in text.splitlines() if not line.startswith("#") for name in line.split()
    )
