"""The setup of an account: what each role may do by it, and what the command is given."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import sqlglot
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from typer.testing import CliRunner

from include.commands.firn import app
from include.delivery.account import grants_of_database, grants_of_schema
from include.delivery.account.command import read_options, read_public_key
from include.delivery.account.declaration import (
    PRODUCTION,
    SIZES,
    STAGING,
    Declaration,
    Grant,
    Options,
    SetupError,
    declare,
    warehouse_size,
)
from include.delivery.account.plan import Found, fingerprint, left_out, plan, script
from include.delivery.account.privileges import OTHERS, Rights, matrix, places, rights, statements
from include.ingestion.sources import domains
from include.warehouse.connection import REPOSITORY

KEY = "MIIB"
ALL = Options(public_keys={"AIRFLOW": KEY, "GITHUB": KEY})

LOADER, TRANSFORMER, REPORTER, CI, DEVELOPER = (
    "FIRN_LOADER", "FIRN_TRANSFORMER", "FIRN_REPORTER", "FIRN_CI", "FIRN_DEVELOPER",
)  # fmt: skip
ROLES = (LOADER, TRANSFORMER, REPORTER, CI, DEVELOPER)

BUILDS = {
    **{("RAW", name): LOADER for name in ("META", "NEXT_DOMAIN", *map(str.upper, domains()))},
    **{(db, name): TRANSFORMER for db in (PRODUCTION, STAGING) for name in ("MART", *OTHERS)},
    ("ANALYTICS_CI", "PR_12_MART"): CI,
    ("ANALYTICS_DEV", "ADA_MART"): DEVELOPER,
}
READS = {
    "RAW": {TRANSFORMER, CI, DEVELOPER},
    "ANALYTICS": {CI, DEVELOPER},
    "ANALYTICS_STAGING": {CI, DEVELOPER},
    "ANALYTICS_CI": set(),
    "ANALYTICS_DEV": set(),
}
OWNS, ENTERS, MAKES = {"OWNERSHIP"}, {"USAGE"}, {"USAGE", "CREATE SCHEMA"}
OF_DATABASES = {
    "RAW": {LOADER: MAKES, TRANSFORMER: ENTERS, CI: ENTERS, DEVELOPER: ENTERS},
    "ANALYTICS": {TRANSFORMER: OWNS, REPORTER: ENTERS, CI: ENTERS, DEVELOPER: ENTERS},
    "ANALYTICS_STAGING": {TRANSFORMER: OWNS, REPORTER: ENTERS, CI: ENTERS, DEVELOPER: ENTERS},
    "ANALYTICS_CI": {CI: MAKES},
    "ANALYTICS_DEV": {DEVELOPER: MAKES},
}


def wrong(found: Rights) -> list[str]:
    """What a role may do and should not, or should and may not."""
    problems = []
    for place, builder in BUILDS.items():
        readers = READS[place[0]] | ({REPORTER} if place[1] == "MART" else set())
        for role in ROLES:
            expected = "builds" if role == builder else "reads" if role in readers else ""
            if found.levels[role, place] != expected:
                problems.append(f"{role} {found.levels[role, place] or 'nothing'} in {place}")
    for database, expected_of in OF_DATABASES.items():
        for role in ROLES:
            if found.databases[role, database] != expected_of.get(role, set()):
                problems.append(f"{role} {set(found.databases[role, database])} on {database}")
    for role in ROLES:
        landing = {LOADER: {"OWNERSHIP"}}
        artifacts = landing | {TRANSFORMER: {"READ"}, CI: {"READ"}}
        for stage, expected_there in (
            ("RAW.META.LANDING", landing),
            ("RAW.META.ARTIFACTS", artifacts),
        ):
            if found.stages[role, stage] != expected_there.get(role, set()):
                problems.append(f"{role} {found.stages[role, stage]} on {stage}")
        if found.warehouses[role] != {role}:
            problems.append(f"{role} uses {found.warehouses[role]}")
        sample = {"SNOWFLAKE_SAMPLE_DATA"} if role in {TRANSFORMER, CI, DEVELOPER} else set()
        usage = {"SNOWFLAKE.USAGE_VIEWER"} if role == TRANSFORMER else set()
        if found.shared[role] != sample | usage:
            problems.append(f"{role} reads {found.shared[role]}")
        if found.account[role]:
            problems.append(f"{role} {found.account[role]} on the account")
    if found.system:
        problems.append(f"roles of Snowflake's own are given away: {found.system}")
    if found.administered != set(ROLES):
        problems.append(f"SYSADMIN has {found.administered}")
    if found.users != {"FIRN_AIRFLOW": {LOADER, TRANSFORMER}, "FIRN_GITHUB": {CI}}:
        problems.append(f"users have {found.users}")
    return problems


def idle(declaration: Declaration) -> list[str]:
    """What is granted and changes nothing that anybody may do."""
    steps = [step.statements for step in plan(declaration)]
    everything = [sql for one in steps for sql in one]
    complete = rights(everything)
    found = []
    for at, granted in enumerate(steps):
        if granted[0].startswith("grant"):
            rest = [sql for place, one in enumerate(steps) if place != at for sql in one]
            if rights(rest) == complete:
                found.append(granted[0])
    return found


def test_each_role_may_do_what_it_needs_and_nothing_else() -> None:
    assert set(places()) == set(BUILDS)
    assert wrong(rights(statements(declare(ALL)))) == []


def test_every_grant_is_needed() -> None:
    assert idle(declare(ALL)) == []


def test_a_grant_that_is_taken_away_is_missed() -> None:
    everything = statements(declare(ALL))
    grants = [sql for sql in everything if sql.startswith("grant")]
    assert len(grants) > 80
    for taken in grants:
        # Of all there is and all that comes the second is what counts for a new account.
        if re.search(r" on all (tables|views) in schema .* to role FIRN_(CI|DEVELOPER)", taken):
            continue
        assert wrong(rights([sql for sql in everything if sql != taken])), taken


@pytest.mark.parametrize(
    "added",
    [
        "grant usage on database RAW to role FIRN_REPORTER",
        "grant select on future tables in schema ANALYTICS.STAGING to role FIRN_REPORTER",
        "grant usage on future schemas in database ANALYTICS to role FIRN_REPORTER",
        "grant usage on database ANALYTICS_CI to role FIRN_REPORTER",
        "grant usage on database ANALYTICS to role FIRN_LOADER",
        "grant role FIRN_TRANSFORMER to role FIRN_LOADER",
        "grant role FIRN_LOADER to role FIRN_CI",
        "grant role ACCOUNTADMIN to role FIRN_TRANSFORMER",
        "grant role ACCOUNTADMIN to user FIRN_AIRFLOW",
        "grant role SECURITYADMIN to role FIRN_DEVELOPER",
        "grant role FIRN_LOADER to user FIRN_GITHUB",
        "grant manage grants on account to role FIRN_TRANSFORMER",
        "grant create database on account to role FIRN_TRANSFORMER",
        "grant create schema on database RAW to role FIRN_CI",
        "grant create schema on database ANALYTICS to role FIRN_CI",
        "grant insert on future tables in database RAW to role FIRN_CI",
        "grant insert on future tables in schema ANALYTICS.MART to role FIRN_DEVELOPER",
        "grant ownership on schema ANALYTICS.MART to role FIRN_CI copy current grants",
        "grant ownership on database ANALYTICS to role FIRN_CI copy current grants",
        "grant usage on warehouse FIRN_TRANSFORMER to role FIRN_CI",
        "grant modify, operate on warehouse FIRN_CI to role FIRN_CI",
        "grant modify on database ANALYTICS to role FIRN_CI",
        "grant create function on schema RAW.META to role FIRN_CI",
        "grant create procedure on future schemas in database RAW to role FIRN_DEVELOPER",
        "grant references on future tables in schema ANALYTICS.MART to role FIRN_CI",
        "grant usage on all schemas in database ANALYTICS to role FIRN_REPORTER",
        "grant write on stage RAW.META.ARTIFACTS to role FIRN_CI",
        "grant write on stage RAW.META.ARTIFACTS to role FIRN_TRANSFORMER",
        "grant imported privileges on database SNOWFLAKE_SAMPLE_DATA to role FIRN_REPORTER",
        "grant imported privileges on database SNOWFLAKE to role FIRN_TRANSFORMER",
        "grant database role SNOWFLAKE.GOVERNANCE_VIEWER to role FIRN_TRANSFORMER",
    ],
)
def test_a_grant_too_many_is_found(added: str) -> None:
    assert wrong(rights([*statements(declare(ALL)), added]))


def test_a_grant_in_words_that_are_not_known_is_not_passed_over() -> None:
    for sql in (
        "grant all on future stages in schema RAW.META to role FIRN_CI",
        "grant select on table x to share s",
        "revoke usage on database RAW from role FIRN_CI",
    ):
        with pytest.raises(ValueError, match="not understood"):
            rights([sql])


def test_the_reporter_of_everything_before_the_setup_reads_no_more_than_the_marts() -> None:
    found = rights(statements(declare(ALL)))
    readable = {
        place for (role, place), level in found.levels.items() if role == REPORTER and level
    }
    assert readable == {("ANALYTICS", "MART"), ("ANALYTICS_STAGING", "MART")}


# -- swapping and cloning --------------------------------------------------------------------------


def test_what_is_swapped_carries_the_same_grants() -> None:
    def of(database: str) -> set[str]:
        mark = f" {database}"
        return {
            re.sub(rf"\b{database}\b", "X", sql)
            for sql in statements(declare(ALL))
            if sql.startswith("grant") and re.search(rf"{mark}\b(?!_)", sql)
        }

    assert of(PRODUCTION) == of(STAGING)
    assert len(of(PRODUCTION)) > 20
    days = {one.name: one.retention for one in declare(ALL).databases}
    assert days[PRODUCTION] == days[STAGING]


def test_a_cloned_schema_is_given_back_to_its_readers() -> None:
    of_marts = grants_of_schema(STAGING, "mart")
    assert [sql for sql in of_marts if "usage" in sql] == [
        f"grant usage on schema ANALYTICS_STAGING.MART to role {role}"
        for role in (REPORTER, CI, DEVELOPER)
    ]
    assert len(of_marts) == 3 + 3 * 2 * 2
    assert grants_of_schema(STAGING, "staging") == [
        f"grant usage on schema ANALYTICS_STAGING.STAGING to role {role}"
        for role in (CI, DEVELOPER)
    ]
    assert set(grants_of_database(STAGING)) < set(statements(declare(ALL)))
    with pytest.raises(SetupError, match="not one of Firn's databases"):
        grants_of_schema("OTHERS", "mart")
    with pytest.raises(SetupError, match="is not a name"):
        grants_of_schema(STAGING, "mart; drop database RAW")


# -- the statements --------------------------------------------------------------------------------


def test_every_statement_is_one_statement_of_snowflake() -> None:
    options = replace(ALL, addresses=("192.0.2.0/24",))
    for sql in statements(declare(options)):
        assert len(sqlglot.parse(sql, read="snowflake")) == 1, sql
        assert ";" not in sql, sql


def test_statements_can_be_run_again() -> None:
    for sql in statements(declare(ALL)):
        if sql.startswith("create") and "from share" not in sql:
            assert " if not exists " in sql, sql
        assert not re.search(r"\bor replace\b|\bdrop\b", sql), sql


def test_warehouses_cost_nothing_while_nobody_asks() -> None:
    created = [sql for sql in statements(declare(ALL)) if sql.startswith("create warehouse")]
    assert len(created) == len(ROLES)
    for sql in created:
        for limit in ("'XSMALL'", "auto_suspend = 60", "initially_suspended = true"):
            assert limit in sql, sql
        assert re.search(r"statement_timeout_in_seconds = \d{3,4} ", sql)
    monitors = [sql for sql in statements(declare(ALL)) if "create resource monitor" in sql]
    assert len(monitors) == len(ROLES)
    assert all("100 percent do suspend" in sql for sql in monitors)


def test_services_have_keys_and_no_password_and_no_secondary_roles() -> None:
    created = [sql for sql in statements(declare(ALL)) if sql.startswith("create user")]
    assert len(created) == 2
    for sql in created:
        assert "type = service" in sql
        assert "rsa_public_key = 'MIIB'" in sql
        assert "default_secondary_roles = ()" in sql
        assert "password" not in sql
    assert "create user" not in "\n".join(statements(declare()))
    assert [one for one in left_out(declare()) if "is not made" in one]


def test_a_network_policy_is_set_when_addresses_are_given_and_shown_otherwise() -> None:
    assert "network policy" not in "\n".join(statements(declare(ALL)))
    shown = script(declare(ALL))
    assert "\n--   create network policy if not exists FIRN_SERVICES" in shown
    made = script(declare(replace(ALL, addresses=("192.0.2.0/24",))))
    assert "\ncreate network policy if not exists FIRN_SERVICES allowed_ip_list = (" in made
    assert "\nalter user FIRN_GITHUB set network_policy = FIRN_SERVICES;" in made


def test_the_printed_script_takes_up_a_role_before_what_it_does() -> None:
    role, seen = "", 0
    for line in script(declare(ALL)).splitlines():
        if match := re.fullmatch(r"use role (\w+);", line):
            role = match[1]
        elif line.startswith("grant ") and " on " in line and "imported" not in line:
            assert role == "SECURITYADMIN", line
            seen += 1
        elif line.startswith("create user"):
            assert role == "USERADMIN", line
        elif line.startswith("create resource monitor"):
            assert role == "ACCOUNTADMIN", line
    assert seen > 70


def test_grants_after_cloning_go_to_roles_of_the_configured_prefix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIRN_PREFIX", "shop")
    granted = [*grants_of_schema(STAGING, "mart"), *grants_of_database(STAGING)]
    assert all(re.search(r" to role SHOP_\w+$", sql) for sql in granted)
    printed = CliRunner().invoke(app, ["setup", "--print"])
    assert "create role if not exists SHOP_LOADER" in printed.output
    assert "FIRN_" not in printed.output
    monkeypatch.setenv("FIRN_PREFIX", "a.b")
    refused = CliRunner().invoke(app, ["setup", "--print"])
    assert refused.exit_code == 2
    assert (
        "FIRN_PREFIX is 'a.b' in the environment: set it to one word, without a dot."
        in refused.output
    )


@pytest.mark.parametrize(
    ("shown", "size"),
    [
        ("X-Small", "XSMALL"), ("Medium", "MEDIUM"), ("X-Large", "XLARGE"),
        ("2X-Large", "XXLARGE"), ("X2LARGE", "XXLARGE"), ("XXLARGE", "XXLARGE"),
        ("3X-Large", "XXXLARGE"), ("X3LARGE", "XXXLARGE"), ("4X-Large", "X4LARGE"),
        ("X6LARGE", "X6LARGE"),
    ],
)  # fmt: skip
def test_a_size_is_the_same_however_it_is_written(shown: str, size: str) -> None:
    assert warehouse_size(shown) == size
    assert size in SIZES
    assert read_options("FIRN", 1, [f"CI={shown}"], [], [], []).sizes == {"CI": size}


def test_names_begin_with_the_prefix() -> None:
    text = "\n".join(statements(declare(Options(prefix="shop"))))
    assert "SHOP_TRANSFORMER" in text
    assert "FIRN_" not in text
    assert wrong(rights(statements(declare(ALL)))) == []
    assert "`SHOP_CI`" in matrix(declare(Options(prefix="shop")), "SHOP")


def test_a_second_key_takes_the_free_place_and_a_third_is_refused() -> None:
    declaration = declare(Options(public_keys={"AIRFLOW": KEY}))

    def keys(first: str, second: str) -> list[str]:
        users = {"FIRN_AIRFLOW": {"RSA_PUBLIC_KEY_FP": first, "RSA_PUBLIC_KEY_2_FP": second}}
        steps = plan(declaration, Found(users=users))
        return [sql for step in steps for sql in step.statements if "public_key" in sql]

    assert keys("SHA256:a", "") == [f"alter user FIRN_AIRFLOW set rsa_public_key_2 = '{KEY}'"]
    assert keys("null", "SHA256:b") == [f"alter user FIRN_AIRFLOW set rsa_public_key = '{KEY}'"]
    assert keys("SHA256:a", fingerprint(KEY)) == []
    with pytest.raises(SetupError, match="two other keys"):
        keys("SHA256:a", "SHA256:b")


# -- what the command is given ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"prefix": "a; b"}, "'a; b' is not a name"),
        ({"prefix": "a.b"}, "has a dot"),
        ({"retention_days": 91}, "0 to 90 days"),
        ({"sizes": ["CI=HUGE"]}, "HUGE is no size of a warehouse"),
        ({"sizes": ["CI"]}, "--size CI is not of the form --size TRANSFORMER=SMALL"),
        ({"quotas": ["CI=many"]}, "--quota CI=many is no whole number"),
        ({"quotas": ["CI=0"]}, "use a whole number above 0"),
        ({"quotas": ["CHEF=1"]}, "There is a quota for CHEF: use one of LOADER"),
        ({"addresses": ["example.com"]}, "'example.com' is no IPv4 address"),
        ({"addresses": ["1.2.3.4') --"]}, "is no IPv4 address"),
        ({"addresses": ["999.1.1.1"]}, "is no IPv4 address"),
    ],
)
def test_what_cannot_be_used_is_told(given: dict[str, object], sentence: str) -> None:
    nothing = {
        "prefix": "FIRN", "retention_days": 1, "sizes": [], "quotas": [], "keys": [],
        "addresses": [],
    }  # fmt: skip
    with pytest.raises(SetupError, match=re.escape(sentence)):
        read_options(**(nothing | given))  # type: ignore[arg-type]


def test_a_public_key_is_read_from_its_file(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = tmp_path / "rsa_key.pub"
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    file.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, public))
    options = read_options("FIRN", 1, ["ci=x-small"], ["ci=5"], [f"airflow={file}"], [])
    assert options.public_keys["AIRFLOW"].startswith("MII")
    assert "\n" not in options.public_keys["AIRFLOW"]
    assert (options.sizes, options.quotas) == ({"CI": "XSMALL"}, {"CI": 5})


def test_what_is_no_public_key_is_refused_and_not_repeated(tmp_path: Path) -> None:
    pem = serialization.Encoding.PEM
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    for name, content, sentence in (
        ("private", private, "holds a private key"),
        ("none", b"not a key", "holds no public key"),
        ("curve", curve.public_bytes(pem, public), "a key that Snowflake does not take"),
    ):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(SetupError, match=sentence) as caught:
            read_public_key(file)
        assert "-----" not in str(caught.value)
    with pytest.raises(SetupError, match="cannot be read"):
        read_public_key(tmp_path / "missing")


def test_a_reason_stands_at_every_grant() -> None:
    for grant in declare(ALL).all_grants():
        assert len(grant.reason.split()) >= 2, grant
        if isinstance(grant, Grant):
            assert len(grant.reason.split()) >= 4, grant


# -- the documentation -----------------------------------------------------------------------------


def test_the_matrix_in_the_documentation_is_the_one_that_is_printed() -> None:
    page = (REPOSITORY / "docs" / "roles.md").read_text(encoding="utf-8")
    assert matrix() in page, "print it with `firn setup --matrix`"
