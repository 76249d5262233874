"""Logins, tokens, limits and malformed requests, at every route."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from snowflake.connector import connect as snowflake_connect
from snowflake.connector.errors import DatabaseError

from include.local_warehouse.requests import LOGIN_BYTES, REQUEST_BYTES
from include.warehouse.connection import ConnectionSettings, WarehouseUnreachableError, connect
from tests import campaign
from tests.conftest import Warehouse
from tests.integration.warehouse_requests import Client, served

pytestmark = pytest.mark.integration

LOGIN, QUERY = "/session/v1/login-request", "/queries/v1/query-request"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with served(tmp_path_factory.mktemp("home")) as found:
        yield found


# -- logins and tokens -----------------------------------------------------------------------------


def test_only_the_password_of_this_installation_is_taken(client: Client) -> None:
    password = (client.home / "local_password").read_text()
    assert len(password) >= 40
    assert client.log_in(LOGIN_NAME="anybody", PASSWORD=password)["success"]
    for wrong in ("", "firn", password[:-1], password + "x", password.upper(), "pässword", None):
        answer = client.log_in(LOGIN_NAME="firn", PASSWORD=wrong)
        assert (answer["code"], answer["message"], answer["data"]) == (
            "390100", "Incorrect username or password was specified.", None,
        )  # fmt: skip
    assert not client.log_in(LOGIN_NAME="firn")["success"]
    assert not client.log_in(PASSWORD=password[:-1], TOKEN=password, AUTHENTICATOR="OAUTH")[
        "success"
    ]


def test_only_what_the_key_of_this_installation_signed_is_taken(client: Client) -> None:
    key, other = client.server_login.key(), generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    soon = {"iss": "LOCAL.FIRN.SHA256:x", "sub": "LOCAL.FIRN", "exp": time.time() + 60}
    past = soon | {"exp": time.time() - 60}

    def code(token: Any) -> str | None:
        answer = client.log_in(LOGIN_NAME="FIRN", AUTHENTICATOR="SNOWFLAKE_JWT", TOKEN=token)
        assert answer["success"] == (answer["code"] is None)
        found: str | None = answer["code"]
        return found

    good = jwt.encode(soon, key, "RS256")
    assert code(good) is None
    head, body, signature = good.split(".")
    for wrong in (
        jwt.encode(soon, other, "RS256"),
        jwt.encode(past, key, "RS256"),
        jwt.encode({"sub": "LOCAL.FIRN"}, key, "RS256"),
        jwt.encode(soon, "", "none"),
        _signed_with_what_everybody_knows(soon, public),
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-2]}",
        "é.é.é",
        "",
        None,
    ):
        assert code(wrong) == "390144", wrong


def _signed_with_what_everybody_knows(claims: dict[str, Any], public: bytes) -> str:
    """A token signed with the public key as a shared secret, which PyJWT refuses to do."""
    head, body, _ = jwt.encode(claims, "x" * 32, "HS256").split(".")
    digest = hmac.digest(public, f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def test_a_wrong_password_is_told_as_snowflake_tells_it(
    warehouse: Warehouse, tmp_path: Any
) -> None:
    wrong = "firn"
    address = {"account": "local", "host": "127.0.0.1", "port": warehouse.port, "protocol": "http"}
    with pytest.raises(DatabaseError, match="Incorrect username or password was specified") as told:
        snowflake_connect(user="firn", password=wrong, **address)
    assert "390100" in str(told.value) or told.value.errno in (390100, 250001)
    own = {"firn_local_port": warehouse.port, "firn_user": "test"}
    with (
        pytest.raises(
            WarehouseUnreachableError, match=r"does not take the password of .* FIRN_HOME"
        ),
        connect(ConnectionSettings(firn_home=tmp_path, firn_local_password=wrong, **own)),
    ):
        pass
    with (
        pytest.raises(
            WarehouseUnreachableError, match=r"There is no password .*local_password: st"
        ),
        connect(ConnectionSettings(firn_home=tmp_path, **own)),
    ):
        pass
    set_elsewhere = ConnectionSettings(
        firn_home=tmp_path, firn_local_password=warehouse.password, **own
    )
    with connect(set_elsewhere) as connection:
        assert connection.cursor().execute("select 1").fetchall() == [(1,)]  # type: ignore[union-attr]


def test_nobody_else_may_read_what_opens_the_door_or_lies_behind(warehouse: Warehouse) -> None:
    login = warehouse.settings().local_login
    for file in (login.password_file, login.key_file):
        assert file.stat().st_mode & 0o777 == 0o600
        assert not file.is_relative_to(warehouse.home / "warehouse")
    for found in (warehouse.home / "warehouse").rglob("*"):
        if found.name != "server.log":
            assert not found.lstat().st_mode & 0o077, found
    assert login.password() not in (warehouse.home / "warehouse" / "server.log").read_text()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/session"),
        ("POST", "/session?delete=true"),
        ("POST", "/session/heartbeat"),
        ("POST", "/session/token-request"),
        ("POST", QUERY),
        ("POST", "/queries/v1/abort-request"),
        ("GET", "/queries/{query}/result"),
        ("GET", "/monitoring/queries/{query}"),
        ("POST", "/telemetry/send"),
    ],
)
def test_every_route_asks_for_the_token(client: Client, method: str, path: str) -> None:
    query = client.done("select 1")["queryId"]
    path = path.format(query=query)
    body = {"sqlText": "select 1"} if method == "POST" else None
    for header in ("", "Basic x", "Snowflake Token=x"):
        given_ = {"Authorization": header} if header else {}
        answer = client.http.request(method, path, headers=given_, json=body)
        assert answer.status_code == 401
        assert answer.json()["message"] == "Session token not found in the request data."
    for token in ("", "None", "x" * 1000, client.token[:-1], "é"):
        answer = client.http.request(
            method,
            path,
            headers={b"Authorization": f'Snowflake Token="{token}"'.encode()},
            json=body,
        )
        assert answer.json()["code"] == "390111"
        assert answer.json()["data"] is None


def test_a_statement_is_cancelled_by_its_own_session_alone(client: Client) -> None:
    other = client.log_in(PASSWORD=client.server_login.password())["data"]["token"]
    answer = client.http.post(
        "/queries/v1/abort-request",
        json={"requestId": "of-somebody-else"},
        headers={"Authorization": f'Snowflake Token="{other}"'},
    )
    assert answer.json()["success"]
    query = client.done("select 42 as secret")["queryId"]
    stranger = {"Authorization": f'Snowflake Token="{other}"'}
    assert client.http.get(f"/queries/{query}/result", headers=stranger).json()["code"] == "000709"


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "limit"), [(LOGIN, LOGIN_BYTES), (QUERY, REQUEST_BYTES)])
def test_a_request_has_a_limit_packed_and_unpacked(client: Client, path: str, limit: int) -> None:
    packed = gzip.compress(b" " * (limit * 4), 9)
    assert len(packed) < limit
    as_json = client.authorization | {"Content-Type": "application/json"}
    for content, headers in (
        (packed, as_json | {"Content-Encoding": "gzip"}),
        (b" " * (limit + 1), as_json),
    ):
        answer = client.http.post(path, content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["message"].startswith(f"The request is larger than {limit >> 20} MiB:")


def test_many_values_in_one_request_are_no_file(client: Client) -> None:
    client.done("create database if not exists BOUND")
    client.done("create or replace table BOUND.PUBLIC.T (a int, b varchar)")
    values = [str(number) for number in range(20_000)]
    bindings = {"1": {"type": "FIXED", "value": values}, "2": {"type": "TEXT", "value": values}}
    # Each row is a statement, which is slow. The test is only whether the values arrive.
    answer = client.sql(
        "insert into BOUND.PUBLIC.T values (?, ?)",
        bindings={
            name: one | {"value": one["value"][: campaign.size(200, 20_000)]}
            for name, one in bindings.items()
        },
    )
    assert answer["success"], answer["message"]


def test_an_uploaded_file_may_be_larger_than_a_request(client: Client) -> None:
    client.done("create database if not exists LARGE")
    client.done("create or replace stage LARGE.PUBLIC.S")
    info = client.done("put 'file:///x/large.bin' @LARGE.PUBLIC.S")["stageInfo"]
    piece = b"x" * 1024**2

    def content() -> Iterator[bytes]:
        for _ in range(REQUEST_BYTES // len(piece) + 2):
            yield piece

    address = client.address(info["presignedUrl"])
    assert client.http.put(address, content=content()).status_code == 200
    stored = client.home / "warehouse" / "stages" / "LARGE" / "PUBLIC" / "S" / "large.bin"
    assert stored.stat().st_size > REQUEST_BYTES
    client.done("drop database LARGE")


# -- malformed requests ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "headers", "status", "sentence"),
    [
        (b"{", {}, 400, "The request cannot be read: Invalid JSON"),
        (b"", {}, 400, "The request cannot be read: Invalid JSON"),
        (b"[]", {}, 400, "The request cannot be read"),
        (b"\xff\xfe", {}, 400, "The request cannot be read"),
        (b"[" * 100_000, {}, 400, "The request cannot be read: Invalid JSON: recursion"),
        (b'{"sqlText": "\\ud800"}', {}, 400, "The request cannot be read"),
        (b"{}", {}, 400, "The request cannot be read: sqlText: Field required."),
        (b'{"sqlText": 5}', {}, 400, "The request cannot be read: sqlText: Input should be a"),
        (b'{"sqlText": "select ?", "bindings": []}', {}, 400, "cannot be read: bindings: "),
        (
            b'{"sqlText": "select ?", "bindings": {"1": {"type": "FIXED", "value": "x"}}}',
            {}, 400, "The value of placeholder 1 is not a valid FIXED.",
        ),
        (
            b'{"sqlText": "select ?", "bindings": {"1": {"type": "DATE", "value": "1e99"}}}',
            {}, 400, "The value of placeholder 1 is not a valid DATE.",
        ),
        (
            b'{"sqlText": "?", "bindings": {"1": {"type": "DATE", "value": "9999999999999999"}}}',
            {}, 400, "The value of placeholder 1 is not a valid DATE.",
        ),
        (
            b'{"sqlText": "select ?", "bindings": {"2": {"type": "TEXT", "value": "x"}}}',
            {}, 400, "The value of placeholder 1 is missing.",
        ),
        (
            b'{"sqlText": "select ?", "bindings": {"1": {"type": "TEXT", "value": ["x"]},'
            b' "2": {"type": "TEXT", "value": []}}}',
            {}, 400, "Every placeholder must have a value for each row.",
        ),
        (b"{}", {"Content-Type": "text/plain"}, 415, "content type application/json."),
        (b"{}", {"Content-Encoding": "br"}, 415, "with gzip and with nothing else."),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "marked as gzip but is not gzip data."),
        (
            gzip.compress(b"{}")[:-4], {"Content-Encoding": "gzip"}, 400, "is incomplete or has",
        ),
        (
            gzip.compress(b"{}") + b"x", {"Content-Encoding": "gzip"}, 400, "is incomplete or has",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_a_sentence(
    client: Client, content: bytes, headers: dict[str, str], status: int, sentence: str
) -> None:
    given_ = client.authorization | {"Content-Type": "application/json"} | headers
    answer = client.http.post(QUERY, content=content, headers=given_)
    assert answer.status_code == status
    message = answer.json()["message"]
    assert sentence in message
    assert message.endswith(".")
    assert "\n" not in message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
KINDS = st.sampled_from(
    ["FIXED", "REAL", "BOOLEAN", "BINARY", "DATE", "TIME", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ",
     "TIMESTAMP_TZ", "TEXT", "ANY", ""]
)  # fmt: skip
BINDING = st.fixed_dictionaries(
    {
        "type": KINDS | JSON,
        "value": st.text(max_size=12) | st.from_regex(r"-?[0-9]{1,20}( [0-9]+)?") | JSON,
    }
)  # fmt: skip
LOGIN_FIELDS = ("LOGIN_NAME", "PASSWORD", "AUTHENTICATOR", "TOKEN", "SESSION_PARAMETERS")
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "data": JSON
        | st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(LOGIN_FIELDS, JSON),
        ),
        "sqlText": JSON | st.sampled_from(["select ?", "select 1", "select %(a)s", "", ";", "\0"]),
        "bindings": JSON
        | st.dictionaries(st.sampled_from(["1", "2", "²", "-1", "a", ""]), BINDING, max_size=3),
        "describeOnly": JSON,
        "requestId": JSON,
    },
)  # fmt: skip
CONTENT = st.one_of(
    st.binary(max_size=40),
    JSON.map(lambda value: json.dumps(value).encode()),
    KNOWN.map(lambda value: json.dumps(value).encode()),
    KNOWN.map(lambda value: gzip.compress(json.dumps(value).encode())),
    KNOWN.map(lambda value: gzip.compress(json.dumps(value).encode())[:-9]),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(["application/json"] * 4 + ["text/html", "", "a/b; c"]),
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "identity", "", "gzip, gzip"]),
        "Content-Length": st.sampled_from(["0", "5"]),
        "Range": st.sampled_from(["bytes=0-", "bytes=5-2", "x"]),
    },
)
ROUTES = st.sampled_from(
    [LOGIN, "/session", "/session/heartbeat", "/session/token-request", QUERY,
     "/queries/v1/abort-request", "/queries/%00/result", "/queries/x/result",
     "/monitoring/queries/é", "/fs_bucket/%00", "/fs_bucket/A/B/C/..%2F..", "/fs_bucket/",
     "/telemetry/send", "/health", "/", "/nowhere", "/queries/'/result"]
)  # fmt: skip
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["databaseName", "schemaName", "roleName", "warehouse", "requestId", "signature"]
    ),
    st.sampled_from(["RAW", "'", '"', "a'; drop", "\0", "é", "", "x" * 300, "A.B", "_fs_global"])
    | st.text(max_size=5),
    max_size=2,
)  # fmt: skip


@pytest.mark.campaign
@given(
    method=st.sampled_from(["POST"] * 4 + ["GET", "PUT", "DELETE"]),
    path=ROUTES,
    content=CONTENT,
    headers=HEADERS,
    parameters=PARAMETERS,
    known=st.booleans(),
)
@campaign.examples(300, 30_000)
def test_no_request_brings_forth_more_than_a_sentence(
    client: Client,
    method: str,
    path: str,
    content: bytes,
    headers: dict[str, str],
    parameters: dict[str, str],
    known: bool,
) -> None:
    if path == LOGIN and known:
        # The login is correct, and asks for something odd.
        given_ = {
            "PASSWORD": client.server_login.password(),
            "LOGIN_NAME": parameters.get("roleName"),
        }
        content, headers = json.dumps({"data": given_}).encode(), {}
    packed = content[:2] == b"\x1f\x8b" and "Content-Encoding" not in headers
    answer = client.http.request(
        method,
        path,
        content=content,
        params=parameters,
        headers=(client.authorization if known else {})
        | {"Content-Type": "application/json"}
        | headers
        | ({"Content-Encoding": "gzip"} if packed else {}),
    )
    assert answer.status_code < 500
    assert "Traceback" not in answer.text
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.json()["message"]
        assert "\n" not in answer.json()["message"]
    elif path == QUERY:
        assert answer.json()["code"] != "000603", answer.json()["message"]


def test_a_session_begins_wherever_it_was_asked_to_and_nowhere_else(client: Client) -> None:
    password = client.server_login.password()
    client.done("create database if not exists BEGIN_HERE")
    client.done('create schema if not exists BEGIN_HERE."odd schema"')
    for database, schema, found in (
        ("BEGIN_HERE", "PUBLIC", ("BEGIN_HERE", "PUBLIC")),
        ("begin_here", None, ("BEGIN_HERE", None)),
        ("BEGIN_HERE", "NOWHERE", ("BEGIN_HERE", None)),
        ("X' or '1'='1", "PUBLIC", (None, None)),
        ("BEGIN_HERE", "' or '1'='1", ("BEGIN_HERE", None)),
        ("BEGIN_HERE", '"odd schema"', ("BEGIN_HERE", "ODD SCHEMA")),
        ("BEGIN_HERE", "ODD.SCHEMA", ("BEGIN_HERE", None)),
    ):
        named = {"databaseName": database} | ({"schemaName": schema} if schema else {})
        answer = client.http.post(LOGIN, json={"data": {"PASSWORD": password}}, params=named)
        info = answer.json()["data"]["sessionInfo"]
        assert (info["databaseName"], info["schemaName"]) == found, named
