"""What an account lacks of the declaration, and bringing it there, statement by statement."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from snowflake.connector.errors import Error as SnowflakeError

from include.delivery.account.declaration import (
    ACCOUNTADMIN,
    AUTO_SUSPEND,
    NOTIFY,
    SAMPLE,
    SAMPLE_SHARE,
    SECURITYADMIN,
    SUSPEND,
    SUSPEND_AT_ONCE,
    SYSADMIN,
    USERADMIN,
    AnyGrant,
    DatabaseRoleGrant,
    Declaration,
    Grant,
    ImportedPrivileges,
    Ownership,
    RoleGrant,
    SetupError,
    User,
    Warehouse,
    text,
    warehouse_size,
)

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

Verb = Literal["create", "change", "grant"]


class SetupRefusedError(SetupError):
    """The account refused a statement; the message says which, as whom and why."""


@dataclass(frozen=True)
class Step:
    """Something that the account lacks.

    Attributes:
        verb: what is done about it.
        what: it, in words.
        role: who does it.
        statements: how.
        reason: why it is needed.
    """

    verb: Verb
    what: str
    role: str
    statements: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Found:
    """What an account has, as far as the declaration is concerned; names in upper case.

    Attributes:
        databases: their retention in days.
        schemas, stages: their names.
        policies: the addresses that the declaration's network policy allows, if it is there.
        roles: those of the declaration.
        warehouses: their size, suspension in seconds, and monitor.
        monitors: their quota in credits.
        users: the properties of each, such as the fingerprints of its keys.
        held: of each role and user, what privilege it has on what kind of which object.
        future: of each role, what privilege it will get on what kind in what.
    """

    databases: Mapping[str, int] = field(default_factory=dict)
    schemas: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    policies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()
    warehouses: Mapping[str, tuple[str, int, str]] = field(default_factory=dict)
    monitors: Mapping[str, float] = field(default_factory=dict)
    users: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    held: frozenset[tuple[str, str, str, str]] = frozenset()
    future: frozenset[tuple[str, str, str, str]] = frozenset()


# -- looking ---------------------------------------------------------------------------------------


def look(cursor: SnowflakeCursor, declaration: Declaration) -> Found:
    """Ask an account what it has.

    Raises:
        SetupRefusedError: it does not answer one of the questions.
    """
    rows = _asking(cursor)

    def names(sql: str) -> frozenset[str]:
        return frozenset(str(row["name"]).upper() for row in rows(sql))

    databases = {
        str(row["name"]).upper(): int(row["retention_time"] or 0) for row in rows("show databases")
    }
    declared = [one.name for one in declaration.databases if one.name in databases]
    schemas = frozenset(
        f"{database}.{name}"
        for database in declared
        for name in names(f"show schemas in database {database}")
    )
    around = sorted({one.name.rpartition(".")[0] for one in declaration.stages} & schemas)
    roles = names("show roles") & set(declaration.roles)
    users = names("show users") & {one.name for one in declaration.users}
    return Found(
        databases=databases,
        schemas=schemas,
        stages=frozenset(
            f"{schema}.{name}"
            for schema in around
            for name in names(f"show stages in schema {schema}")
        ),
        policies={
            name: frozenset(
                address
                for row in rows(f"describe network policy {name}")
                if str(row["name"]).upper() == "ALLOWED_IP_LIST"
                for address in re.findall(r"[\d./]+", str(row["value"]))
            )
            for name in names("show network policies") & {declaration.policy}
        },
        roles=roles,
        warehouses={
            str(row["name"]).upper(): (
                warehouse_size(str(row["size"] or "")),
                int(row["auto_suspend"] or 0),
                str(row["resource_monitor"] or "").upper(),
            )
            for row in rows("show warehouses")
        },
        monitors={
            str(row["name"]).upper(): float(row["credit_quota"] or 0)
            for row in rows("show resource monitors")
        },
        users={
            user: {
                str(row["property"]).upper(): str(row["value"] or "")
                for row in rows(f"describe user {user}")
            }
            | {
                str(row["key"]).upper(): str(row["value"] or "")
                for row in rows(f"show parameters like 'NETWORK_POLICY' in user {user}")
            }
            for user in sorted(users)
        },
        held=frozenset(
            (
                name,
                str(row["privilege"]).upper(),
                str(row["granted_on"]).upper().replace("_", " "),
                str(row["name"]).upper(),
            )
            for name in sorted(roles)
            for row in rows(f"show grants to role {name}")
        )
        | frozenset(
            (str(row["grantee_name"]).upper(), "USAGE", "ROLE", role)
            for role in sorted(roles)
            for row in rows(f"show grants of role {role}")
        ),
        future=frozenset(
            (
                name,
                str(row["privilege"]).upper(),
                str(row["grant_on"]).upper(),
                # As in RAW.<TABLE>.
                str(row["name"]).upper().rpartition(".<")[0],
            )
            for name in sorted(roles)
            for row in rows(f"show future grants to role {name}")
        ),
    )


def _asking(cursor: SnowflakeCursor) -> Callable[[str], list[dict[str, Any]]]:
    def rows(sql: str) -> list[dict[str, Any]]:
        try:
            cursor.execute(sql)
            columns = [column.name.lower() for column in cursor.description]
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        except SnowflakeError as error:
            raise SetupRefusedError(
                f"The account does not answer `{sql}` ({_said(error)}): log in with a role that "
                f"may see everything, such as SNOWFLAKE_ROLE={ACCOUNTADMIN}, or run what --print "
                "prints."
            ) from error

    return rows


def _said(error: SnowflakeError) -> str:
    return " ".join(str(error.raw_msg or error).split()).rstrip(".")


# -- planning --------------------------------------------------------------------------------------


def plan(declaration: Declaration, found: Found | None = None) -> list[Step]:
    """What has to be done, in order; all of it if nothing is known of the account."""
    return list(_steps(declaration, found or Found()))


def left_out(declaration: Declaration, found: Found | None = None) -> list[str]:
    """What the declaration would have but cannot, a sentence each."""
    sentences = [
        f"User {user.name} is not made: give its public key with --key "
        f"{user.name.rpartition('_')[2]}=FILE."
        for user in declaration.users
        if not user.public_key and user.name not in (found or Found()).users
    ]
    if not declaration.addresses:
        sentences.append(
            "Services may log in from any address: give theirs with --allow, such as "
            "--allow 192.0.2.0/24."
        )
    return sentences


def beyond(declaration: Declaration, found: Found) -> list[str]:
    """What the roles hold that the declaration does not give them, a line each.

    What a role owns because it has made it is left out, and so is who has the roles.
    """
    held = (one for one in found.held if one[0] in found.roles)
    return undeclared(declaration, held, found.future)


def undeclared(
    declaration: Declaration,
    held: Iterable[tuple[str, str, str, str]],
    future: Iterable[tuple[str, str, str, str]],
) -> list[str]:
    """The grants that are not in the declaration, one line each.

    Args:
        declaration: the grants that there should be.
        held: existing grants: role, privilege, kind of object and its name, in upper case.
        future: future grants: role, privilege, kind of object, and the database or schema.
    """
    declared = {
        (grant.role, one, grant.kind, grant.name)
        for grant in declaration.grants
        for one in grant.privileges
    }
    declared |= {(one.role, "OWNERSHIP", one.kind, one.name) for one in declaration.ownership}
    declared |= {(one.to, "USAGE", "ROLE", one.granted) for one in declaration.hierarchy}
    for shared in declaration.shared:
        if isinstance(shared, ImportedPrivileges):
            declared.add((shared.to, "USAGE", "DATABASE", shared.database))
        else:
            names = {shared.granted, shared.granted.rpartition(".")[2]}
            declared |= {(shared.to, "USAGE", "DATABASE ROLE", name) for name in names}
    made = {"SCHEMA", "STAGE", "TABLE", "VIEW", "FILE FORMAT", "SEQUENCE"}
    lines = set()
    for role, what, kind, name in set(held) - declared:
        parts = name.split(".")
        around = {".".join(parts[:depth]) for depth in range(1, len(parts))}
        is_covered = any((role, what, f"{kind}S", one) in declared for one in around)
        is_own = what == "OWNERSHIP" and kind in made
        if not is_covered and not is_own:
            # Of tables there may be many: their schema says enough.
            place = f"{kind.lower()} {name}"
            if kind in {"TABLE", "VIEW"}:
                place = f"{kind.lower()}s in schema {'.'.join(parts[:2])}"
            lines.add(f"{what} on {place} to {role}")
    for role, what, kind, name in future:
        if (role, what, f"{kind}S", name) not in declared:
            around_it = "schema" if "." in name else "database"
            lines.add(f"{what} on future {kind.lower()}s in {around_it} {name} to {role}")
    return sorted(lines)


def _steps(declaration: Declaration, found: Found) -> Iterator[Step]:
    for role, comment in declaration.roles.items():
        if role not in found.roles:
            sql = f"create role if not exists {role} comment = {text(comment)}"
            yield Step("create", f"role {role}", USERADMIN, (sql,), comment)
    yield from _granting(declaration.hierarchy, found)
    yield from _databases(declaration, found)
    yield from _granting([one for one in declaration.ownership if one.kind == "DATABASE"], found)
    for kind, things, there in (
        ("schema", declaration.schemas, found.schemas),
        ("stage", declaration.stages, found.stages),
    ):
        for thing in things:
            if thing.name not in there:
                sql = f"create {kind} if not exists {thing.name} comment = {text(thing.comment)}"
                yield Step("create", f"{kind} {thing.name}", SYSADMIN, (sql,), thing.comment)
    yield from _granting([one for one in declaration.ownership if one.kind != "DATABASE"], found)
    for warehouse in declaration.warehouses:
        yield from _warehouse(warehouse, found)
    yield from _granting([*declaration.grants, *declaration.shared], found)
    users = [user for user in declaration.users if user.public_key or user.name in found.users]
    for user in users:
        yield from _user(user, found)
    known = {user.name for user in users}
    yield from _granting([one for one in declaration.of_users if one.to in known], found)
    yield from _policy(declaration, sorted(known), found)


def _databases(declaration: Declaration, found: Found) -> Iterator[Step]:
    for database in declaration.databases:
        keeps = f"data_retention_time_in_days = {database.retention}"
        if database.name not in found.databases:
            sql = f"create database if not exists {database.name} {keeps}"
            sql += f" comment = {text(database.comment)}"
            what = f"database {database.name}"
            yield Step("create", what, SYSADMIN, (sql,), database.comment)
        elif found.databases[database.name] != database.retention:
            yield Step(
                "change",
                f"database {database.name}: kept for {found.databases[database.name]} days, "
                f"now {database.retention}",
                SYSADMIN,
                (f"alter database {database.name} set {keeps}",),
                "How far back what was changed or dropped can be brought back",
            )
    if SAMPLE not in found.databases:
        yield Step(
            "create",
            f"database {SAMPLE}",
            ACCOUNTADMIN,
            (f"create database {SAMPLE} from share {SAMPLE_SHARE}",),
            "The sample that Snowflake shares with every account, where it was not imported",
        )


def _warehouse(warehouse: Warehouse, found: Found) -> Iterator[Step]:
    name = warehouse.name
    properties = (
        f"warehouse_size = {text(warehouse.size)} auto_suspend = {AUTO_SUSPEND} auto_resume = true"
    )
    limits = f"statement_timeout_in_seconds = {warehouse.timeout}"
    size, seconds, monitor = found.warehouses.get(name, ("", 0, ""))
    if name not in found.warehouses:
        sql = (
            f"create warehouse if not exists {name} with {properties} initially_suspended = true"
            f" {limits} comment = {text(warehouse.comment)}"
        )
        yield Step("create", f"warehouse {name}", SYSADMIN, (sql,), warehouse.comment)
    elif (size, seconds) != (warehouse.size, AUTO_SUSPEND):
        yield Step(
            "change",
            f"warehouse {name}: {size}, suspended after {seconds} s, "
            f"now {warehouse.size}, {AUTO_SUSPEND} s",
            SYSADMIN,
            (f"alter warehouse {name} set {properties} {limits}",),
            warehouse.comment,
        )
    if name not in found.monitors:
        sql = (
            f"create resource monitor if not exists {name} with credit_quota = {warehouse.quota}"
            " frequency = monthly start_timestamp = immediately triggers"
            f" on {NOTIFY} percent do notify on {SUSPEND} percent do suspend"
            f" on {SUSPEND_AT_ONCE} percent do suspend_immediate"
        )
        reason = f"{warehouse.quota} credits a month, told of at {NOTIFY}%, no more from {SUSPEND}%"
        yield Step("create", f"resource monitor {name}", ACCOUNTADMIN, (sql,), reason)
    elif found.monitors[name] != warehouse.quota:
        yield Step(
            "change",
            f"resource monitor {name}: {found.monitors[name]:g} credits, now {warehouse.quota}",
            ACCOUNTADMIN,
            (f"alter resource monitor {name} set credit_quota = {warehouse.quota}",),
            "What the warehouse may use in a month",
        )
    if monitor != name:
        yield Step(
            "change",
            f"warehouse {name}: watched by the resource monitor of its name",
            ACCOUNTADMIN,
            (f"alter warehouse {name} set resource_monitor = {name}",),
            "A monitor watches the warehouses that name it",
        )


KEYS = ("RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2")


def _user(user: User, found: Found) -> Iterator[Step]:
    """A user, or its second key, so that services go over from one key to another in peace."""
    properties = found.users.get(user.name)
    if properties is None:
        # Without secondary roles a session has the rights of the role it names and no others.
        sql = (
            f"create user if not exists {user.name} type = service"
            f" default_role = {user.default_role} default_warehouse = {user.default_warehouse}"
            f" default_secondary_roles = () rsa_public_key = {text(user.public_key)}"
            f" comment = {text(user.comment)}"
        )
        yield Step("create", f"user {user.name}", USERADMIN, (sql,), user.comment)
        return
    if not user.public_key:
        return
    held = {key: properties.get(f"{key}_FP", "").upper() for key in KEYS}
    if fingerprint(user.public_key).upper() in held.values():
        return
    free = [key for key in KEYS if held[key] in ("", "NULL")]
    if not free:
        raise SetupError(
            f"User {user.name} has two other keys already: take the one away that nobody uses, "
            f"with `alter user {user.name} unset rsa_public_key`, or rsa_public_key_2, as "
            f"{USERADMIN}."
        )
    yield Step(
        "change",
        f"user {user.name}: one more key",
        USERADMIN,
        (f"alter user {user.name} set {free[0].lower()} = {text(user.public_key)}",),
        "A service changes its key while the old one still opens",
    )


def fingerprint(public_key: str) -> str:
    """How Snowflake shows a key, as in `SHA256:…`.

    Args:
        public_key: its base64, without lines around it.
    """
    digest = hashlib.sha256(base64.b64decode(public_key)).digest()
    return f"SHA256:{base64.b64encode(digest).decode()}"


def _policy(declaration: Declaration, users: Sequence[str], found: Found) -> Iterator[Step]:
    if not declaration.addresses:
        return
    listed = ", ".join(text(address) for address in declaration.addresses)
    name, reason = declaration.policy, "Services log in from their own machines alone"
    if name not in found.policies:
        sql = f"create network policy if not exists {name} allowed_ip_list = ({listed})"
        yield Step("create", f"network policy {name}", SECURITYADMIN, (sql,), reason)
    elif found.policies[name] != frozenset(declaration.addresses):
        sql = f"alter network policy {name} set allowed_ip_list = ({listed})"
        yield Step("change", f"network policy {name}: {listed}", SECURITYADMIN, (sql,), reason)
    for user in users:
        if found.users.get(user, {}).get("NETWORK_POLICY", "").upper() != name:
            yield Step(
                "change",
                f"user {user}: network policy {name}",
                SECURITYADMIN,
                (f"alter user {user} set network_policy = {name}",),
                reason,
            )


def _granting(grants: Iterable[AnyGrant], found: Found) -> Iterator[Step]:
    for grant in grants:
        if not _is_held(grant, found):
            role, reason = _granter(grant), grant.reason
            yield Step("grant", _in_words(grant), role, tuple(grant.statements()), reason)


def _granter(grant: AnyGrant) -> str:
    match grant:
        case RoleGrant():
            return USERADMIN
        case ImportedPrivileges() | DatabaseRoleGrant():
            return ACCOUNTADMIN
        case _:
            return SECURITYADMIN


def _in_words(grant: AnyGrant) -> str:
    match grant:
        case Grant():
            what = ", ".join(grant.privileges)
            every = "all and future " if grant.is_plural else ""
            place = f" in {grant.around.lower()}" if grant.is_plural else ""
            return f"{what} on {every}{grant.kind.lower()}{place} {grant.name} to {grant.role}"
        case Ownership():
            return f"OWNERSHIP of {grant.kind.lower()} {grant.name} to {grant.role}"
        case RoleGrant():
            return f"role {grant.granted} to {grant.kind.lower()} {grant.to}"
        case DatabaseRoleGrant():
            return f"database role {grant.granted} to {grant.to}"
        case ImportedPrivileges():
            return f"imported privileges on database {grant.database} to {grant.to}"


def _is_held(grant: AnyGrant, found: Found) -> bool:
    match grant:
        case Grant():
            if grant.is_plural:
                kind = grant.kind.removesuffix("S")
                return all(
                    (grant.role, one, kind, grant.name) in found.future for one in grant.privileges
                )
            return all(
                (grant.role, one, grant.kind, grant.name) in found.held for one in grant.privileges
            )
        case Ownership():
            return (grant.role, "OWNERSHIP", grant.kind, grant.name) in found.held
        case RoleGrant():
            return (grant.to, "USAGE", "ROLE", grant.granted) in found.held
        case ImportedPrivileges():
            # Shown as if it were a database of one's own.
            return (grant.to, "USAGE", "DATABASE", grant.database) in found.held
        case DatabaseRoleGrant():
            names = {grant.granted, grant.granted.rpartition(".")[2]}
            return any((grant.to, "USAGE", "DATABASE ROLE", name) in found.held for name in names)


# -- doing -----------------------------------------------------------------------------------------


def apply(
    cursor: SnowflakeCursor,
    steps: Sequence[Step],
    say: Callable[[int, Step], None] = lambda _number, _step: None,
) -> None:
    """Do the steps, each as its role, up to the first that is refused.

    Args:
        cursor: of a session whose user has all these roles.
        steps: what to do.
        say: told of each step, counted from 1, before it is done.

    Raises:
        SetupRefusedError: the account refused a statement.
    """
    role = ""
    for number, step in enumerate(steps, start=1):
        say(number, step)
        statements = step.statements if step.role == role else (use(step.role), *step.statements)
        for sql in statements:
            try:
                cursor.execute(sql)
            except SnowflakeError as error:
                raise SetupRefusedError(
                    f"Step {number} of {len(steps)}, `{_without_key(sql)}` as {step.role}, was "
                    f"refused ({_said(error)}): what comes before it is done; mend that and run "
                    "again, or let somebody with that role run what --print prints."
                ) from error
        role = step.role


def use(role: str) -> str:
    """The statement that takes up a role."""
    return f"use role {role}"


def _without_key(sql: str) -> str:
    """Public keys are no secrets, and too long to read."""
    return sql if len(sql) <= 240 else f"{sql[:240]}…"


def script(declaration: Declaration) -> str:
    """All statements with their reasons, to be read and run by hand; safe to run again."""
    lines = [
        "-- What Firn needs on an account. Run it as a user who has the roles that it takes up.",
        "-- It may be run again. Why a statement is there stands above it, or is its comment.",
    ]
    for sentence in left_out(declaration):
        lines.append(f"--\n-- {sentence}")
    if not declaration.addresses:
        name = declaration.policy
        lines += [
            f"--   {use(SECURITYADMIN)};",
            f"--   create network policy if not exists {name} allowed_ip_list = ('192.0.2.0/24');",
            *(f"--   alter user {u.name} set network_policy = {name};" for u in declaration.users),
        ]
    role = reason = ""
    for step in plan(declaration):
        if step.role != role:
            role, reason = step.role, ""
            lines.append(f"\n{use(role)};\n")
        if step.reason != reason and f"comment = {text(step.reason)}" not in step.statements[0]:
            reason = step.reason
            lines.append(f"-- {reason}.")
        if step.what == f"database {SAMPLE}":
            lines.append(
                "-- Most accounts have it already: this one statement then fails, and may."
            )
        lines += [f"{sql};" for sql in step.statements]
    return "\n".join(lines) + "\n"
