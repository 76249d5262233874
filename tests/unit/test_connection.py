"""Connection settings: one definition for the connector, for dbt, and for child processes."""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fakesnow
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dbt.adapters.snowflake.connections import SnowflakeCredentials
from dbt.config.profile import Profile, read_profile
from dbt.config.renderer import ProfileRenderer
from dbt.flags import set_from_args
from dbt_common.context import set_invocation_context
from hypothesis import given
from hypothesis import strategies as st
from snowflake.connector.errors import DatabaseError

from include.core.settings import operating_system_user
from include.warehouse.connection import (
    REPOSITORY,
    ConfigurationError,
    ConnectionSettings,
    WarehouseUnreachableError,
    connect,
    get_settings,
)

PASSWORD = "p4ss{{ word }}'\"\\ None"
PASSPHRASE = "0123"
HERE = " in the environment"

ACCOUNT = {
    "SNOWFLAKE_ACCOUNT": "my_org-Account",
    "SNOWFLAKE_USER": "ada@example.com",
    "SNOWFLAKE_WAREHOUSE": "transforming",
}


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key file.p8"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSPHRASE.encode()),
        )
    )
    return path


@pytest.fixture(autouse=True)
def _environment(clean_environment: pytest.MonkeyPatch) -> None:
    """No test here sees a setting it did not make."""


def set_all(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def problems(**values: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        ConnectionSettings(**values)
    return caught.value.problems


def dbt_profile(environment: Mapping[str, str]) -> Profile:
    """The profile dbt itself makes of profiles.yml under this environment."""
    set_from_args(argparse.Namespace(PROFILES_DIR=str(REPOSITORY / "dbt")), {})
    set_invocation_context(environment)
    return Profile.from_raw_profile_info(
        raw_profile=read_profile(str(REPOSITORY / "dbt"))["firn"],
        profile_name="firn",
        renderer=ProfileRenderer({}),
    )


def dbt_credentials(environment: Mapping[str, str]) -> SnowflakeCredentials:
    credentials = dbt_profile(environment).credentials
    assert isinstance(credentials, SnowflakeCredentials)
    return credentials


# -- defaults and sources --------------------------------------------------------------------------


def test_local_needs_nothing_and_stays_on_this_machine(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clean_environment.setenv("FIRN_HOME", str(tmp_path))
    settings = get_settings()
    # As the local warehouse does when it starts.
    settings.local_login.make()
    arguments = settings.connector_arguments()
    assert settings.is_local
    assert {name: arguments[name] for name in ("account", "user", "password", "host")} == {
        "account": "local",
        "user": "firn",
        "password": (tmp_path / "local_password").read_text(),
        "host": "127.0.0.1",
    }
    assert (arguments["port"], arguments["protocol"]) == (8480, "http")
    assert arguments["session_parameters"]["CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED"] is False


def test_environment_goes_before_the_file_and_the_file_before_the_default(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.env"
    file.write_text("FIRN_LOCAL_PORT=9001\nFIRN_USER=ada\nFIRN_DBT_THREADS=\n")
    set_all(clean_environment, {"FIRN_ENV_FILE": str(file), "FIRN_LOCAL_PORT": "9002"})
    settings = get_settings()
    assert (settings.port, settings.firn_user, settings.firn_dbt_threads) == (9002, "ada", 4)


def test_a_file_that_is_no_text_is_named(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.env"
    file.write_bytes(b"FIRN_USER=\xff\xfe")
    clean_environment.setenv("FIRN_ENV_FILE", str(file))
    assert problems() == [f"{file} cannot be read (UnicodeDecodeError): save it as UTF-8 text."]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ada", "ada"), ("Ada.Lovelace", "ada_lovelace"), ("1ada", "_1ada"), ("O'Neil é", "o_neil__")],
)
def test_the_machine_s_user_becomes_an_identifier(
    clean_environment: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    clean_environment.setenv("LOGNAME", name)
    assert get_settings().schema_prefix == f"{expected}_"
    assert dbt_credentials({"LOGNAME": name}).schema == expected


def test_without_a_user_name_there_is_still_a_prefix(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    for name in ("LOGNAME", "USER", "USERNAME"):
        clean_environment.delenv(name, raising=False)
    assert get_settings().default_schema == dbt_credentials({}).schema == "firn"


@given(name=st.text(st.characters(exclude_characters="\x00", codec="utf-8"), min_size=1))
def test_any_user_name_gives_the_identifier_that_dbt_finds(name: str) -> None:
    user = operating_system_user({"USER": name})
    assert user.isidentifier()
    assert user.isascii()
    assert dbt_credentials({"USER": name}).schema == user


def test_folders_lie_under_home(tmp_path: Path) -> None:
    settings = ConnectionSettings(firn_home=tmp_path)
    assert settings.warehouse_home == tmp_path / "warehouse"
    assert settings.airflow_home == tmp_path / "airflow"
    assert settings.dbt_home == tmp_path / "dbt"
    assert settings.logs_home == tmp_path / "logs"
    assert settings.run_home == tmp_path / "run"


def test_a_relative_home_starts_at_the_repository_wherever_one_stands(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clean_environment.chdir(tmp_path)
    assert ConnectionSettings(firn_home=Path("data")).home == REPOSITORY / "data"


@pytest.mark.parametrize(
    ("target", "database", "prefix", "schema"),
    [
        ("local", "ANALYTICS_DEV", "ada_", "ada"),
        ("dev", "ANALYTICS_DEV", "ada_", "ada"),
        ("ci", "ANALYTICS_CI", "pr_12_", "pr_12"),
        ("prod", "ANALYTICS", "", "public"),
    ],
)
def test_database_and_schemas_follow_the_target(
    clean_environment: pytest.MonkeyPatch, target: str, database: str, prefix: str, schema: str
) -> None:
    set_all(
        clean_environment,
        ACCOUNT
        | {"SNOWFLAKE_PASSWORD": PASSWORD, "FIRN_USER": "ada", "FIRN_PR_NUMBER": "12"}
        | {"FIRN_TARGET": target},
    )
    settings = get_settings()
    profile = dbt_profile(settings.environment())
    assert (settings.database, settings.schema_prefix) == (database, prefix)
    assert settings.default_schema == schema
    assert (profile.credentials.database, profile.credentials.schema) == (database, schema)


# -- the same connection through dbt ---------------------------------------------------------------


def authentications(key_file: Path) -> dict[str, dict[str, str]]:
    key = {
        "SNOWFLAKE_PRIVATE_KEY_PATH": str(key_file),
        "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": PASSPHRASE,
    }
    password = {"SNOWFLAKE_PASSWORD": PASSWORD}
    empty = {"SNOWFLAKE_AUTHENTICATOR": "", "SNOWFLAKE_ROLE": "", "SNOWFLAKE_HOST": ""}
    return {
        "password": password,
        "password, others empty": password | empty | dict.fromkeys(key, ""),
        "key pair": key,
        "key pair, others empty": key | empty | {"SNOWFLAKE_PASSWORD": ""},
        "browser": {"SNOWFLAKE_AUTHENTICATOR": "ExternalBrowser"},
        "browser among others": {"SNOWFLAKE_AUTHENTICATOR": "externalbrowser"} | key | password,
        "password chosen": {"SNOWFLAKE_AUTHENTICATOR": " snowflake "} | key | password,
        "key pair chosen": {"SNOWFLAKE_AUTHENTICATOR": "SNOWFLAKE_JWT"} | key | password,
        "role and host": password
        | {"SNOWFLAKE_ROLE": "transformer", "SNOWFLAKE_HOST": "firn.privatelink.example.com"},
    }


@pytest.mark.parametrize("handed_on", [False, True], ids=["by hand", "by a command"])
@pytest.mark.parametrize("target", ["dev", "ci", "prod"])
@pytest.mark.parametrize("way", list(authentications(Path())))
def test_dbt_connects_as_the_connector_does(
    clean_environment: pytest.MonkeyPatch, key_file: Path, way: str, target: str, handed_on: bool
) -> None:
    variables = ACCOUNT | authentications(key_file)[way]
    variables |= {"FIRN_TARGET": target, "FIRN_PR_NUMBER": "7"}
    set_all(clean_environment, variables)
    settings = get_settings()
    arguments = settings.connector_arguments()
    environment = dict(os.environ) | (settings.environment() if handed_on else {})
    credentials = dbt_credentials(environment)

    same = {
        "account": "account",
        "user": "user",
        "warehouse": "warehouse",
        "role": "role",
        "host": "host",
        "port": "port",
        "protocol": "protocol",
        "database": "database",
        "authenticator": "authenticator",
        "password": "password",
        "private_key_path": "private_key_file",
        "private_key_passphrase": "private_key_file_pwd",
    }
    for ours, theirs in same.items():
        if ours == "private_key_passphrase" and not credentials.private_key_path:
            continue
        assert getattr(credentials, ours) == arguments.get(theirs), ours
    assert json.loads(credentials.query_tag or "") == json.loads(
        arguments["session_parameters"]["QUERY_TAG"]
    )
    assert credentials.schema == settings.default_schema
    # What dbt hands to the connector: a key it can use, or none at all.
    handed = credentials.auth_args()
    assert bool(handed["private_key"]) == ("private_key_file" in arguments)
    assert handed.get("password") == arguments.get("password")
    if settings.authenticator == "externalbrowser":
        cached = "client_store_temporary_credential"
        assert handed[cached] is arguments[cached] is True


@pytest.mark.parametrize("home", [None, "there", "/tmp/firn"])
@pytest.mark.parametrize("target", ["local", "prod"])
def test_dbt_by_hand_takes_the_key_in_firn_s_home(
    clean_environment: pytest.MonkeyPatch, home: str | None, target: str
) -> None:
    set_all(clean_environment, {"FIRN_TARGET": target, "SNOWFLAKE_ACCOUNT": "local"})
    clean_environment.setenv("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", PASSPHRASE)
    if home:
        clean_environment.setenv("FIRN_HOME", home)
    by_hand, handed_on = dict(os.environ), dict(os.environ) | get_settings().environment()
    for environment in (by_hand, handed_on):
        credentials = dbt_credentials(environment)
        assert credentials.password is credentials.private_key_passphrase is None
        key = Path(str(credentials.private_key_path))
        assert key.resolve() == get_settings().local_login.key_file.resolve()


def test_dbt_connects_locally_as_the_connector_does_with_a_password_set(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    clean_environment.setenv("FIRN_LOCAL_PASSWORD", PASSWORD)
    arguments = get_settings().connector_arguments()
    profile = dbt_profile({"LOGNAME": get_settings().firn_user, "FIRN_LOCAL_PASSWORD": PASSWORD})
    credentials = profile.credentials
    assert isinstance(credentials, SnowflakeCredentials)
    for name in ("account", "user", "password", "host", "port", "protocol", "database"):
        assert getattr(credentials, name) == arguments[name], name
    assert credentials.role is credentials.warehouse is credentials.authenticator is None
    assert credentials.private_key_path is None
    assert credentials.query_tag == arguments["session_parameters"]["QUERY_TAG"]
    assert credentials.reuse_connections is True
    assert profile.target_name == get_settings().target
    assert profile.threads == get_settings().firn_dbt_threads
    assert credentials.schema == get_settings().default_schema


@pytest.mark.parametrize("handed_on", [False, True], ids=["by hand", "by a command"])
@pytest.mark.parametrize(
    ("target", "database", "schema"),
    [
        ("dev", "ANALYTICS_DEV", "ada"),
        ("ci", "ANALYTICS_CI", "pr_7"),
        ("prod", "ANALYTICS", "public"),
    ],
)
def test_the_local_warehouse_plays_an_account(
    clean_environment: pytest.MonkeyPatch,
    key_file: Path,
    target: str,
    database: str,
    schema: str,
    handed_on: bool,
) -> None:
    set_all(clean_environment, authentications(key_file)["password chosen"])
    set_all(clean_environment, {"SNOWFLAKE_ACCOUNT": "local", "FIRN_TARGET": target})
    clean_environment.setenv("FIRN_LOCAL_PASSWORD", "of-the-local-warehouse")
    set_all(
        clean_environment,
        {"FIRN_PR_NUMBER": "7", "FIRN_USER": "ada", "FIRN_LOCAL_PORT": "9123"}
        | {"SNOWFLAKE_ROLE": "transformer", "SNOWFLAKE_HOST": "firn.example.com"},
    )
    settings = get_settings()
    arguments = settings.connector_arguments()
    environment = dict(os.environ) | (settings.environment() if handed_on else {})
    credentials = dbt_credentials(environment)

    assert settings.is_local
    assert (arguments["host"], arguments["port"], arguments["protocol"]) == (
        "127.0.0.1",
        9123,
        "http",
    )
    assert (credentials.database, credentials.schema) == (database, schema)
    for name in ("account", "user", "password", "host", "port", "protocol", "database"):
        assert getattr(credentials, name) == arguments[name], name
    for name in ("role", "warehouse", "authenticator", "private_key_path"):
        assert getattr(credentials, name) is None, name
    tag = {"application": "firn", "target": target}
    assert json.loads(credentials.query_tag or "") == tag
    assert json.loads(arguments["session_parameters"]["QUERY_TAG"]) == tag


def test_dbt_s_local_port_and_threads_are_the_settings(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    set_all(clean_environment, {"FIRN_LOCAL_PORT": "9123", "FIRN_DBT_THREADS": "7"})
    profile = dbt_profile(get_settings().environment())
    assert isinstance(profile.credentials, SnowflakeCredentials)
    assert (profile.credentials.port, profile.threads) == (9123, 7)


# -- who writes RAW --------------------------------------------------------------------------------


def test_what_writes_raw_has_a_role_and_a_warehouse_of_its_own_where_they_are_set(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    set_all(clean_environment, ACCOUNT | {"FIRN_TARGET": "dev", "SNOWFLAKE_PASSWORD": PASSWORD})
    clean_environment.setenv("SNOWFLAKE_ROLE", "transformer")
    loader = {"SNOWFLAKE_LOADER_ROLE": "loader", "SNOWFLAKE_LOADER_WAREHOUSE": "loading"}

    def session(**arguments: Any) -> tuple[str, str]:
        asked: dict[str, Any] = {}

        def refuse(**given: Any) -> None:
            asked.update(given)
            raise OSError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("snowflake.connector.connect", refuse)
            with pytest.raises(WarehouseUnreachableError), connect(database="RAW", **arguments):
                pass
        return asked["role"], asked["warehouse"]

    assert session() == session(as_loader=True) == ("transformer", "transforming")
    set_all(clean_environment, loader)
    assert session() == ("transformer", "transforming")
    assert session(as_loader=True) == ("loader", "loading")
    assert session(as_loader=True, role="other") == ("other", "loading")
    clean_environment.delenv("SNOWFLAKE_LOADER_WAREHOUSE")
    assert session(as_loader=True) == ("loader", "transforming")
    # The local warehouse has one role for all.
    clean_environment.setenv("SNOWFLAKE_ACCOUNT", "local")
    assert get_settings().loader_arguments() == {}


def test_every_connection_to_raw_is_the_loader_s_and_no_other_is() -> None:
    found = []
    for file in [*REPOSITORY.glob("include/**/*.py"), *REPOSITORY.glob("benchmarks/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "connect":
                given = {one.arg: ast.unparse(one.value) for one in node.keywords}
                found.append((str(file.relative_to(REPOSITORY)), given))
    of_raw = {file for file, given in found if given.get("database") == "'RAW'"}
    as_loader = {file for file, given in found if "as_loader" in given}
    assert as_loader - {"include/commands/doctor.py"} == of_raw
    assert of_raw >= {
        "include/ingestion/session.py",
        "include/ingestion/pickup.py",
        "include/retention/run.py",
        "include/monitoring/run_summary.py",
    }
    for name, given in found:
        assert (given.get("database") == "'RAW'") == ("as_loader" in given) or "doctor" in name


# -- what children get -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", list(authentications(Path())))
def test_a_child_reads_the_same_settings(
    clean_environment: pytest.MonkeyPatch, key_file: Path, way: str
) -> None:
    variables = authentications(key_file)[way] | ACCOUNT | {"FIRN_TARGET": "dev"}
    variables |= {"SNOWFLAKE_LOADER_ROLE": "loader", "SNOWFLAKE_LOADER_WAREHOUSE": "loading"}
    set_all(clean_environment, variables)
    parent = get_settings()
    set_all(clean_environment, parent.environment())
    assert get_settings().connector_arguments() == parent.connector_arguments()
    assert get_settings().loader_arguments() == parent.loader_arguments() != {}
    assert get_settings().home == parent.home


def test_a_child_of_a_rehearsal_rehearses_and_gets_no_secret(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    set_all(clean_environment, ACCOUNT | {"SNOWFLAKE_PASSWORD": PASSWORD, "FIRN_TARGET": "prod"})
    clean_environment.setenv("SNOWFLAKE_ACCOUNT", "LOCAL")
    environment = get_settings().environment()
    given = {name: value for name, value in environment.items() if name.startswith("SNOWFLAKE_")}
    assert given == {"SNOWFLAKE_ACCOUNT": "local"}
    assert environment["NO_PROXY"].endswith("127.0.0.1")


def test_a_rehearsal_of_ci_still_needs_its_number(clean_environment: pytest.MonkeyPatch) -> None:
    set_all(clean_environment, {"SNOWFLAKE_ACCOUNT": "local", "FIRN_TARGET": "ci"})
    assert problems() == [
        (
            "FIRN_PR_NUMBER is not set, and target ci names its schemas after it: "
            "set it to the number of the pull request."
        )
    ]


def test_a_local_child_gets_no_account_and_asks_no_proxy(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    set_all(clean_environment, ACCOUNT | {"SNOWFLAKE_PASSWORD": PASSWORD})
    set_all(clean_environment, {"NO_PROXY": "example.com", "no_proxy": ""})
    environment = get_settings().environment()
    assert not [name for name in environment if name.startswith("SNOWFLAKE_")]
    assert PASSWORD not in environment.values()
    assert environment["NO_PROXY"] == environment["no_proxy"] == "example.com,127.0.0.1"


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "FIRN_TARGET",
            "qa",
            f"FIRN_TARGET is 'qa'{HERE}: set it to local, dev, ci or prod.",
        ),
        (
            "FIRN_LOCAL_PORT",
            "70000",
            f"FIRN_LOCAL_PORT is '70000'{HERE}: set it to a port number from 1 to 65535.",
        ),
        (
            "FIRN_USER",
            "a;drop",
            f"FIRN_USER is 'a;drop'{HERE}: set it to a name of letters, digits and underscores, "
            "not starting with a digit.",
        ),
        (
            "FIRN_DBT_THREADS",
            "many",
            f"FIRN_DBT_THREADS is 'many'{HERE}: set it to a whole number from 1 to 64.",
        ),
        (
            "FIRN_PR_NUMBER",
            "x",
            f"FIRN_PR_NUMBER is 'x'{HERE}: set it to the number of a pull request.",
        ),
        (
            "SNOWFLAKE_ACCOUNT",
            "https://a",
            f"SNOWFLAKE_ACCOUNT is 'https://a'{HERE}: set it to an account identifier such as "
            "myorg-myaccount, without a domain.",
        ),
        (
            "SNOWFLAKE_AUTHENTICATOR",
            "magic",
            f"SNOWFLAKE_AUTHENTICATOR is 'magic'{HERE}: set it to snowflake, snowflake_jwt or "
            "externalbrowser.",
        ),
        (
            "SNOWFLAKE_HOST",
            "a/b",
            f"SNOWFLAKE_HOST is 'a/b'{HERE}: set it to a host name, without https:// or a path.",
        ),
    ],
)
def test_a_malformed_value_is_one_sentence(
    clean_environment: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    clean_environment.setenv(variable, value)
    assert problems() == [sentence]


@pytest.mark.parametrize("missing", list(ACCOUNT))
def test_what_an_account_needs_is_asked_for(
    clean_environment: pytest.MonkeyPatch, missing: str
) -> None:
    set_all(clean_environment, ACCOUNT | {"FIRN_TARGET": "prod", "SNOWFLAKE_PASSWORD": PASSWORD})
    clean_environment.delenv(missing)
    (sentence,) = problems()
    assert sentence.startswith(f"{missing} is not set, and target prod needs it: set it to ")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "There is nothing to log in with: set SNOWFLAKE_PASSWORD"),
        ({"SNOWFLAKE_AUTHENTICATOR": "snowflake"}, "There is nothing to log in with: set "),
        (
            {"SNOWFLAKE_AUTHENTICATOR": "snowflake_jwt", "SNOWFLAKE_PASSWORD": PASSWORD},
            "SNOWFLAKE_PRIVATE_KEY_PATH is not set",
        ),
        (
            {"SNOWFLAKE_PRIVATE_KEY_PATH": "/no/such/key"},
            "SNOWFLAKE_PRIVATE_KEY_PATH names /no/such/key, which is not a readable file",
        ),
        (
            {"SNOWFLAKE_PRIVATE_KEY_PATH": "/dev/null", "SNOWFLAKE_PASSWORD": PASSWORD},
            "SNOWFLAKE_PASSWORD and SNOWFLAKE_PRIVATE_KEY_PATH are both set: remove one",
        ),
    ],
)
def test_a_way_to_log_in_is_asked_for(
    clean_environment: pytest.MonkeyPatch, variables: dict[str, str], sentence: str
) -> None:
    set_all(clean_environment, ACCOUNT | {"FIRN_TARGET": "dev"} | variables)
    (found,) = problems()
    assert found.startswith(sentence)


def test_ci_asks_for_the_pull_request(clean_environment: pytest.MonkeyPatch) -> None:
    set_all(clean_environment, ACCOUNT | {"FIRN_TARGET": "ci", "SNOWFLAKE_PASSWORD": PASSWORD})
    assert problems() == [
        (
            "FIRN_PR_NUMBER is not set, and target ci names its schemas after it: "
            "set it to the number of the pull request."
        )
    ]


def test_a_host_name_is_no_account(clean_environment: pytest.MonkeyPatch) -> None:
    set_all(clean_environment, ACCOUNT | {"FIRN_TARGET": "dev", "SNOWFLAKE_PASSWORD": PASSWORD})
    clean_environment.setenv("SNOWFLAKE_ACCOUNT", "a-b.snowflakecomputing.com")
    assert problems() == [
        "SNOWFLAKE_ACCOUNT is a host name: set it to the part before .snowflakecomputing."
    ]


# -- secrets ---------------------------------------------------------------------------------------


def test_no_secret_shows_in_settings(clean_environment: pytest.MonkeyPatch, key_file: Path) -> None:
    secrets = {
        "SNOWFLAKE_PASSWORD": "hush-password",
        "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": "hush-passphrase",
    }
    set_all(clean_environment, ACCOUNT | secrets | {"FIRN_TARGET": "dev"})
    settings = get_settings()
    assert settings.connector_arguments()["password"] == "hush-password"
    shown = [
        repr(settings),
        str(settings),
        f"{settings.snowflake_password}",
        settings.model_dump_json(),
        str(settings.model_dump()),
    ]
    assert not [text for text in shown if "hush" in text]


@pytest.mark.parametrize(
    "broken",
    [{"FIRN_LOCAL_PORT": "x"}, {"SNOWFLAKE_ACCOUNT": ""}, {"SNOWFLAKE_AUTHENTICATOR": "magic"}],
)
def test_no_secret_shows_in_an_error(
    clean_environment: pytest.MonkeyPatch, broken: dict[str, str]
) -> None:
    secrets = {
        "SNOWFLAKE_PASSWORD": "hush-password",
        "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": "hush-passphrase",
    }
    set_all(clean_environment, ACCOUNT | secrets | {"FIRN_TARGET": "dev"} | broken)
    with pytest.raises(ConfigurationError) as caught:
        get_settings()
    assert "hush" not in f"{caught.value!r} {caught.value} {caught.value.problems}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "hush" not in str(caught.value.__context__)


def test_a_secret_of_the_wrong_type_is_not_quoted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ConnectionSettings(snowflake_password=["hush"])
    assert str(caught.value) == "SNOWFLAKE_PASSWORD cannot be used: set it to text."
    assert "hush" not in str(caught.value.__context__)


# -- connecting ------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_local_warehouse_that_is_down_is_said_at_once() -> None:
    port = free_port()
    with (
        pytest.raises(WarehouseUnreachableError) as caught,
        connect(ConnectionSettings(firn_local_port=port)),
    ):
        pass
    assert str(caught.value).startswith(
        f"The local warehouse does not answer on 127.0.0.1:{port}: start it with "
        "`firn warehouse start`"
    )
    assert "make up" in str(caught.value)


class Recorder(BaseHTTPRequestHandler):
    """A server that knows nothing of Snowflake and keeps what it was sent."""

    requests: ClassVar[list[tuple[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.requests.append((self.path, json.loads(body)))
        self.send_response(400)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Recorder)
    Recorder.requests.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_is_asked_for_reaches_the_server_past_any_proxy(
    clean_environment: pytest.MonkeyPatch, recorder: HTTPServer
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    proxies = {"HTTP_PROXY": dead, "http_proxy": dead, "NO_PROXY": "", "no_proxy": ""}
    set_all(clean_environment, proxies | {"FIRN_LOCAL_PASSWORD": PASSWORD})
    settings = ConnectionSettings(firn_local_port=recorder.server_port)
    with (
        pytest.raises(
            WarehouseUnreachableError, match="is not a working local warehouse"
        ) as caught,
        connect(settings, database="RAW", schema="META", role="loader", query_tag={"dag": "x"}),
    ):
        pass
    assert f"127.0.0.1:{recorder.server_port}" in str(caught.value)
    path, body = Recorder.requests[0]
    for part in ("databaseName=RAW", "schemaName=META", "roleName=loader"):
        assert part in path
    session = body["data"]["SESSION_PARAMETERS"]
    assert json.loads(session["QUERY_TAG"]) == {
        "application": "firn",
        "target": "local",
        "dag": "x",
    }
    assert session["AUTOCOMMIT"] is True
    assert session["CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED"] is False
    assert body["data"]["CLIENT_ENVIRONMENT"]["APPLICATION"] == "firn"


@pytest.mark.parametrize("fails", [False, True])
def test_a_connection_is_closed_however_its_use_ends(
    clean_environment: pytest.MonkeyPatch, fails: bool
) -> None:
    set_all(clean_environment, ACCOUNT | {"FIRN_TARGET": "dev", "SNOWFLAKE_PASSWORD": PASSWORD})
    with fakesnow.patch():
        with suppress(ZeroDivisionError), connect(database="RAW") as connection:
            assert not connection.is_closed()
            assert connection.database == "RAW"
            assert 1 / (not fails)
        assert connection.is_closed()


def test_a_refused_login_says_who_and_where_but_no_password(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    def refuse(**arguments: Any) -> None:
        # An account is out of a test's reach: its answer is what is made up here, and nothing else.
        assert arguments["password"] == "hush"
        raise DatabaseError("Incorrect username or password was specified.")

    set_all(clean_environment, ACCOUNT | {"FIRN_TARGET": "dev", "SNOWFLAKE_PASSWORD": "hush"})
    clean_environment.setattr("snowflake.connector.connect", refuse)
    with pytest.raises(WarehouseUnreachableError) as caught, connect():
        pass
    assert "account my_org-Account refused user ada@example.com" in str(caught.value)
    assert "Incorrect username or password" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_query_tags_are_json_that_says_who_and_where() -> None:
    tag = json.loads(ConnectionSettings().query_tag({"dag": 'a"b', "run": 3}))
    assert tag == {"application": "firn", "target": "local", "dag": 'a"b', "run": 3}


def test_a_query_tag_names_the_task_of_airflow_that_asks(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    of_task = {"AIRFLOW_CTX_DAG_ID": "sales__orders__1h", "AIRFLOW_CTX_TASK_ID": "ingest.load"}
    set_all(clean_environment, of_task)
    assert json.loads(get_settings().query_tag({"load": "sales.orders"})) == {
        "application": "firn",
        "target": "local",
        "dag": "sales__orders__1h",
        "task": "ingest.load",
        "load": "sales.orders",
    }
    assert json.loads(get_settings().query_tag({"task": "doctor"}))["task"] == "doctor"


def test_a_query_tag_longer_than_snowflake_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="Snowflake takes 2000"):
        ConnectionSettings().query_tag({"model": "x" * 2000})


def test_dbt_by_hand_takes_a_target_in_any_case(clean_environment: pytest.MonkeyPatch) -> None:
    variables = {"FIRN_TARGET": " PROD", "SNOWFLAKE_ACCOUNT": "local"}
    set_all(clean_environment, variables)
    assert dbt_profile(variables).target_name == get_settings().target == "prod"
