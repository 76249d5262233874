"""What each role may do, worked out from the statements of the setup as Snowflake would.

Every statement that grants anything is read, and nothing else is taken for granted: who owns what,
who has whose rights, and which grants a schema or a table gets when it is made. Two accounts are
looked at: one in which everything was there before the setup ran, and one in which everything came
after. A right counts in full only if it holds in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from include.delivery.account.declaration import (
    ARTIFACTS,
    DATABASES,
    DEVELOPMENT,
    LANDING,
    MART,
    META,
    PRODUCTION,
    RAW,
    REVIEW,
    ROLES,
    SAMPLE,
    STAGING,
    USAGE,
    Declaration,
    declare,
)
from include.delivery.account.plan import plan
from include.ingestion.sources import domains

OTHERS = ("STAGING", "INTERMEDIATE", "SNAPSHOTS", "SEEDS", "ELEMENTARY")
"""The schemas that dbt makes besides the marts'."""

STAGES = (LANDING, ARTIFACTS)

RAW_SCHEMAS = (*(name.upper() for name in domains()), "NEXT_DOMAIN")
"""Those that are declared, and one that is declared after the setup has run."""

BUILDS, READS, IN_PART, NOTHING = "builds", "reads", "in part", ""

_GRANT = re.compile(
    r"grant (?P<what>[a-z, ]+?) on (?:(?P<when>all|future) (?P<plural>schemas|tables|views) in )?"
    r"(?P<kind>database|schema|stage|warehouse|account|table|view)(?: (?P<name>[\w.]+))?"
    r" to role (?P<role>\w+)(?P<copy> copy current grants)?",
    re.IGNORECASE,
)
_ROLE = re.compile(r"grant role (\w+) to (role|user) (\w+)", re.IGNORECASE)
_DATABASE_ROLE = re.compile(r"grant database role ([\w.]+) to role (\w+)", re.IGNORECASE)

Place = tuple[str, str]
"""Database and schema."""


@dataclass
class Rights:
    """Who may do what.

    Attributes:
        levels: of each role and place: builds, reads, nothing, or less than one and more than
            the other.
        stages: of each role and stage: its privileges.
        databases: of each role and database: its privileges, of those on the database itself.
        warehouses: of each role: the warehouses it may use, and what else it may do with which.
        shared: of each role: what it may read of other accounts' databases.
        account: of each role: its privileges on the account as a whole.
        system: who was given one of Snowflake's own roles, and which.
        administered: the roles that SYSADMIN has.
        users: of each user: its roles.
    """

    levels: dict[tuple[str, Place], str] = field(default_factory=dict)
    stages: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    databases: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    warehouses: dict[str, frozenset[str]] = field(default_factory=dict)
    shared: dict[str, frozenset[str]] = field(default_factory=dict)
    account: dict[str, frozenset[str]] = field(default_factory=dict)
    system: frozenset[tuple[str, str]] = frozenset()
    administered: frozenset[str] = frozenset()
    users: dict[str, frozenset[str]] = field(default_factory=dict)


_SYSTEM = {
    "ACCOUNTADMIN",
    "GLOBALORGADMIN",
    "ORGADMIN",
    "SECURITYADMIN",
    "SYSADMIN",
    "USERADMIN",
}


def places(prefix: str = "FIRN") -> Mapping[Place, str]:
    """The schemas that are looked at, one where there may be many, and who builds each."""
    loader, transformer = f"{prefix}_LOADER", f"{prefix}_TRANSFORMER"
    return {
        (RAW, META.rpartition(".")[2]): loader,
        **{(RAW, name): loader for name in RAW_SCHEMAS},
        **{
            (database, name): transformer
            for database in (PRODUCTION, STAGING)
            for name in (MART, *OTHERS)
        },
        (REVIEW, "PR_12_MART"): f"{prefix}_CI",
        (DEVELOPMENT, "ADA_MART"): f"{prefix}_DEVELOPER",
    }


def rights(statements: Iterable[str], prefix: str = "FIRN") -> Rights:
    """What the statements give each role, and each user.

    Raises:
        ValueError: a statement grants something in words that are not understood here.
    """
    known = list(statements)
    before, after = _Account(known, prefix, before=True), _Account(known, prefix, before=False)
    names = [f"{prefix}_{role}" for role in ROLES]
    found = Rights(
        system=frozenset(before.system),
        administered=frozenset(before.granted.get("SYSADMIN", ())),
        users={user: frozenset(roles) for user, roles in before.users.items()},
    )
    for role in names:
        for place in places(prefix):
            levels = {before.level(role, place), after.level(role, place)}
            found.levels[role, place] = levels.pop() if len(levels) == 1 else IN_PART
        held = before.held(role)
        for stage in STAGES:
            owner = before.owners.get(("STAGE", stage)) == role
            found.stages[role, stage] = frozenset({"OWNERSHIP"} if owner else ()) | {
                what for what, kind, name in held if (kind, name) == ("STAGE", stage)
            }
        found.warehouses[role] = frozenset(
            name if what == "USAGE" else f"{what} on {name}"
            for what, kind, name in held
            if kind == "WAREHOUSE"
        )
        for database in DATABASES:
            owner = before.owners.get(("DATABASE", database)) == role
            found.databases[role, database] = frozenset({"OWNERSHIP"} if owner else ()) | {
                what for what, kind, name in held if (kind, name) == ("DATABASE", database)
            }
        found.account[role] = frozenset(what for what, kind, _ in held if kind == "ACCOUNT")
        found.shared[role] = frozenset(
            name for what, kind, name in held if kind in {"DATABASE ROLE", "IMPORTED"}
        )
    return found


class _Account:
    """An account after the statements, in which everything was there before them, or came after."""

    def __init__(self, statements: Sequence[str], prefix: str, *, before: bool) -> None:
        self.granted: dict[str, set[str]] = {}
        self.users: dict[str, set[str]] = {}
        self.system: set[tuple[str, str]] = set()
        self.privileges: set[tuple[str, str, str, str]] = set()
        self.future: set[tuple[str, str, str, str]] = set()
        self.owners: dict[tuple[str, str], str] = {}
        self.schemas: set[Place] = set()
        builders = places(prefix)
        if before:
            for place, builder in builders.items():
                self._make(place, builder)
        for sql in statements:
            self._run(sql)
        for place, builder in builders.items():
            if place not in self.schemas and self._may_make(builder, place[0]):
                self._make(place, builder)
            elif place in self.schemas and not before:
                # The setup has made it, and its owner fills it now.
                self._fill(place, self.owners.get(("SCHEMA", ".".join(place)), ""))

    # -- statements ---------------------------------------------------------------------------

    def _run(self, sql: str) -> None:
        words = " ".join(sql.lower().split())
        if made := re.match(r"create schema if not exists (\w+)\.(\w+)", words):
            self.schemas.add((made[1].upper(), made[2].upper()))
        if not words.startswith(("grant", "revoke")):
            return
        if match := _ROLE.fullmatch(words):
            granted, kind, to = match[1].upper(), match[2], match[3].upper()
            (self.granted if kind == "role" else self.users).setdefault(to, set()).add(granted)
            if granted in _SYSTEM:
                self.system.add((to, granted))
        elif match := _DATABASE_ROLE.fullmatch(words):
            self.privileges.add((match[2].upper(), "USAGE", "DATABASE ROLE", match[1].upper()))
        elif match := _GRANT.fullmatch(words):
            self._grant(match)
        else:
            raise ValueError(f"This grants something in words that are not understood: {sql}")

    def _grant(self, match: re.Match[str]) -> None:
        role, kind, name = (
            match["role"].upper(),
            match["kind"].upper(),
            (match["name"] or "").upper(),
        )
        for what in (one.strip().upper() for one in match["what"].split(",")):
            if what == "OWNERSHIP":
                self.owners[kind, name] = role
            elif what == "IMPORTED PRIVILEGES":
                self.privileges.add((role, what, "IMPORTED", name))
            elif match["when"] == "future":
                self.future.add((role, what, match["plural"].upper().removesuffix("S"), name))
            elif match["when"] == "all":
                self._grant_on_all(role, what, match["plural"].upper().removesuffix("S"), name)
            else:
                self.privileges.add((role, what, kind, name))

    def _grant_on_all(self, role: str, what: str, kind: str, around: str) -> None:
        for place in self.schemas:
            if around in (place[0], ".".join(place)):
                name = ".".join(place)
                if kind == "SCHEMA":
                    self.privileges.add((role, what, kind, name))
                elif (kind, f"{name}.T") in self.owners:
                    self.privileges.add((role, what, kind, f"{name}.T"))

    # -- making -------------------------------------------------------------------------------

    def _may_make(self, role: str, database: str) -> bool:
        return self._owns(role, "DATABASE", database) or (
            self._has(role, "CREATE SCHEMA", "DATABASE", database)
            and self._has(role, "USAGE", "DATABASE", database)
        )

    def _make(self, place: Place, owner: str) -> None:
        self.schemas.add(place)
        name = ".".join(place)
        self.owners["SCHEMA", name] = owner
        for role, what, kind, around in self.future:
            if (kind, around) == ("SCHEMA", place[0]):
                self.privileges.add((role, what, "SCHEMA", name))
        self._fill(place, owner)

    def _fill(self, place: Place, owner: str) -> None:
        """A table and a view, with the future grants of the schema, or else of the database."""
        name = ".".join(place)
        for kind in ("TABLE", "VIEW"):
            self.owners[kind, f"{name}.T"] = owner
            of_schema = {one for one in self.future if one[2:] == (kind, name)}
            of_database = {one for one in self.future if one[2:] == (kind, place[0])}
            for role, what, *_ in of_schema or of_database:
                self.privileges.add((role, what, kind, f"{name}.T"))

    # -- asking -------------------------------------------------------------------------------

    def _with_inherited(self, role: str) -> set[str]:
        found, todo = {role}, [role]
        while todo:
            for one in self.granted.get(todo.pop(), set()) - found:
                found.add(one)
                todo.append(one)
        return found

    def held(self, role: str) -> set[tuple[str, str, str]]:
        """What a role may do with which object, its roles' rights included."""
        roles = self._with_inherited(role)
        return {(what, kind, name) for one, what, kind, name in self.privileges if one in roles}

    def _has(self, role: str, what: str, kind: str, name: str) -> bool:
        return self._owns(role, kind, name) or (what, kind, name) in self.held(role)

    def _owns(self, role: str, kind: str, name: str) -> bool:
        return self.owners.get((kind, name)) in self._with_inherited(role)

    def level(self, role: str, place: Place) -> str:
        """Whether a role builds in a schema, reads it or some of it, or neither."""
        name = ".".join(place)
        if place not in self.schemas or not self._has(role, "USAGE", "DATABASE", place[0]):
            return NOTHING
        held = self.held(role)
        if self._owns(role, "SCHEMA", name) or any(
            what not in {"USAGE", "SELECT"} and on in (name, f"{name}.T") for what, _, on in held
        ):
            return BUILDS
        if not self._has(role, "USAGE", "SCHEMA", name):
            return NOTHING
        kinds = ("TABLE",) if place[0] == RAW else ("TABLE", "VIEW")
        if all(self._has(role, "SELECT", kind, f"{name}.T") for kind in kinds):
            return READS
        return IN_PART


# -- the matrix ------------------------------------------------------------------------------------


def statements(declaration: Declaration) -> list[str]:
    """Every statement of a whole setup, in order."""
    return [sql for step in plan(declaration) for sql in step.statements]


def matrix(declaration: Declaration | None = None, prefix: str = "FIRN") -> str:
    """Who may do what, as a table in Markdown.

    Args:
        declaration: that of an account without choices if not given.
        prefix: what its names begin with.
    """
    found = rights(statements(declaration or declare()), prefix)
    names = [f"{prefix}_{role}" for role in ROLES]
    rows: list[tuple[str, list[str]]] = []
    for title, several in _areas().items():
        cells = []
        for role in names:
            levels = {found.levels[role, place] for place in several}
            cells.append(levels.pop() if len(levels) == 1 else IN_PART)
        rows.append((title, cells))
    for stage in STAGES:
        held = [_sorted(found.stages[role, stage]).lower() for role in names]
        rows.append((f"stage `{stage}`", held))
    for title, name in ((f"`{SAMPLE}`", SAMPLE), ("`SNOWFLAKE.ACCOUNT_USAGE`, usage", USAGE)):
        rows.append((title, [READS if name in found.shared[role] else "" for role in names]))
    rows.append(("warehouse", [_sorted(found.warehouses[role], "`{}`") for role in names]))
    rows.append(("account as a whole", [_sorted(found.account[role]).lower() for role in names]))
    lines = [["", *(f"`{name}`" for name in names)], ["---"] * (len(names) + 1)]
    lines += [[title, *(cell or "no" for cell in cells)] for title, cells in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _areas() -> dict[str, list[Place]]:
    """Schemas that are the same to everybody, by what they are called in the table."""
    return {
        f"`{RAW}`, each domain": [(RAW, name) for name in RAW_SCHEMAS],
        f"`{META}`": [(RAW, META.rpartition(".")[2])],
        f"`{PRODUCTION}.{MART}`": [(PRODUCTION, MART)],
        f"`{PRODUCTION}`, other schemas": [(PRODUCTION, name) for name in OTHERS],
        f"`{STAGING}.{MART}`": [(STAGING, MART)],
        f"`{STAGING}`, other schemas": [(STAGING, name) for name in OTHERS],
        f"`{REVIEW}`, schemas of pull requests": [(REVIEW, "PR_12_MART")],
        f"`{DEVELOPMENT}`, schemas of developers": [(DEVELOPMENT, "ADA_MART")],
    }


def _sorted(words: Iterable[str], form: str = "{}") -> str:
    return ", ".join(form.format(word) for word in sorted(words))
