"""Account objects: roles, users, warehouses, resource monitors and grants.

They are stored and shown, and change nothing in what a local session may do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlglot import Expr, exp

from include.warehouse.local.errors import compilation_error, not_found
from include.warehouse.local.rules import answers
from include.warehouse.local.rules.session_state import command_tokens

if TYPE_CHECKING:
    from include.warehouse.local.session import Session

KINDS = (
    ("DATABASE", "ROLE"),
    ("RESOURCE", "MONITOR"),
    ("NETWORK", "POLICY"),
    ("NETWORK", "RULE"),
    ("PASSWORD", "POLICY"),
    ("AUTHENTICATION", "POLICY"),
    ("STORAGE", "INTEGRATION"),
    ("NOTIFICATION", "INTEGRATION"),
    ("ROLE",),
    ("USER",),
    ("WAREHOUSE",),
    ("BUDGET",),
)
TABLE = "_fs_global._firn.account_objects"


def objects(statement: Expr, session: Session) -> str | None:
    """CREATE, ALTER, DROP, SHOW and DESCRIBE of account objects."""
    tokens = _tokens(statement)
    if not tokens or tokens[0].upper() not in {
        "CREATE",
        "ALTER",
        "DROP",
        "SHOW",
        "DESCRIBE",
        "DESC",
    }:
        return None
    verb = tokens[0].upper()
    rest = tokens[1:]
    replace = [token.upper() for token in rest[:2]] == ["OR", "REPLACE"]
    if replace:
        rest = rest[2:]
    kind, rest = _kind(rest, plural=verb == "SHOW")
    if kind is None:
        return None
    if verb == "SHOW":
        return _show(kind, rest)
    exists, rest = _exists_clause(rest)
    if not rest:
        raise compilation_error(f"{verb} {kind} needs a name")
    name, properties = rest[0].upper(), rest[1:]
    return {"CREATE": _create, "ALTER": _alter, "DROP": _drop}.get(verb, _describe)(
        session, kind, name, properties, exists, replace
    )


def _tokens(statement: Expr) -> list[str]:
    if isinstance(statement, exp.Command):
        return command_tokens(statement)
    kind = str(statement.args.get("kind") or "").upper()
    if isinstance(statement, exp.Create | exp.Drop) and kind in {"WAREHOUSE", "ROLE", "USER"}:
        text = statement.sql(dialect="snowflake")
        return command_tokens(
            exp.Command(this=text.split(" ", 1)[0], expression=text.split(" ", 1)[1])
        )
    if isinstance(statement, exp.Describe) and kind in {"WAREHOUSE", "ROLE", "USER"}:
        return ["DESCRIBE", kind, statement.this.name]
    if isinstance(statement, exp.Show) and statement.name.upper() in {
        "USERS",
        "WAREHOUSES",
        "ROLES",
    }:
        text = statement.sql(dialect="snowflake")
        return command_tokens(exp.Command(this="SHOW", expression=text.split(" ", 1)[1]))
    return []


def _kind(tokens: list[str], *, plural: bool) -> tuple[str | None, list[str]]:
    words = [token.upper() for token in tokens]
    for kind in KINDS:
        wanted = list(kind)
        if plural:
            wanted[-1] = wanted[-1][:-1] + "IES" if wanted[-1].endswith("Y") else wanted[-1] + "S"
        if words[: len(wanted)] == wanted:
            return " ".join(kind), tokens[len(wanted) :]
    return None, tokens


def _exists_clause(tokens: list[str]) -> tuple[bool, list[str]]:
    words = [token.upper() for token in tokens[:3]]
    if words[:2] == ["IF", "EXISTS"]:
        return True, tokens[2:]
    if words == ["IF", "NOT", "EXISTS"]:
        return True, tokens[3:]
    return False, tokens


def _found(session: Session, kind: str, name: str) -> bool:
    found = session.duck.execute(
        f"SELECT 1 FROM {TABLE} WHERE kind = ? AND name = ?",
        (kind, name),
    ).fetchone()
    return found is not None


def _create(
    session: Session, kind: str, name: str, properties: list[str], exists: bool, replace: bool
) -> str:
    if _found(session, kind, name):
        if exists:
            return answers.status(f"{name} already exists, statement succeeded.")
        if not replace:
            raise compilation_error(f"Object '{name}' already exists.")
        _delete(session, kind, name)
    session.duck.execute(
        f"INSERT INTO {TABLE} VALUES (?, ?, ?, '', now())",
        (kind, name, json.dumps(_public(properties))),
    )
    return answers.status(f"{kind.capitalize()} {name} successfully created.")


def _alter(
    session: Session, kind: str, name: str, properties: list[str], exists: bool, replace: bool
) -> str:
    if not _found(session, kind, name):
        if exists:
            return answers.SUCCESS
        raise not_found(kind.capitalize(), name)
    session.duck.execute(
        f"UPDATE {TABLE} SET properties = ? WHERE kind = ? AND name = ?",
        (json.dumps(_public(properties)), kind, name),
    )
    return answers.SUCCESS


def _drop(
    session: Session, kind: str, name: str, properties: list[str], exists: bool, replace: bool
) -> str:
    if not _found(session, kind, name) and not exists:
        raise not_found(kind.capitalize(), name)
    _delete(session, kind, name)
    return answers.status(f"{name} successfully dropped.")


def _describe(
    session: Session, kind: str, name: str, properties: list[str], exists: bool, replace: bool
) -> str:
    if not _found(session, kind, name):
        raise not_found(kind.capitalize(), name)
    return (
        f'SELECT name AS "property", properties AS "value" FROM {TABLE} '
        f"WHERE kind = {answers.literal(kind)} AND name = {answers.literal(name)}"
    )


def _delete(session: Session, kind: str, name: str) -> None:
    session.duck.execute(f"DELETE FROM {TABLE} WHERE kind = ? AND name = ?", (kind, name))


def _public(properties: list[str]) -> list[str]:
    """Properties without the values of passwords and keys, which are nobody's to read later."""
    kept = list(properties)
    for position, word in enumerate(properties):
        secret = any(part in word.upper() for part in ("PASSWORD", "PUBLIC_KEY", "SECRET", "TOKEN"))
        if secret and properties[position + 1 : position + 2] == ["="] and position + 2 < len(kept):
            kept[position + 2] = "***"
    return kept


def _show(kind: str, rest: list[str]) -> str:
    condition = f"kind = {answers.literal(kind)}"
    words = [token.upper() for token in rest]
    if "LIKE" in words:
        condition += f" AND name ILIKE {answers.literal(rest[words.index('LIKE') + 1])}"
    return (
        'SELECT created AS "created_on", name AS "name", \'STARTED\' AS "state", '
        'comment AS "comment", \'ACCOUNTADMIN\' AS "owner", properties AS "properties" '
        f"FROM {TABLE} WHERE {condition} ORDER BY name"
    )


def grants(statement: Expr, session: Session) -> str | None:
    """GRANT, REVOKE and SHOW GRANTS; kept as text, so that they can be looked at and compared."""
    if isinstance(statement, exp.Grant | exp.Revoke):
        text = statement.sql(dialect="snowflake")
        head, rest = text.split(" ", 1)
        statement = exp.Command(this=head, expression=rest)
    tokens = command_tokens(statement)
    if not tokens:
        return None
    verb = tokens[0].upper()
    if verb == "SHOW" and [token.upper() for token in tokens[1:2]] == ["GRANTS"]:
        return _show_grants(tokens[2:])
    if verb not in {"GRANT", "REVOKE"}:
        return None
    words = [token.upper() for token in tokens]
    link = "TO" if verb == "GRANT" else "FROM"
    if link not in words:
        raise compilation_error(f"{verb} needs the word {link}")
    at = len(words) - 1 - words[::-1].index(link)
    grantee = " ".join(word for word in words[at + 1 : at + 3] if word != "WITH")
    granted, on = words[1:at], ""
    if "ON" in granted:
        split = granted.index("ON")
        granted, on = granted[:split], " ".join(granted[split + 1 :])
    row = (grantee, " ".join(granted).replace(" ,", ","), on.replace(" . ", "."))
    session.duck.execute(
        "DELETE FROM _fs_global._firn.grants "
        "WHERE grantee = ? AND privilege = ? AND object_name = ?",
        row,
    )
    if verb == "GRANT":
        session.duck.execute(
            "INSERT INTO _fs_global._firn.grants VALUES (?, ?, '', ?, ?, now())",
            (*row, "OPTION" in words[at:]),
        )
    return answers.SUCCESS


def _show_grants(rest: list[str]) -> str:
    words = [token.upper() for token in rest]
    condition = "true"
    if words[:1] == ["TO"]:
        condition = f"grantee = {answers.literal(' '.join(words[1:]))}"
    elif words[:1] == ["ON"]:
        name = " ".join(words[1:]).replace(" . ", ".")
        condition = f"object_name = {answers.literal(name)}"
    return (
        'SELECT created AS "created_on", privilege AS "privilege", '
        "split_part(object_name, ' ', 1) AS \"granted_on\", "
        "array_to_string(string_split(object_name, ' ')[2:], ' ') AS \"name\", "
        "split_part(grantee, ' ', 1) AS \"granted_to\", "
        "array_to_string(string_split(grantee, ' ')[2:], ' ') AS \"grantee_name\", "
        'grant_option AS "grant_option", \'ACCOUNTADMIN\' AS "granted_by" '
        f"FROM _fs_global._firn.grants WHERE {condition} ORDER BY object_name, privilege"
    )


def user_functions(statement: Expr, session: Session) -> str | None:
    """SHOW USER FUNCTIONS, PROCEDURES and so on: there are none here."""
    words = [token.upper() for token in command_tokens(statement)]
    if words[:1] != ["SHOW"] or not {"FUNCTIONS", "PROCEDURES"} & set(words[1:4]):
        return None
    columns = (
        "created_on", "name", "schema_name", "is_builtin", "is_aggregate", "is_ansi",
        "min_num_arguments", "max_num_arguments", "arguments", "description", "catalog_name",
    )  # fmt: skip
    return answers.table(columns, [])
