"""The setup of an account against the local warehouse, which keeps what an account keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner, Result

from include.commands.firn import app
from include.delivery.account import grants_of_schema
from include.delivery.account.declaration import Options, declare
from include.delivery.account.plan import SetupRefusedError, Step, apply, look, plan
from include.delivery.account.privileges import rights, statements
from tests.conftest import Warehouse

Setup = Callable[..., Result]


@pytest.fixture
def account(own_warehouse: Warehouse) -> Warehouse:
    """A warehouse whose roles and grants no other test sees."""
    return own_warehouse


@pytest.fixture
def setup(account: Warehouse, clean_environment: pytest.MonkeyPatch) -> Setup:
    """Runs the command as for an account that the local warehouse plays."""
    for name, value in (account.settings().environment() | {"FIRN_TARGET": "prod"}).items():
        clean_environment.setenv(name, value)
    clean_environment.setenv("SNOWFLAKE_ACCOUNT", "local")

    def run(*arguments: str) -> Result:
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["setup", *arguments])

    return run


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three public keys."""
    folder = tmp_path_factory.mktemp("keys")
    found = []
    for number in range(3):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        file = folder / f"{number}.pub"
        public = serialization.PublicFormat.SubjectPublicKeyInfo
        file.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, public))
        found.append(file)
    return found


def test_it_shows_first_does_then_and_has_nothing_to_do_at_last(
    setup: Setup, account: Warehouse, keys: list[Path]
) -> None:
    given = ["--key", f"airflow={keys[0]}", "--key", f"github={keys[1]}", "--allow", "192.0.2.0/24"]

    shown = setup(*given)
    assert shown.exit_code == 0, shown.output
    assert "role FIRN_REPORTER  USERADMIN" in shown.output
    assert "USAGE on schema ANALYTICS.MART to FIRN_REPORTER  SECURITYADMIN" in shown.output
    assert "Nothing was done: add --apply" in shown.output
    with account.connect() as connection, connection.cursor() as cursor:
        cursor.execute("show roles like 'FIRN_%'")
        assert cursor.fetchall() == []

    done = setup("--apply", *given)
    assert done.exit_code == 0, done.output
    assert "Done:" in done.output

    again = setup("--apply", *given)
    assert again.exit_code == 0, again.output
    assert "Nothing to do: the account has all of it." in again.output
    assert "Would be" not in again.output


def test_what_an_account_holds_afterwards_is_what_the_matrix_says(
    setup: Setup, account: Warehouse
) -> None:
    """From its own answers, not from the statements that it was sent."""
    setup("--apply")
    declaration = declare(Options(public_keys={}))
    with account.connect() as connection, connection.cursor() as cursor:
        found = look(cursor, declaration)
    kinds = {"SCHEMA", "TABLE", "VIEW"}
    held = [
        f"grant {what} on {kind} {name} to role {role}"
        for role, what, kind, name in found.held
        if kind in {"DATABASE", *kinds, "STAGE", "WAREHOUSE"}
        and what != "OWNERSHIP"
        and name != "SNOWFLAKE_SAMPLE_DATA"
    ]
    future = [
        f"grant {what} on {when} {kind}s in {'schema' if '.' in around else 'database'} {around}"
        f" to role {role}"
        for role, what, kind, around in found.future
        for when in ("all", "future")
    ]
    owned = [
        f"grant ownership on {kind} {name} to role {role} copy current grants"
        for role, what, kind, name in found.held
        if what == "OWNERSHIP"
    ]
    made = [sql for sql in statements(declaration) if sql.startswith("create")]
    expected = rights(statements(declaration))
    answered = rights([*made, *owned, *held, *future])
    assert answered.levels == expected.levels
    assert answered.stages == expected.stages
    assert answered.warehouses == expected.warehouses


def test_what_was_changed_by_hand_is_found_and_put_right(setup: Setup, account: Warehouse) -> None:
    setup("--apply")
    with account.connect() as connection, connection.cursor() as cursor:
        for sql in (
            "alter warehouse FIRN_CI set auto_suspend = 3600 warehouse_size = 'LARGE'",
            "alter resource monitor FIRN_CI set credit_quota = 9000",
            "revoke select on future tables in schema ANALYTICS.MART from role FIRN_REPORTER",
            "grant ownership on database ANALYTICS to role FIRN_CI copy current grants",
            "alter database RAW set data_retention_time_in_days = 0",
        ):
            cursor.execute(sql)
    shown = setup("--apply")
    for line in (
        "warehouse FIRN_CI: LARGE, suspended after 3600 s, now XSMALL, 60 s",
        "resource monitor FIRN_CI: 9000 credits, now 30",
        "SELECT on all and future tables in schema ANALYTICS.MART to FIRN_REPORTER",
        "OWNERSHIP of database ANALYTICS to FIRN_TRANSFORMER",
        "database RAW: kept for 0 days, now 1",
        "Done: 5 steps",
    ):
        assert line in shown.output
    assert "Nothing to do" in setup().output


def test_what_a_role_holds_besides_is_told_of_and_left(setup: Setup, account: Warehouse) -> None:
    setup("--apply")
    assert "Not declared" not in setup().output
    by_hand = {
        "select on future tables in database RAW": "SELECT on future tables in database RAW",
        "select on table RAW.META.LOADS": "SELECT on tables in schema RAW.META",
        "usage on database ANALYTICS_CI": "USAGE on database ANALYTICS_CI",
        "usage on warehouse FIRN_CI": "USAGE on warehouse FIRN_CI",
        "manage grants on account": "MANAGE GRANTS on account",
    }
    with account.connect() as connection, connection.cursor() as cursor:
        for granted in by_hand:
            cursor.execute(f"grant {granted} to role FIRN_REPORTER")
        # What goes by a declared grant is none of these.
        cursor.execute("grant select on table ANALYTICS.MART.T to role FIRN_REPORTER")
        cursor.execute("grant usage on schema RAW.META to role FIRN_CI")
        cursor.execute("grant ownership on table RAW.META.LOADS to role FIRN_LOADER")
        cursor.execute("grant role FIRN_REPORTER to user ADA")
        told = setup("--apply").output
        assert f"Not declared, and left as it is ({len(by_hand)})" in told
        for line in by_hand.values():
            assert f"  {line}" in told
        assert "Nothing to do" in told
        for granted in by_hand:
            cursor.execute(f"revoke {granted} from role FIRN_REPORTER")
    assert "Not declared" not in setup().output


def test_a_key_is_changed_without_a_moment_in_which_none_opens(
    setup: Setup, account: Warehouse, keys: list[Path]
) -> None:
    setup("--apply", "--key", f"airflow={keys[0]}")
    second = setup("--apply", "--key", f"airflow={keys[1]}")
    assert "user FIRN_AIRFLOW: one more key" in second.output
    assert "Nothing to do" in setup("--key", f"airflow={keys[0]}").output
    assert "Nothing to do" in setup("--key", f"airflow={keys[1]}").output
    third = setup("--apply", "--key", f"airflow={keys[2]}")
    assert third.exit_code == 2
    assert "has two other keys already" in third.output
    with account.connect() as connection, connection.cursor() as cursor:
        cursor.execute("alter user FIRN_AIRFLOW unset rsa_public_key")
    assert "one more key" in setup("--apply", "--key", f"airflow={keys[2]}").output
    assert "Nothing to do" in setup("--key", f"airflow={keys[2]}").output


def test_it_stops_at_the_first_statement_that_is_refused(account: Warehouse) -> None:
    steps = [
        Step("create", "one", "SYSADMIN", ("create schema if not exists RAW.ONE",), "one"),
        Step("grant", "two", "SECURITYADMIN", ("grant usage on database RAW to role NOBODY",), "2"),
        Step("create", "three", "SYSADMIN", ("create schema if not exists RAW.THREE",), "three"),
    ]
    with account.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(SetupRefusedError) as caught:
            apply(cursor, steps)
        cursor.execute("show schemas in database RAW")
        names = {str(row[1]) for row in cursor.fetchall()}
    sentence = str(caught.value)
    assert sentence.startswith(
        "Step 2 of 3, `grant usage on database RAW to role NOBODY` as SECURITYADMIN, was refused ("
    )
    assert "Role 'NOBODY' does not exist or not authorized" in sentence
    assert "\n" not in sentence
    assert "ONE" in names
    assert "THREE" not in names


def test_everything_that_is_printed_runs_by_hand_and_again(
    setup: Setup, account: Warehouse, keys: list[Path]
) -> None:
    # The databases are there, and are as they should be.
    setup("--apply")
    printed = setup("--print", "--key", f"github={keys[1]}", "--prefix", "HAND")
    assert printed.exit_code == 0
    # The local warehouse has the sample, and knows no shares.
    text = "\n".join(line for line in printed.output.splitlines() if "from share" not in line)
    with account.connect() as connection:
        for _ in range(2):
            assert len(list(connection.execute_string(text))) > 100
        with connection.cursor() as cursor:
            declaration = declare(Options(prefix="HAND"))
            assert plan(declaration, look(cursor, declaration)) == []


def test_the_owner_of_a_cloned_schema_can_give_it_back_to_its_readers(account: Warehouse) -> None:
    with account.connect() as connection, connection.cursor() as cursor:
        for role in ("FIRN_REPORTER", "FIRN_CI", "FIRN_DEVELOPER"):
            cursor.execute(f"create role if not exists {role}")
        for sql in grants_of_schema("ANALYTICS_STAGING", "MART"):
            cursor.execute(sql)


def test_a_question_about_a_choice_that_cannot_be_is_answered_in_one_sentence(setup: Setup) -> None:
    refused = setup("--size", "ci=huge")
    assert refused.exit_code == 2
    assert refused.output.startswith("HUGE is no size of a warehouse: use one of XSMALL")
