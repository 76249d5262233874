"""What an account must have, declared once: who may do what, where, and why.

Names of databases are fixed, since the code and the models name them. Those of roles, warehouses,
resource monitors and users begin with a prefix. Every name is checked to be an identifier before it
becomes part of a statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Literal

from include.core.errors import UserError
from include.core.settings import AccountNames
from include.ingestion.sources import domains

PREFIX = "FIRN"

RAW = "RAW"
PRODUCTION = "ANALYTICS"
STAGING = "ANALYTICS_STAGING"
DEVELOPMENT = "ANALYTICS_DEV"
REVIEW = "ANALYTICS_CI"
DATABASES = (RAW, DEVELOPMENT, REVIEW, PRODUCTION, STAGING)
SAMPLE = "SNOWFLAKE_SAMPLE_DATA"
SAMPLE_SHARE = "SFC_SAMPLES.SAMPLE_DATA"
USAGE = "SNOWFLAKE.USAGE_VIEWER"
"""The database role that reads usage: QUERY_ATTRIBUTION_HISTORY and WAREHOUSE_METERING_HISTORY, but
not QUERY_HISTORY, which holds the text of everybody's statements."""

META = f"{RAW}.META"
LANDING = f"{META}.LANDING"
ARTIFACTS = f"{META}.ARTIFACTS"
MART = "MART"

Role = Literal["LOADER", "TRANSFORMER", "REPORTER", "CI", "DEVELOPER"]
ROLES: Mapping[Role, str] = {
    "LOADER": "Writes RAW: ingestion, its books, maintenance of both",
    "TRANSFORMER": "Reads RAW, builds and deploys ANALYTICS",
    "REPORTER": "Reads the marts of ANALYTICS",
    "CI": "Builds pull requests in ANALYTICS_CI",
    "DEVELOPER": "Builds schemas of one's own in ANALYTICS_DEV",
}

SIZES = (
    "XSMALL", "SMALL", "MEDIUM", "LARGE", "XLARGE", "XXLARGE", "XXXLARGE", "X4LARGE", "X5LARGE",
    "X6LARGE",
)  # fmt: skip
TIMEOUTS: Mapping[Role, int] = {
    "LOADER": 3600,
    "TRANSFORMER": 3600,
    "REPORTER": 600,
    "CI": 1800,
    "DEVELOPER": 1800,
}
"""Seconds after which a statement is cancelled. A task of Airflow has an hour, and no more."""
QUOTAS: Mapping[Role, int] = {
    "LOADER": 750,
    "TRANSFORMER": 750,
    "REPORTER": 50,
    "CI": 30,
    "DEVELOPER": 30,
}
"""Credits a month. An X-Small that never rests needs 744: a mistake alone stops pipelines."""
AUTO_SUSPEND = 60
NOTIFY, SUSPEND, SUSPEND_AT_ONCE = 75, 100, 110
"""Per cent of the quota."""

ACCOUNTADMIN, SECURITYADMIN, SYSADMIN, USERADMIN = (
    "ACCOUNTADMIN", "SECURITYADMIN", "SYSADMIN", "USERADMIN",
)  # fmt: skip

_IDENTIFIER = re.compile(r"[A-Z_][A-Z0-9_]{0,200}")


class SetupError(UserError):
    """The account cannot be set up as asked; the message says why and what to do."""


def identifier(name: str) -> str:
    """A name in upper case, fit to stand in a statement; parts are separated by dots.

    Raises:
        SetupError: it is none.
    """
    upper = name.strip().upper()
    if not all(_IDENTIFIER.fullmatch(part) for part in upper.split(".")):
        raise SetupError(
            f"{name!r} is not a name: use letters, digits and underscores, not a digit in front."
        )
    return upper


def warehouse_size(given: str) -> str:
    """A size as the declaration has it, from any way of writing it, such as 2X-Large or X2LARGE."""
    size = given.upper().replace("-", "")
    if match := re.fullmatch(r"X?([23])X?LARGE", size):
        return "X" * int(match[1]) + "LARGE"
    return re.sub(r"^X?([456])X?LARGE$", r"X\1LARGE", size)


def configured_prefix() -> str:
    """What the names of roles, warehouses, monitors and users begin with: FIRN_PREFIX, else FIRN.

    Raises:
        ConfigurationError: it has a dot.
        SetupError: it is no name.
    """
    return identifier(AccountNames().firn_prefix)


def text(value: str) -> str:
    """A text literal."""
    doubled = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"


# -- what is granted -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grant:
    """Privileges of a role, and why it needs them.

    Attributes:
        privileges: in Snowflake's words.
        kind: of what they are on: DATABASE, SCHEMA, STAGE, WAREHOUSE; or SCHEMAS, TABLES, VIEWS
            for all that there are and all that come.
        name: of that; of a plural, of the database or schema around them.
        role: who gets them.
        reason: what would fail without.
    """

    privileges: tuple[str, ...]
    kind: str
    name: str
    role: str
    reason: str

    @property
    def is_plural(self) -> bool:
        """Whether it is on all of a kind, present and future."""
        return self.kind.endswith("S")

    @property
    def around(self) -> str:
        """DATABASE or SCHEMA: what a plural is in."""
        return "SCHEMA" if "." in self.name else "DATABASE"

    def statements(self) -> list[str]:
        """In SQL; of a plural two: what there is, and what comes."""
        what = ", ".join(self.privileges).lower()
        if not self.is_plural:
            return [f"grant {what} on {self.kind.lower()} {self.name} to role {self.role}"]
        place = f"{self.kind.lower()} in {self.around.lower()} {self.name}"
        return [f"grant {what} on {when} {place} to role {self.role}" for when in ("all", "future")]


@dataclass(frozen=True)
class Ownership:
    """Who owns an object, and why it is not its creator."""

    kind: str
    name: str
    role: str
    reason: str

    def statements(self) -> list[str]:
        """In SQL; what is granted on the object already stays."""
        what = f"{self.kind.lower()} {self.name}"
        return [f"grant ownership on {what} to role {self.role} copy current grants"]


@dataclass(frozen=True)
class RoleGrant:
    """A role that another role, or a user, has."""

    granted: str
    to: str
    reason: str
    kind: Literal["ROLE", "USER"] = "ROLE"

    def statements(self) -> list[str]:
        """In SQL."""
        return [f"grant role {self.granted} to {self.kind.lower()} {self.to}"]


@dataclass(frozen=True)
class DatabaseRoleGrant:
    """A role of a shared database that an account role has."""

    granted: str
    to: str
    reason: str

    def statements(self) -> list[str]:
        """In SQL."""
        return [f"grant database role {self.granted} to role {self.to}"]


@dataclass(frozen=True)
class ImportedPrivileges:
    """All of a database that another account shares."""

    database: str
    to: str
    reason: str

    def statements(self) -> list[str]:
        """In SQL."""
        return [f"grant imported privileges on database {self.database} to role {self.to}"]


AnyGrant = Grant | Ownership | RoleGrant | DatabaseRoleGrant | ImportedPrivileges


# -- what there is ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Database:
    """A database.

    Attributes:
        name: its name.
        retention: days for which what was changed or dropped can be brought back.
        comment: what for.
    """

    name: str
    retention: int
    comment: str


@dataclass(frozen=True)
class Schema:
    """A schema that is needed before anybody has built anything in it."""

    name: str
    comment: str


@dataclass(frozen=True)
class Stage:
    """An internal stage. Files are loaded with formats that COPY names itself."""

    name: str
    comment: str


@dataclass(frozen=True)
class Warehouse:
    """A warehouse with the resource monitor of the same name.

    Attributes:
        name: its name and the monitor's.
        size: in Snowflake's words without a hyphen.
        timeout: seconds after which a statement is cancelled.
        quota: credits a month.
        comment: what for.
    """

    name: str
    size: str
    timeout: int
    quota: int
    comment: str


@dataclass(frozen=True)
class User:
    """A user of a service, which logs in with a key.

    Attributes:
        name: its name.
        default_role: the role of a session that names none.
        default_warehouse: its warehouse.
        comment: what for.
        public_key: base64 of the key to log in with; empty if none was given.
    """

    name: str
    default_role: str
    default_warehouse: str
    comment: str
    public_key: str = ""


@dataclass(frozen=True)
class Options:
    """What an administrator may choose.

    Attributes:
        prefix: how the names of roles, warehouses, monitors and users begin.
        retention_days: of RAW and ANALYTICS, 0 to 90; more than 1 needs Snowflake's Enterprise
            edition.
        sizes: of warehouses, by role.
        quotas: credits a month of warehouses, by role.
        public_keys: base64 of public keys, by service: AIRFLOW, GITHUB.
        addresses: IPv4 addresses, or ranges, that services may log in from; any if none is given.

    Raises:
        SetupError: a value cannot be used.
    """

    prefix: str = PREFIX
    retention_days: int = 1
    sizes: Mapping[str, str] = field(default_factory=dict)
    quotas: Mapping[str, int] = field(default_factory=dict)
    public_keys: Mapping[str, str] = field(default_factory=dict)
    addresses: Sequence[str] = ()

    def __post_init__(self) -> None:
        if "." in self.prefix:
            raise SetupError(f"The prefix {self.prefix!r} has a dot: use one word.")
        identifier(self.prefix)
        if not 0 <= self.retention_days <= 90:
            raise SetupError(f"Data can be kept for 0 to 90 days, not {self.retention_days}.")
        for what, chosen, known in (
            ("size", self.sizes, ROLES),
            ("quota", self.quotas, ROLES),
            ("key", self.public_keys, SERVICES),
        ):
            if unknown := sorted(set(chosen) - set(known)):
                raise SetupError(
                    f"There is a {what} for {unknown[0]}: use one of {', '.join(known)}."
                )
        for size in self.sizes.values():
            if size not in SIZES:
                raise SetupError(
                    f"{size} is no size of a warehouse: use one of {', '.join(SIZES)}."
                )
        for quota in self.quotas.values():
            if quota < 1:
                raise SetupError(f"A quota of {quota} credits is none: use a whole number above 0.")
        for address in self.addresses:
            try:
                IPv4Network(address, strict=False)
            except ValueError:
                raise SetupError(
                    f"{address!r} is no IPv4 address: give one such as 192.0.2.10 or 192.0.2.0/24."
                ) from None


@dataclass(frozen=True)
class Declaration:
    """All that an account must have, in the order in which it is made."""

    roles: Mapping[str, str]
    databases: tuple[Database, ...]
    schemas: tuple[Schema, ...]
    stages: tuple[Stage, ...]
    warehouses: tuple[Warehouse, ...]
    users: tuple[User, ...]
    policy: str
    addresses: tuple[str, ...]
    hierarchy: tuple[RoleGrant, ...]
    ownership: tuple[Ownership, ...]
    grants: tuple[Grant, ...]
    shared: tuple[ImportedPrivileges | DatabaseRoleGrant, ...]
    of_users: tuple[RoleGrant, ...]

    def all_grants(self) -> Iterator[AnyGrant]:
        """Everything that gives somebody a right."""
        yield from self.hierarchy
        yield from self.ownership
        yield from self.grants
        yield from self.shared
        yield from self.of_users


SERVICES: Mapping[str, tuple[Role, tuple[Role, ...], str]] = {
    "AIRFLOW": ("TRANSFORMER", ("LOADER", "TRANSFORMER"), "Airflow: pipelines and deployments"),
    "GITHUB": ("CI", ("CI",), "Continuous integration of pull requests"),
}
"""Users of services: the default role, all roles, and what for."""


def declare(options: Options | None = None) -> Declaration:
    """What an account must have.

    Raises:
        SetupError: a name cannot be used.
    """
    options = options or Options()
    prefix = identifier(options.prefix)

    def named(role: str) -> str:
        return f"{prefix}_{role}"

    return Declaration(
        roles={named(role): comment for role, comment in ROLES.items()},
        databases=_databases(options),
        schemas=(
            Schema(META, "Books of ingestion and of runs"),
            *(Schema(f"{RAW}.{identifier(one)}", f"Raw tables of {one}") for one in domains()),
            *(
                Schema(f"{database}.{MART}", "What reports are built on")
                for database in (PRODUCTION, STAGING)
            ),
        ),
        stages=(
            Stage(LANDING, "Files on their way into raw tables"),
            Stage(ARTIFACTS, "What dbt says about each deployed commit"),
        ),
        warehouses=tuple(
            Warehouse(
                named(role),
                options.sizes.get(role, SIZES[0]),
                TIMEOUTS[role],
                options.quotas.get(role, QUOTAS[role]),
                comment,
            )
            for role, comment in ROLES.items()
        ),
        users=tuple(
            User(
                named(service),
                named(default),
                named(default),
                comment,
                options.public_keys.get(service, ""),
            )
            for service, (default, _, comment) in SERVICES.items()
        ),
        policy=f"{prefix}_SERVICES",
        addresses=tuple(options.addresses),
        hierarchy=tuple(
            RoleGrant(named(role), SYSADMIN, "Who administers objects administers those of Firn")
            for role in ROLES
        ),
        ownership=_ownership(prefix),
        grants=(
            *(
                Grant(
                    ("USAGE",),
                    "WAREHOUSE",
                    named(role),
                    named(role),
                    "Each role runs on a warehouse of its own, whose costs are its own",
                )
                for role in ROLES
            ),
            *(grant for database in DATABASES for grant in database_grants(database, prefix)),
            *(
                Grant(("READ",), "STAGE", ARTIFACTS, named(role), reason)
                for role, reason in (
                    ("TRANSFORMER", "A deployment looks at the artifacts of the one before"),
                    ("CI", "A pull request is compared with the manifest of production"),
                )
            ),
        ),
        shared=(
            *(
                ImportedPrivileges(SAMPLE, named(role), "The models of tpch read the sample")
                for role in ("TRANSFORMER", "CI", "DEVELOPER")
            ),
            DatabaseRoleGrant(USAGE, named("TRANSFORMER"), "The cost models read what was used"),
        ),
        of_users=tuple(
            RoleGrant(named(role), named(service), f"{comment}", "USER")
            for service, (_, roles, comment) in SERVICES.items()
            for role in roles
        ),
    )


def _databases(options: Options) -> tuple[Database, ...]:
    days = options.retention_days
    return (
        Database(RAW, days, "What was delivered, as it was delivered"),
        # Other people's work in progress, and work that a pull request can make again.
        Database(DEVELOPMENT, min(days, 1), "Schemas of developers"),
        Database(REVIEW, 0, "Schemas of pull requests"),
        Database(PRODUCTION, days, "What is built for everybody"),
        # Swapped with ANALYTICS by each deployment, retention included.
        Database(STAGING, days, "What is built to replace ANALYTICS, and then what it replaced"),
    )


def _ownership(prefix: str) -> tuple[Ownership, ...]:
    loader, transformer = f"{prefix}_LOADER", f"{prefix}_TRANSFORMER"
    builds = "dbt makes and drops schemas in it, and only an owner of both may swap two databases"
    loads = "Ingestion makes tables, load tables and stages in it, and drops them"
    return (
        *(Ownership("DATABASE", one, transformer, builds) for one in (PRODUCTION, STAGING)),
        *(
            Ownership("SCHEMA", f"{RAW}.{one}", loader, loads)
            for one in ("META", *map(identifier, domains()))
        ),
        *(
            Ownership("SCHEMA", f"{one}.{MART}", transformer, "dbt builds the marts in it")
            for one in (PRODUCTION, STAGING)
        ),
        Ownership("STAGE", LANDING, loader, "Ingestion puts files there and removes them"),
        Ownership("STAGE", ARTIFACTS, loader, "All of RAW.META belongs to one role"),
    )


def database_grants(database: str, prefix: str = PREFIX) -> list[Grant]:
    """What roles other than its owner may do with a database and in it.

    Raises:
        SetupError: it is none of those declared.
    """
    prefix = identifier(prefix)
    readers, builders = _readers(database), _builders(database)
    found = [
        Grant(
            ("USAGE", "CREATE SCHEMA"),
            "DATABASE",
            database,
            f"{prefix}_{role}",
            reason,
        )
        for role, reason in builders.items()
    ]
    for role, (marts_only, reason) in readers.items():
        name = f"{prefix}_{role}"
        found.append(Grant(("USAGE",), "DATABASE", database, name, reason))
        if not marts_only:
            found.append(Grant(("USAGE",), "SCHEMAS", database, name, reason))
            # RAW holds tables alone.
            for kind in ("TABLES",) if database == RAW else ("TABLES", "VIEWS"):
                found.append(Grant(("SELECT",), kind, database, name, reason))
    if database in (PRODUCTION, STAGING):
        found += schema_grants(database, MART, prefix)
    return found


def schema_grants(
    database: str, schema: str, prefix: str = PREFIX, *, cloned: bool = False
) -> list[Grant]:
    """What roles other than its owner may do with a schema of a database and in it.

    Where a schema has future grants of its own, Snowflake leaves those of its database aside: so
    the marts', which the reporter may read, name every reader.

    Args:
        database: one of those declared.
        schema: its name.
        prefix: what the names of roles begin with.
        cloned: also what the future grants of the database give to a schema that is created.

    Raises:
        SetupError: the database is none of those declared, or the schema's name is none.
    """
    prefix, schema = identifier(prefix), identifier(schema)
    if "." in schema:
        raise SetupError(f"{schema} has a dot: give the schema's name alone.")
    found = []
    for role, (marts_only, reason) in _readers(database).items():
        if marts_only and schema != MART:
            continue
        name, place = f"{prefix}_{role}", f"{database}.{schema}"
        if marts_only or cloned:
            found.append(Grant(("USAGE",), "SCHEMA", place, name, reason))
        if schema == MART:
            found += [Grant(("SELECT",), kind, place, name, reason) for kind in ("TABLES", "VIEWS")]
    return found


def _readers(database: str) -> Mapping[Role, tuple[bool, str]]:
    """Who reads a database: whether its marts alone, and why."""
    compared = "A pull request is compared with production, and its tables are cloned from there"
    return {
        RAW: {
            "TRANSFORMER": (False, "Models read raw tables, reports and summaries the books"),
            "CI": (False, "Models of a pull request read raw tables"),
            "DEVELOPER": (False, "Models of a developer read raw tables"),
        },
        DEVELOPMENT: {},
        REVIEW: {},
        PRODUCTION: {
            "REPORTER": (True, "Reports and clients read marts"),
            "CI": (False, compared),
            "DEVELOPER": (False, "A developer compares with production, and defers to it"),
        },
        STAGING: {
            "REPORTER": (True, "Grants go along in the swap that makes this ANALYTICS"),
            "CI": (False, "Grants go along in the swap that makes this ANALYTICS"),
            "DEVELOPER": (False, "Grants go along in the swap that makes this ANALYTICS"),
        },
    }[_declared(database)]  # type: ignore[return-value]


def _builders(database: str) -> Mapping[Role, str]:
    """Who makes schemas in a database without owning it, and why."""
    return {
        RAW: {"LOADER": "Ingestion makes the schema of a domain, unless there is one"},
        DEVELOPMENT: {"DEVELOPER": "A developer's schemas are made by dbt"},
        REVIEW: {"CI": "The schemas of a pull request are made by dbt, and dropped"},
        PRODUCTION: {},
        STAGING: {},
    }[_declared(database)]  # type: ignore[return-value]


def _declared(database: str) -> str:
    if database not in DATABASES:
        raise SetupError(f"{database} is not one of Firn's databases: {', '.join(DATABASES)}.")
    return database
