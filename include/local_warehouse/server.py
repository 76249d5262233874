"""The HTTP side: Snowflake's login, query, upload and session requests."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import hmac
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import duckdb
import jwt
from fakesnow.expr import normalise_ident
from fakesnow.statement_type import DML_TYPE_IDS, SELECT, statement_type_id
from fakesnow.transforms import SERVER_VERSION
from snowflake.connector.errors import Error as SnowflakeError
from sqlglot import exp
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from . import dialect, places, requests, wire
from .cursor import LocalCursor
from .errors import WarehouseError, compilation_error
from .login import LocalLogin
from .session import Session
from .statements import Order, Orders
from .store import Store

logger = logging.getLogger("firn.warehouse")

SESSION_IDLE_SECONDS = 4 * 3600.0
MAXIMUM_STATEMENTS = 256
BAD_REQUEST = "390400"
"""Snowflake's code for a bad request."""

Result = TypeVar("Result")


class LoginAgainError(Exception):
    """The token belongs to no session, or its session has ended."""


class Server:
    """All sessions of one store, and the routes that clients call.

    Each statement runs in its own thread, so that one that waits for a lock does not block others.
    Every route but the login and the health check needs a session's token, or an address that
    nobody can guess.
    """

    def __init__(
        self,
        store: Store,
        login: LocalLogin,
        on_fatal: Callable[[str], None] = logger.critical,
        orders: Orders | None = None,
    ) -> None:
        self.store = store
        self.sessions: dict[str, Session] = {}
        self.orders = orders or Orders()
        self.on_fatal = on_fatal
        self.password = login.password().encode()
        self.public_key = login.key().public_key()
        self.secret = secrets.token_bytes(32)
        self.threads = ThreadPoolExecutor(MAXIMUM_STATEMENTS, thread_name_prefix="statement")
        self.app = Starlette(
            routes=[
                Route("/session/v1/login-request", self.login, methods=["POST"]),
                Route("/session", self.session, methods=["POST"]),
                Route("/session/heartbeat", self.session, methods=["POST"]),
                Route("/session/token-request", self.renew, methods=["POST"]),
                Route("/queries/v1/query-request", self.query, methods=["POST"]),
                Route("/queries/v1/abort-request", self.abort, methods=["POST"]),
                Route("/queries/{query_id}/result", self.result, methods=["GET"]),
                Route("/monitoring/queries/{query_id}", self.monitoring, methods=["GET"]),
                Route("/fs_bucket/{path:path}", self.upload, methods=["PUT"]),
                Route("/fs_bucket/{path:path}", self.download, methods=["GET"]),
                Route("/telemetry/send", self.ignore, methods=["POST"]),
                Route("/health", self.health, methods=["GET"]),
            ],
            # A page of some other site must not reach this server under a name of its own.
            middleware=[
                Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
            ],
            exception_handlers={
                HTTPException: _refused,
                LoginAgainError: _login_again,
                ClientDisconnect: _gone,
            },
            lifespan=self.lifespan,
        )

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Close what clients left open, at intervals and at the end."""
        sweeper = asyncio.create_task(self.sweep())
        yield
        sweeper.cancel()
        for session in list(self.sessions.values()):
            session.cancel()
            session.close()
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.store.close()

    async def sweep(self) -> None:
        """Forget sessions that nobody has used for hours; their clients are gone."""
        while True:
            await asyncio.sleep(60)
            for token, session in list(self.sessions.items()):
                if session.idle_seconds() > SESSION_IDLE_SECONDS:
                    del self.sessions[token]
                    self.orders.forget(session, all_of_it=True)
                    try:
                        await self.thread(session.close)
                    except Exception:
                        logger.exception("an abandoned session could not be closed")

    async def thread(self, work: Callable[[], Result]) -> Result:
        """Run in a thread of this server's own pool."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    async def login(self, request: Request) -> JSONResponse:
        """A new session, for a client that has the password or the key."""
        data = (await requests.read(request, requests.Login, requests.LOGIN_BYTES)).data
        if refusal := self.unknown(data):
            logger.info("login refused code=%s", refusal[0])
            return _not_let_in(*refusal)
        parameters = dict(data.parameters or {})
        named = {
            key: normalise_ident(value)
            for key in ("databaseName", "schemaName", "roleName", "warehouse")
            if (value := request.query_params.get(key))
        }

        def connect() -> Session:
            return Session(
                self.store,
                named.get("databaseName"),
                named.get("schemaName"),
                user=(data.user or "FIRN").upper(),
                role=named.get("roleName"),
                warehouse=named.get("warehouse"),
                parameters=parameters,
            )

        session = await self.thread(connect)
        token = secrets.token_urlsafe(32)
        self.sessions[token] = session
        logger.info("login user=%s sessions=%d", session.user, len(self.sessions))
        return _success(
            {
                "token": token,
                "masterToken": token,
                "validityInSeconds": int(SESSION_IDLE_SECONDS),
                "serverVersion": SERVER_VERSION,
                "parameters": [
                    {"name": "AUTOCOMMIT", "value": parameters.get("AUTOCOMMIT", True)},
                    {"name": "CLIENT_TELEMETRY_ENABLED", "value": False},
                    {"name": "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "value": 3600},
                    # 0 keeps arrays of bound values in the request instead of a staged file.
                    {"name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": 0},
                ],
                "sessionInfo": _session_info(session),
            }
        )

    def unknown(self, given: requests.Credentials) -> tuple[str, str] | None:
        """The code and the message that refuse a login; None if the login is correct."""
        if (given.authenticator or "").upper() == "SNOWFLAKE_JWT":
            try:
                jwt.decode(
                    given.token or "", self.public_key, ["RS256"], options={"require": ["exp"]}
                )
            except jwt.InvalidTokenError:
                return "390144", "JWT token is invalid."
            return None
        if hmac.compare_digest((given.password or "").encode(), self.password):
            return None
        return "390100", "Incorrect username or password was specified."

    def session_of(self, request: Request) -> tuple[str, Session]:
        """The token that a request carries, and its session.

        Raises:
            HTTPException: there is no token.
            LoginAgainError: the token belongs to no session.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition('Token="')
        if scheme.strip() != "Snowflake" or not token.endswith('"'):
            raise HTTPException(401, "Session token not found in the request data.")
        session = self.sessions.get(token[:-1])
        if session is None:
            raise LoginAgainError
        return token[:-1], session

    async def query(self, request: Request) -> Response:
        """Run one statement and send its result."""
        _, session = self.session_of(request)
        body = await requests.read(request, requests.Query)
        values = requests.bound(body.bindings)
        request_id = request.query_params.get("requestId") or secrets.token_hex(16)
        base = f"{request.url.scheme}://{request.url.netloc}"

        def run(order: Order) -> Coroutine[Any, Any, dict[str, Any]]:
            return self.thread(lambda: self.recorded(order, body, values, base))

        order = self.orders.find(request_id, session) or self.orders.start(request_id, session, run)
        return await self.answered(order, request)

    async def answered(self, order: Order, request: Request) -> Response:
        """The statement's answer, unless its client leaves or it takes too long."""

        async def disconnected() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        answer = await self.orders.answer(order, disconnected())
        return Response(status_code=499) if answer is None else JSONResponse(answer)

    def recorded(
        self, order: Order, body: requests.Query, values: Any, base_url: str
    ) -> dict[str, Any]:
        """The answer to one query request, which goes into the history if it ran."""
        began, clock = datetime.now(UTC), time.monotonic()
        answer = self.guarded(body.sql, lambda: self.run(order, body, values, base_url))
        if not body.describe_only:
            seconds = time.monotonic() - clock
            self.store.history.write(order.session, body.sql, began, seconds, answer)
        return answer

    def run(self, order: Order, body: requests.Query, values: Any, base_url: str) -> dict[str, Any]:
        """The answer to one query request."""
        session, sql = order.session, body.sql
        cursor = session.cursor()
        cursor.order = order
        if body.describe_only:
            cursor.describe_only(sql)
            return _described(session, cursor, sql)
        if isinstance(values, requests.Batch):
            return _result(session, cursor, cursor.execute_rows(sql, values.rows))
        cursor.execute(sql, values)
        upload = cursor.last_expression and cursor.last_expression.args.get("put_stage_data")
        if upload:
            return {"data": self.upload_target(cursor, upload, base_url), "success": True}
        if cursor.transfer is not None:
            urls = [self.address(base_url, path) for path in cursor.transfer["presignedUrls"]]
            return {"data": cursor.transfer | {"presignedUrls": urls}, "success": True}
        return _result(session, cursor, None)

    def guarded(self, sql: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do the work and return its answer; errors become Snowflake's."""
        try:
            return work()
        except SnowflakeError as error:
            logger.info("refused errno=%s %s", error.errno, str(error.msg).replace("\n", " ")[:500])
            return _failure(error)
        except WarehouseError as error:
            return _failure(compilation_error(str(error)))
        except duckdb.FatalException as error:
            self.on_fatal(f"DuckDB stopped: {error}")
            return _broken(str(error))
        except Exception as error:
            logger.exception("statement failed unexpectedly: %s", sql[:2000])
            return _broken(f"{type(error).__name__}: {error}")

    def upload_target(self, cursor: LocalCursor, upload: Any, base_url: str) -> dict[str, Any]:
        """Where the client sends the file of a PUT: an address of this server."""
        folder = upload["stageInfo"]["location"].removeprefix(f"{self.store.stages}/").rstrip("/")
        path = f"{folder}/{upload['src_locations'][0].rpartition('/')[2]}"
        places.staged(self.store.stages, path)
        places.seen(places.split(path)[1])
        name = cursor.last_expression.args["put_stage_name"] if cursor.last_expression else ""
        # Google's is the one kind of stage to which the clients upload with a plain address.
        upload["stageInfo"] = {
            "locationType": "GCS",
            "location": f"{name}/",
            "creds": {},
            "presignedUrl": self.address(base_url, path),
        }
        return dict(upload)

    def address(self, base_url: str, path: str) -> str:
        """The address to read or write a staged file; it is valid until the server ends."""
        return f"{base_url}/fs_bucket/{quote(path)}?signature={self.signature(path)}"

    def signature(self, path: str) -> str:
        """The signature of an address; it proves that this server gave the address out."""
        return hmac.new(self.secret, path.encode(), hashlib.sha256).hexdigest()

    def signed_file(self, request: Request) -> Path:
        """The staged file that a request may read or write.

        Raises:
            HTTPException: this server did not give out the address, or it now leads out of the
                stage.
        """
        path = request.path_params["path"]
        given = request.query_params.get("signature", "")
        if not hmac.compare_digest(given.encode(), self.signature(path).encode()):
            raise HTTPException(403, "The local warehouse did not give out this address.")
        try:
            return places.staged(self.store.stages, path)
        except SnowflakeError:
            raise HTTPException(403, "The address leads out of its stage.") from None

    async def upload(self, request: Request) -> Response:
        """Stream an uploaded file into its stage; a broken upload leaves nothing behind."""
        target = self.signed_file(request)
        partial = self.store.uploads / secrets.token_hex(8)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                async for chunk in request.stream():
                    file.write(chunk)
            partial.replace(target)
        except OSError as error:
            logger.error("upload failed: %s", error)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            raise HTTPException(
                507 if full else 400, f"The file cannot be stored ({error.strerror})."
            ) from None
        finally:
            partial.unlink(missing_ok=True)
        return Response()

    async def download(self, request: Request) -> Response:
        """A staged file, for GET."""
        file = self.signed_file(request)
        if not file.is_file():
            raise HTTPException(404, "There is no such file in the stage any more.")
        return FileResponse(file)

    async def session(self, request: Request) -> JSONResponse:
        """Keep a session alive, or end it."""
        token, session = self.session_of(request)
        if request.query_params.get("delete"):
            del self.sessions[token]
            self.orders.forget(session, all_of_it=True)
            await self.thread(session.close)
        else:
            session.last_used = time.monotonic()
        return _success(None)

    async def renew(self, request: Request) -> JSONResponse:
        """A longer life for a session's token."""
        token, _ = self.session_of(request)
        return _success({"sessionToken": token, "validityInSecondsST": int(SESSION_IDLE_SECONDS)})

    async def abort(self, request: Request) -> JSONResponse:
        """Cancel the statement that a request of the same session started."""
        _, session = self.session_of(request)
        body = await requests.read(request, requests.Abort)
        if body.request_id and (order := self.orders.find(body.request_id, session)):
            order.cancel()
        return _success(None)

    async def result(self, request: Request) -> Response:
        """The result of a statement that ran before or still runs, by its query id."""
        _, session = self.session_of(request)
        query_id = request.path_params["query_id"]
        if order := self.orders.find(query_id, session):
            return await self.answered(order, request)
        if session.results_cache.get(query_id) is None:
            return JSONResponse(
                {
                    "data": None,
                    "code": "000709",
                    "message": f"Statement {query_id} not found",
                    "success": False,
                }
            )

        def again() -> dict[str, Any]:
            cursor = session.cursor()
            cursor.execute(f"select * from table(result_scan('{query_id}'))")
            return _result(session, cursor, None)

        return JSONResponse(await self.thread(lambda: self.guarded("result_scan", again)))

    async def monitoring(self, request: Request) -> JSONResponse:
        """Whether a statement has ended; they all have once they have an id."""
        _, session = self.session_of(request)
        found = request.path_params["query_id"] in session.results_cache
        return _success({"queries": [{"status": "SUCCESS"}] if found else []})

    async def ignore(self, request: Request) -> JSONResponse:
        """Telemetry goes nowhere."""
        self.session_of(request)
        return _success(None)

    async def health(self, request: Request) -> JSONResponse:
        """Ready: the store answers a query."""

        def check() -> int:
            with self.store.hub.cursor() as connection:
                row = connection.execute("SELECT count(*) FROM duckdb_databases()").fetchone()
            return int(row[0]) if row else 0

        databases = await self.thread(check)
        return JSONResponse(
            {
                "status": "ok",
                "folder": str(self.store.folder),
                "databases": databases,
                "sessions": len(self.sessions),
                "statements": self.orders.running(),
                "locks": self.store.locks.held(),
                "pid": os.getpid(),
                "free_bytes": shutil.disk_usage(self.store.folder).free,
                "threads": threading.active_count(),
            }
        )


def _session_info(session: Session) -> dict[str, Any]:
    return {
        "databaseName": session.database if session.database_set else None,
        "schemaName": session.schema if session.schema_set else None,
        "warehouseName": session.warehouse,
        "roleName": session.role,
    }


def _result(session: Session, cursor: LocalCursor, batch: int | None) -> dict[str, Any]:
    rowtype, table = cursor.rowtype, cursor.arrow
    kind = cursor.statement_type
    if batch is not None and kind in DML_TYPE_IDS:
        rows: dict[str, Any] = {"queryResultFormat": "json", "rowset": [[str(batch)]]}
    elif table is not None and kind in DML_TYPE_IDS:
        # Clients read the number of changed rows from here.
        columns = [column.to_pylist() for column in table.columns]
        rows = {
            "queryResultFormat": "json",
            "rowset": [
                [None if value is None else str(value) for value in row]
                for row in zip(*columns, strict=True)
            ],
        }
    elif table is not None:
        rows = {"queryResultFormat": "arrow", "rowsetBase64": wire.encoded(table, rowtype)}
    else:
        rows = {"queryResultFormat": "arrow", "rowsetBase64": ""}
    return {
        "data": {
            "parameters": [{"name": "TIMEZONE", "value": "Etc/UTC"}],
            "rowtype": rowtype,
            "total": 1 if batch is not None else (table.num_rows if table is not None else 0),
            "returned": 1 if batch is not None else (table.num_rows if table is not None else 0),
            "queryId": cursor.sfqid,
            "statementTypeId": kind,
            **_final_names(session),
            **rows,
        },
        "success": True,
    }


def _final_names(session: Session) -> dict[str, Any]:
    info = _session_info(session)
    return {f"final{key[0].upper()}{key[1:]}": value for key, value in info.items()}


def _described(session: Session, cursor: LocalCursor, sql: str) -> dict[str, Any]:
    statement = dialect.parse(sql)
    kind = statement_type_id(statement)
    arrow: dict[str, Any] = {"queryResultFormat": "arrow", "rowsetBase64": ""}
    return {
        "data": {
            "rowtype": cursor.rowtype,
            "total": 0,
            "returned": 0,
            "queryId": cursor.sfqid,
            "statementTypeId": kind,
            "numberOfBinds": len(list(statement.find_all(exp.Placeholder))),
            "arrayBindSupported": isinstance(statement, exp.Insert),
            **_final_names(session),
            **(arrow if kind == SELECT else {"queryResultFormat": "json", "rowset": []}),
        },
        "success": True,
    }


def _success(data: Any) -> JSONResponse:
    return JSONResponse({"data": data, "code": None, "message": None, "success": True})


def _not_let_in(code: str, message: str) -> JSONResponse:
    return JSONResponse({"data": None, "code": code, "message": message, "success": False})


async def _login_again(request: Request, error: Exception) -> Response:
    # Clients look at the code and not at the HTTP status, so the status stays 200.
    return _not_let_in(
        "390111", "Session no longer exists. New login required to access the service."
    )


async def _refused(request: Request, error: Exception) -> Response:
    """Refuse a request with one sentence."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    sentence = error.detail if isinstance(error, HTTPException) else str(error)
    return JSONResponse(
        {"data": None, "code": BAD_REQUEST, "message": sentence, "success": False},
        status_code=status,
    )


async def _gone(request: Request, error: Exception) -> Response:
    """The client has disconnected: nobody reads this answer."""
    return Response(status_code=499)


def _failure(error: SnowflakeError) -> dict[str, Any]:
    code = f"{error.errno:06d}" if error.errno and error.errno > 0 else "001003"
    return {
        "data": {"errorCode": code, "sqlState": error.sqlstate or "42000", "internalError": False},
        "code": code,
        "message": str(error.raw_msg if hasattr(error, "raw_msg") and error.raw_msg else error.msg),
        "success": False,
    }


def _broken(message: str) -> dict[str, Any]:
    return {
        "data": {"errorCode": "000603", "sqlState": "XX000", "internalError": True},
        "code": "000603",
        "message": "The local warehouse failed on this statement; its log has the details. "
        + message,
        "success": False,
    }
