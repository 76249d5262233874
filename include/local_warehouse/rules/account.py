"""Account objects: roles, users, warehouses, resource monitors and grants.

They are stored and shown, and change nothing in what a local session may do.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import duckdb
from sqlglot import Expr, exp

from ..errors import compilation_error, not_found
from . import answers
from .session_state import command_tokens

if TYPE_CHECKING:
    from ..session import Session

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
SYSTEM_ROLES = {
    "ACCOUNTADMIN", "GLOBALORGADMIN", "ORGADMIN", "PUBLIC", "SECURITYADMIN", "SYSADMIN",
    "USERADMIN",
}  # fmt: skip
PRIVILEGES = {
    "ADD", "ALL", "APPLY", "APPLYBUDGET", "ATTACH", "AUDIT", "BIND", "CANCEL", "CREATE", "DELETE",
    "EVOLVE", "EXECUTE", "FAILOVER", "IMPORT", "IMPORTED", "INSERT", "MANAGE", "MODIFY", "MONITOR",
    "OPERATE", "OVERRIDE", "OWNERSHIP", "PURCHASE", "READ", "REBUILD", "REFERENCES", "REPLICATE",
    "RESOLVE", "SELECT", "TRUNCATE", "UPDATE", "USAGE", "WRITE",
}  # fmt: skip
"""The first words of Snowflake's privileges."""
OBJECT_WORDS = {
    "ACCOUNT", "ALL", "DATABASE", "DATABASES", "FILE", "FORMAT", "FORMATS", "FUNCTION", "FUNCTIONS",
    "FUTURE", "IN", "INTEGRATION", "MONITOR", "PROCEDURE", "PROCEDURES", "RESOURCE", "ROLE",
    "SCHEMA", "SCHEMAS", "SEQUENCE", "SEQUENCES", "STAGE", "STAGES", "TABLE", "TABLES", "USER",
    "VIEW", "VIEWS", "WAREHOUSE",
}  # fmt: skip


def changes(statement: Expr, session: Session) -> Callable[[], str] | None:
    """CREATE, ALTER and DROP of account objects, GRANT and REVOKE."""
    if isinstance(statement, exp.Grant | exp.Revoke):
        head, tail = statement.sql(dialect="snowflake").split(" ", 1)
        statement = exp.Command(this=head, expression=tail)
    tokens = _tokens(statement)
    verb = tokens[0].upper() if tokens else ""
    if verb in {"GRANT", "REVOKE"}:
        return _alone(lambda: _change_grants([token.upper() for token in tokens], session), session)
    change = {"CREATE": _create, "ALTER": _alter, "DROP": _drop}.get(verb)
    if change is None:
        return None
    rest = tokens[1:]
    if verb == "ALTER" and [token.upper() for token in rest[:1]] == ["DATABASE"]:
        return _alter_database(session, rest[1:])
    replace = [token.upper() for token in rest[:2]] == ["OR", "REPLACE"]
    kind, rest = _kind(rest[2:] if replace else rest, plural=False)
    if kind is None:
        return None
    exists, rest = _exists_clause(rest)
    if not rest:
        raise compilation_error(f"{verb} {kind} needs a name")
    name, properties = rest[0].upper(), rest[1:]
    return _alone(lambda: change(session, kind, name, properties, exists, replace), session)


def _alone(change: Callable[[], str], session: Session) -> Callable[[], str]:
    """One session after the other: DuckDB would call two changes at once a conflict."""

    def run() -> str:
        with session.store.catalog_lock:
            return change()

    return run


def shown(statement: Expr, session: Session) -> str | None:
    """SHOW and DESCRIBE of account objects and of grants."""
    tokens = _tokens(statement)
    verb = tokens[0].upper() if tokens else ""
    if verb == "SHOW" and [token.upper() for token in tokens[1:2]] == ["GRANTS"]:
        return _show_grants([token.upper() for token in tokens[2:]], session)
    if verb == "SHOW" and [token.upper() for token in tokens[1:3]] == ["FUTURE", "GRANTS"]:
        return _show_future_grants([token.upper() for token in tokens[3:]])
    if verb not in {"SHOW", "DESCRIBE", "DESC"}:
        return None
    kind, rest = _kind(tokens[1:], plural=verb == "SHOW")
    if kind is None:
        return None
    if verb == "SHOW":
        return _show(kind, rest)
    if not rest:
        raise compilation_error(f"{verb} {kind} needs a name")
    return _describe(session, kind, rest[0].upper())


def _tokens(statement: Expr) -> list[str]:
    if isinstance(statement, exp.Command):
        return command_tokens(statement)
    kind = str(statement.args.get("kind") or "").upper()
    if isinstance(statement, exp.Create | exp.Drop) and kind in {"WAREHOUSE", "ROLE", "USER"}:
        text = statement.sql(dialect="snowflake")
        return command_tokens(
            exp.Command(this=text.split(" ", 1)[0], expression=text.split(" ", 1)[1])
        )
    if isinstance(statement, exp.Describe) and kind in {"WAREHOUSE", "ROLE", "USER", "POLICY"}:
        return statement.sql(dialect="snowflake").split()
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
    _keep(session, kind, name, _properties(properties))
    return answers.status(f"{kind.capitalize()} {name} successfully created.")


def _keep(session: Session, kind: str, name: str, properties: Mapping[str, str]) -> None:
    session.duck.execute(
        f"INSERT INTO {TABLE} VALUES (?, ?, ?, ?, now())",
        (kind, name, json.dumps(dict(properties)), properties.get("comment", "")),
    )


def _alter(
    session: Session, kind: str, name: str, properties: list[str], exists: bool, replace: bool
) -> str:
    if not _found(session, kind, name):
        if exists:
            return answers.SUCCESS
        raise not_found(kind.capitalize(), name)
    _change(session, kind, name, properties)
    return answers.SUCCESS


def _change(session: Session, kind: str, name: str, words: list[str]) -> None:
    """What is set joins what was set before; what is unset goes."""
    [(before,)] = session.duck.execute(
        f"SELECT properties FROM {TABLE} WHERE kind = ? AND name = ?", (kind, name)
    ).fetchall()
    found = json.loads(before)
    # Data of an earlier version has the words alone.
    kept: dict[str, str] = found if isinstance(found, dict) else {}
    if words[:1] and words[0].upper() == "UNSET":
        for word in words[1:]:
            kept.pop(word.lower(), None)
            kept.pop(f"{word.lower()}_fp", None)
    else:
        kept |= _properties(words)
    session.duck.execute(
        f"UPDATE {TABLE} SET properties = ?, comment = ? WHERE kind = ? AND name = ?",
        (json.dumps(kept), kept.get("comment", ""), kind, name),
    )


def _alter_database(session: Session, words: list[str]) -> Callable[[], str] | None:
    """ALTER DATABASE … SET: what is set is kept and shown, and changes nothing."""
    exists, words = _exists_clause(words)
    if [word.upper() for word in words[1:2]] != ["SET"]:
        return None
    name = words[0].upper()

    def run() -> str:
        if name not in session.store.attached:
            if exists:
                return answers.SUCCESS
            raise not_found("Database", name)
        if not _found(session, "DATABASE", name):
            _keep(session, "DATABASE", name, {})
        _change(session, "DATABASE", name, words[1:])
        return answers.SUCCESS

    return _alone(run, session)


def keep_database(session: Session, name: str, retention: str) -> None:
    """Remember what a new database was created with."""
    forget_database(session, name)
    _keep(session, "DATABASE", name, {"data_retention_time_in_days": retention})


def forget_database(session: Session, name: str) -> None:
    """Forget what was set on a database that is dropped."""
    _delete(session, "DATABASE", name)


def _drop(
    session: Session, kind: str, name: str, properties: list[str], exists: bool, replace: bool
) -> str:
    if not _found(session, kind, name) and not exists:
        raise not_found(kind.capitalize(), name)
    _delete(session, kind, name)
    if kind in {"ROLE", "USER"}:
        session.duck.execute(
            "DELETE FROM _fs_global._firn.grants "
            "WHERE grantee = $grantee OR (object_kind = $kind AND object_name = $name)",
            {"grantee": f"{kind} {name}", "kind": kind, "name": name},
        )
    return answers.status(f"{name} successfully dropped.")


def _describe(session: Session, kind: str, name: str) -> str:
    found = session.duck.execute(
        f"SELECT properties FROM {TABLE} WHERE kind = ? AND name = ?", (kind, name)
    ).fetchall()
    if not found:
        raise not_found(kind.capitalize(), name)
    properties = json.loads(found[0][0])
    rows = [("NAME", name)]
    if isinstance(properties, dict):
        rows += [(key.upper(), value) for key, value in properties.items()]
    column = "name" if kind == "NETWORK POLICY" else "property"
    return answers.table((column, "value"), rows)


def _delete(session: Session, kind: str, name: str) -> None:
    session.duck.execute(f"DELETE FROM {TABLE} WHERE kind = ? AND name = ?", (kind, name))


def _properties(words: list[str]) -> dict[str, str]:
    """Properties by name, without passwords and keys, which are nobody's to read later."""
    found: dict[str, str] = {}
    for at, word in enumerate(words):
        key, following = word.lower(), words[at + 1 :]
        if following[:1] == ["="] and len(following) > 1:
            listed = following[1] == "("
            value = (
                " ".join(following[2 : following.index(")")])
                if listed and ")" in following
                else following[1]
            )
            if key.startswith("rsa_public_key"):
                found[f"{key}_fp"] = _fingerprint(value)
            secret = any(part in key for part in ("password", "public_key", "secret", "token"))
            found[key] = "***" if secret and not key.endswith("_fp") else value
        elif key == "on" and [one.lower() for one in following[1:3]] == ["percent", "do"]:
            action = {"notify": "notify_at", "suspend": "suspend_at"}.get(
                following[3].lower(), "suspend_immediately_at"
            )
            before = found.get(action)
            found[action] = f"{before},{following[0]}%" if before else f"{following[0]}%"
    return found


def _fingerprint(public_key: str) -> str:
    """As an account shows a key; empty for what is none."""
    try:
        digest = hashlib.sha256(base64.b64decode(public_key, validate=True)).digest()
    except ValueError:
        return ""
    return f"SHA256:{base64.b64encode(digest).decode()}"


_SIZE = "replace(upper(coalesce({warehouse_size}, 'XSMALL')), '-', '')"
SHOWN: Mapping[str, Mapping[str, str]] = {
    "WAREHOUSE": {
        # An account says X-Small of what was created as XSMALL.
        "size": f"CASE {_SIZE} WHEN 'XSMALL' THEN 'X-Small' ELSE upper({{warehouse_size}}) END",
        "auto_suspend": "coalesce({auto_suspend}, '600')::BIGINT",
        "auto_resume": "coalesce({auto_resume}, 'true')",
        "resource_monitor": "coalesce(upper({resource_monitor}), 'null')",
    },
    "RESOURCE MONITOR": {
        "credit_quota": "{credit_quota}",
        "frequency": "upper({frequency})",
        "notify_at": "{notify_at}",
        "suspend_at": "{suspend_at}",
        "suspend_immediately_at": "{suspend_immediately_at}",
    },
    "USER": {
        "type": "upper({type})",
        "default_role": "upper({default_role})",
        "default_warehouse": "upper({default_warehouse})",
        "has_rsa_public_key": "({rsa_public_key} IS NOT NULL)::VARCHAR",
    },
}
"""Columns of SHOW besides those of every kind, made of properties."""


def _show(kind: str, rest: list[str]) -> str:
    condition = f"kind = {answers.literal(kind)}"
    words = [token.upper() for token in rest]
    if "LIKE" in words:
        condition += f" AND name ILIKE {answers.literal(rest[words.index('LIKE') + 1])}"
    more = "".join(
        f", {re.sub(r'{(.*?)}', _property, form)} AS {answers.identifier(column)}"
        for column, form in SHOWN.get(kind, {}).items()
    )
    return (
        'SELECT created AS "created_on", name AS "name", \'STARTED\' AS "state", '
        'comment AS "comment", \'ACCOUNTADMIN\' AS "owner", properties AS "properties"'
        f"{more} FROM {TABLE} WHERE {condition} ORDER BY name"
    )


def _property(name: re.Match[str]) -> str:
    """A property out of the JSON that it is kept in."""
    return f"json_extract_string(properties, '$.{name[1]}')"


def _change_grants(words: list[str], session: Session) -> str:
    """Keep a grant or take it back; a role that does not exist is refused."""
    verb, link = words[0], "TO" if words[0] == "GRANT" else "FROM"
    if link not in words:
        raise compilation_error(f"{verb} needs the word {link}")
    at = len(words) - 1 - words[::-1].index(link)
    grantee = _grantee(words[at + 1 :], session)
    privileges, kind, name = _granted(words[1:at], session)
    if privileges == ["OWNERSHIP"]:
        # An object has one owner.
        session.duck.execute(
            "DELETE FROM _fs_global._firn.grants WHERE privilege = 'OWNERSHIP' "
            "AND object_kind = ? AND object_name = ?",
            (kind, name),
        )
    for privilege in privileges:
        row = (grantee, privilege, kind, name)
        session.duck.execute(
            "DELETE FROM _fs_global._firn.grants WHERE grantee = ? AND privilege = ? "
            "AND object_kind = ? AND object_name = ?",
            row,
        )
        if verb == "GRANT":
            session.duck.execute(
                "INSERT INTO _fs_global._firn.grants VALUES (?, ?, ?, ?, ?, now())",
                (*row, "OPTION" in words[at:]),
            )
    return answers.SUCCESS


def _grantee(words: list[str], session: Session) -> str:
    """`ROLE R`, `DATABASE ROLE D.R`, `USER U` or `SHARE S`; a plain name is a role."""
    kind = "ROLE"
    for named in ("DATABASE ROLE", "ROLE", "USER", "SHARE"):
        if words[: len(named.split())] == named.split():
            kind, words = named, words[len(named.split()) :]
            break
    # WITH GRANT OPTION; COPY or REVOKE CURRENT GRANTS.
    ends = [words.index(word) for word in ("WITH", "COPY", "REVOKE") if word in words]
    name = "".join(words[: min(ends, default=len(words))])
    if kind == "ROLE" and name not in SYSTEM_ROLES and not _found(session, "ROLE", name):
        raise not_found("Role", name)
    return f"{kind} {name}"


def _granted(words: list[str], session: Session) -> tuple[list[str], str, str]:
    """Privileges, kind and name of what is granted; a role is granted as its usage."""
    if "ON" not in words:
        return ["USAGE"], *_object(words, session)
    at = words.index("ON")
    privileges = [part.strip() for part in " ".join(words[:at]).split(",")]
    for privilege in privileges:
        if privilege.split(" ")[0] not in PRIVILEGES:
            raise compilation_error(f"syntax error: unexpected '{privilege}'.")
    return privileges, *_object(words[at + 1 :], session)


def _object(words: list[str], session: Session) -> tuple[str, str]:
    """Kind and full name of an object; without a kind it is a table or a view."""
    at = 0
    while at < len(words) and words[at] in OBJECT_WORDS:
        at += 1
    kind, parts = " ".join(words[:at]) or "TABLE", "".join(words[at:]).split(".")
    if kind in {"TABLE", "VIEW", "SCHEMA"}:
        depth = 2 if kind == "SCHEMA" else 3
        around = [str(session.database), str(session.schema)][: depth - 1]
        parts = around[: depth - len(parts)] + parts
    return kind, ".".join(parts)


def forget_grants(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """A table or view that is made anew or dropped takes the grants on it along."""
    connection.execute(
        "DELETE FROM _fs_global._firn.grants "
        "WHERE object_kind IN ('TABLE', 'VIEW') AND object_name = ?",
        (name.upper(),),
    )


def copy_grants(connection: duckdb.DuckDBPyConnection, of: str, to: str) -> None:
    """What is in a clone has the grants of the originals, and future grants too.

    The container itself, a schema or a database, has none of its original's.
    """
    of, to = of.upper(), to.upper()
    inside = (
        "(starts_with(object_name, $within) "
        "OR object_name = $container AND starts_with(object_kind, 'FUTURE'))"
    )
    connection.execute(
        f"DELETE FROM _fs_global._firn.grants WHERE object_name = $container OR {inside}",
        {"container": to, "within": f"{to}."},
    )
    connection.execute(
        "INSERT INTO _fs_global._firn.grants BY NAME "
        "SELECT * REPLACE ($to || substr(object_name, length($container) + 1) AS object_name, "
        f"now() AS created) FROM _fs_global._firn.grants WHERE {inside}",
        {"container": of, "within": f"{of}.", "to": to},
    )


def _show_grants(words: list[str], session: Session) -> str:
    condition = "object_kind NOT LIKE 'ALL %' AND object_kind NOT LIKE 'FUTURE %'"
    if words[:2] == ["OF", "ROLE"]:
        return (
            'SELECT created AS "created_on", object_name AS "role", '
            "regexp_replace(grantee, ' [^ ]*$', '') AS \"granted_to\", "
            "regexp_extract(grantee, '[^ ]*$') AS \"grantee_name\", "
            "'ACCOUNTADMIN' AS \"granted_by\" FROM _fs_global._firn.grants "
            f"WHERE object_kind = 'ROLE' AND object_name = {answers.literal(' '.join(words[2:]))} "
            "ORDER BY created, grantee"
        )
    if words[:1] == ["TO"]:
        condition += f" AND grantee = {answers.literal(' '.join(words[1:]))}"
    elif words[:1] == ["ON"]:
        _, name = _object(words[1:], session)
        condition += f" AND object_name = {answers.literal(name)}"
    return (
        'SELECT created AS "created_on", '
        "CASE privilege WHEN 'IMPORTED PRIVILEGES' THEN 'USAGE' ELSE privilege END "
        'AS "privilege", '
        "replace(object_kind, ' ', '_') AS \"granted_on\", object_name AS \"name\", "
        "regexp_replace(grantee, ' [^ ]*$', '') AS \"granted_to\", "
        "regexp_extract(grantee, '[^ ]*$') AS \"grantee_name\", "
        'grant_option AS "grant_option", \'ACCOUNTADMIN\' AS "granted_by" '
        f"FROM _fs_global._firn.grants WHERE {condition} ORDER BY created, object_name, privilege"
    )


def _show_future_grants(words: list[str]) -> str:
    """SHOW FUTURE GRANTS IN DATABASE, IN SCHEMA and TO ROLE."""
    condition = "object_kind LIKE 'FUTURE %'"
    if words[:1] == ["TO"]:
        condition += f" AND grantee = {answers.literal(' '.join(words[1:]))}"
    elif words[:2] in (["IN", "DATABASE"], ["IN", "SCHEMA"]):
        condition += (
            f" AND object_kind LIKE '% IN {words[1]}' "
            f"AND object_name = {answers.literal(''.join(words[2:]))}"
        )
    else:
        raise compilation_error("SHOW FUTURE GRANTS needs IN DATABASE, IN SCHEMA or TO ROLE")
    kind = "regexp_extract(object_kind, 'FUTURE (.*)S IN', 1)"
    return (
        f'SELECT created AS "created_on", privilege AS "privilege", {kind} AS "grant_on", '
        f"object_name || '.<' || {kind} || '>' AS \"name\", "
        "regexp_replace(grantee, ' [^ ]*$', '') AS \"grant_to\", "
        "regexp_extract(grantee, '[^ ]*$') AS \"grantee_name\", "
        'grant_option AS "grant_option" '
        f"FROM _fs_global._firn.grants WHERE {condition} ORDER BY created, object_name, privilege"
    )


def user_parameters(statement: Expr, session: Session) -> str | None:
    """SHOW PARAMETERS LIKE 'NETWORK_POLICY' IN USER: the one that the setup asks for."""
    tokens = command_tokens(statement)
    words = [token.upper() for token in tokens]
    if words[:3] != ["SHOW", "PARAMETERS", "LIKE"] or words[4:6] != ["IN", "USER"]:
        return None
    found = session.duck.execute(
        f"SELECT json_extract_string(properties, ?) FROM {TABLE} WHERE kind = 'USER' AND name = ?",
        (f"$.{tokens[3].lower()}", words[6]),
    ).fetchall()
    if not found:
        raise not_found("User", words[6])
    columns = ("key", "value", "default", "level", "description", "type")
    return answers.table(columns, [(words[3], found[0][0] or "", "", "USER", "", "STRING")])


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
