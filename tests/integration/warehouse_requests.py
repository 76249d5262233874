"""Plain HTTP to the local warehouse, for requests that its clients would refuse to send."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from include.local_warehouse.login import LocalLogin
from include.local_warehouse.server import Server
from include.local_warehouse.store import Store


@dataclass
class Client:
    """Sends requests to a server in this process; errors that it does not catch are raised."""

    http: TestClient
    home: Path
    server: Server
    server_login: LocalLogin
    token: str = ""

    def log_in(self, **data: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.post(
            "/session/v1/login-request", json={"data": data}
        ).json()
        return answer

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f'Snowflake Token="{self.token}"'}

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.http.post(path, json=body or {}, headers=self.authorization | headers)

    def sql(self, statement: str, **more: Any) -> dict[str, Any]:
        """The whole answer to a statement."""
        found = self.post("/queries/v1/query-request", {"sqlText": statement} | more)
        answer: dict[str, Any] = found.json()
        return answer

    def done(self, statement: str) -> dict[str, Any]:
        """The data of the answer to a statement that must succeed."""
        answer = self.sql(statement)
        assert answer["success"], (statement, answer["message"])
        data: dict[str, Any] = answer["data"]
        return data

    def refused(self, statement: str) -> str:
        """Why a statement is refused: one sentence, after Snowflake's heading if it has one."""
        answer = self.sql(statement)
        assert not answer["success"], statement
        assert answer["code"] != "000603", answer["message"]
        message: str = answer["message"]
        return message

    def address(self, url: str) -> str:
        return url.removeprefix("http://127.0.0.1")

    def put(self, statement: str, content: bytes) -> Any:
        """PUT as a client does it: ask for an address, then send the file there."""
        info = self.done(statement)["stageInfo"]
        return self.http.put(self.address(info["presignedUrl"]), content=content)


def rows(data: dict[str, Any]) -> bytes:
    """The rows of an answer as bytes, to search them for words."""
    return (
        base64.b64decode(data.get("rowsetBase64") or "")
        + json.dumps(data.get("rowset") or []).encode()
    )


@contextmanager
def served(home: Path) -> Iterator[Client]:
    """Serve a data folder in this home, and log a client in."""
    login = LocalLogin(home)
    login.make()
    server = Server(Store(home / "warehouse"), login)
    with TestClient(server.app, base_url="http://127.0.0.1") as http:
        client = Client(http, home, server, login)
        client.token = client.log_in(LOGIN_NAME="ada", PASSWORD=login.password())["data"]["token"]
        yield client
