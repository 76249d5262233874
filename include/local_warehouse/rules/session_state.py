"""The session's own settings: query tag, role, warehouse, parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import Expr, exp

from ..errors import compilation_error, unsupported
from . import answers

if TYPE_CHECKING:
    from ..session import Session

DEFAULTS = {
    "ABORT_DETACHED_QUERY": ("false", "BOOLEAN"),
    "AUTOCOMMIT": ("true", "BOOLEAN"),
    "CLIENT_SESSION_KEEP_ALIVE": ("false", "BOOLEAN"),
    "DATE_OUTPUT_FORMAT": ("YYYY-MM-DD", "STRING"),
    "ERROR_ON_NONDETERMINISTIC_MERGE": ("true", "BOOLEAN"),
    "LOCK_TIMEOUT": ("43200", "NUMBER"),
    "MULTI_STATEMENT_COUNT": ("1", "NUMBER"),
    "QUERY_TAG": ("", "STRING"),
    "QUOTED_IDENTIFIERS_IGNORE_CASE": ("false", "BOOLEAN"),
    "STATEMENT_TIMEOUT_IN_SECONDS": ("172800", "NUMBER"),
    "TIMESTAMP_TYPE_MAPPING": ("TIMESTAMP_NTZ", "STRING"),
    "TIMEZONE": ("Etc/UTC", "STRING"),
    "WEEK_START": ("0", "NUMBER"),
}
QUERY_TAG_LIMIT = 2000


def alter_session(statement: Expr, session: Session) -> str | None:
    """ALTER SESSION SET and UNSET; the parameters are kept, and AUTOCOMMIT takes effect."""
    if not (
        isinstance(statement, exp.Alter) and str(statement.args.get("kind")).upper() == "SESSION"
    ):
        return None
    for action in statement.args.get("actions") or []:
        for item in action.expressions:
            assignment = item.this
            unset = bool(action.args.get("unset"))
            name = (assignment.this if isinstance(assignment, exp.EQ) else assignment).name.upper()
            if name not in DEFAULTS:
                raise compilation_error(f"invalid parameter '{name}'")
            if unset:
                session.parameters.pop(name, None)
                value = DEFAULTS[name][0]
            else:
                value = _text(assignment.expression)
                if name == "QUERY_TAG" and len(value) > QUERY_TAG_LIMIT:
                    raise compilation_error(
                        f"QUERY_TAG has {len(value)} characters, {QUERY_TAG_LIMIT} are allowed"
                    )
                session.parameters[name] = value
            if name == "AUTOCOMMIT":
                session.autocommit(value.lower() == "true")
    return answers.SUCCESS


def _text(value: Expr) -> str:
    if isinstance(value, exp.Boolean):
        return "true" if value.this else "false"
    return (
        value.name
        if isinstance(value, exp.Literal | exp.Column | exp.Var)
        else value.sql("snowflake")
    )


def show_parameters(statement: Expr, session: Session) -> str | None:
    """SHOW PARAMETERS [LIKE …] [IN SESSION|ACCOUNT], with the session's own values."""
    words = command_words(statement)
    if words[:2] != ["SHOW", "PARAMETERS"]:
        return None
    columns = ("key", "value", "default", "level", "description", "type")
    rows = [
        (
            name,
            str(session.parameters.get(name, default)),
            default,
            "SESSION" if name in session.parameters else "",
            "",
            kind,
        )
        for name, (default, kind) in DEFAULTS.items()
    ]
    query = answers.table(columns, rows)
    if len(words) > 3 and words[2] == "LIKE":
        pattern = command_tokens(statement)[3]
        query = f'SELECT * FROM ({query}) WHERE "key" ILIKE {answers.literal(pattern)}'
    return query


def use_role_or_warehouse(statement: Expr, session: Session) -> str | None:
    """USE ROLE, USE WAREHOUSE and USE SECONDARY ROLES."""
    if not isinstance(statement, exp.Use):
        return None
    kind = statement.args.get("kind")
    word = (kind.name if isinstance(kind, exp.Expr) else str(kind or "")).upper()
    if word == "ROLE":
        session.role = statement.this.name.upper()
    elif word == "WAREHOUSE":
        session.warehouse = statement.this.name.upper()
    elif word != "SECONDARY ROLES":
        return None
    return answers.SUCCESS


def use_database_or_schema(statement: Expr, session: Session) -> str | None:
    """USE DATABASE, USE SCHEMA and plain USE, refused where the object does not exist."""
    if not isinstance(statement, exp.Use) or not isinstance(statement.this, exp.Table):
        return None
    kind = statement.args.get("kind")
    word = (kind.name if isinstance(kind, exp.Expr) else str(kind or "")).upper()
    parts = [
        part.name if part.args.get("quoted") else part.name.upper() for part in statement.this.parts
    ]
    if word == "SCHEMA" or (not word and len(parts) == 2):
        schema: str | None = parts[-1]
        database = parts[0] if len(parts) == 2 else session.database
        if not database:
            raise compilation_error("USE SCHEMA needs a current database or a qualified name")
    else:
        database, schema = parts[0], None
    session.use(str(database), schema)
    return answers.SUCCESS


def current_settings(statement: Expr, session: Session) -> Expr:
    """CURRENT_ROLE(), CURRENT_WAREHOUSE(), CURRENT_USER() and their like."""
    values = {
        "CURRENT_ROLE": session.role,
        "CURRENT_WAREHOUSE": session.warehouse,
        "CURRENT_USER": session.user,
        "CURRENT_ACCOUNT": "LOCAL",
        "CURRENT_ACCOUNT_NAME": "LOCAL",
        "CURRENT_ORGANIZATION_NAME": "FIRN",
        "CURRENT_REGION": "LOCAL",
        "CURRENT_SECONDARY_ROLES": '{"roles":"","value":""}',
        "CURRENT_AVAILABLE_ROLES": f'["{session.role}"]',
        "CURRENT_CLIENT": "local",
        "CURRENT_SESSION": str(id(session)),
        "CURRENT_DATABASE": session.database,
        "CURRENT_SCHEMA": session.schema,
        "LAST_QUERY_ID": next(reversed(session.results_cache), None),
    }
    for node in list(statement.find_all(exp.Func)):
        name = _function_name(node)
        if name in values and not isinstance(node.parent, exp.Dot):
            if isinstance(statement, exp.Create) and str(statement.kind).upper() == "VIEW":
                raise unsupported(f"{name}() in a view is")
            node.replace(sqlglot.parse_one(answers.literal(values[name]), read="duckdb"))
    return statement


def _function_name(node: Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return node.name.upper()
    return node.sql_name() if isinstance(node, exp.Func) else ""


def command_tokens(statement: Expr) -> list[str]:
    """The words of a statement that sqlglot keeps as text, without quotes and comments."""
    if not isinstance(statement, exp.Command):
        return []
    rest = statement.expression
    text = f"{statement.this} {rest.name if isinstance(rest, Expr) else rest or ''}"
    return [token.text for token in sqlglot.tokenize(text, read="snowflake")]


def command_words(statement: Expr) -> list[str]:
    """The same in upper case, for recognising a statement."""
    return [token.upper() for token in command_tokens(statement)]
