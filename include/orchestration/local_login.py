"""Who gets to Airflow on this machine: whoever has its password, by an address of this machine.

The API server loads this where ``AIRFLOW__CORE__AUTH_MANAGER`` names it: under ``make up`` and in
the containers of development.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from include.orchestration.environment import AIRFLOW_HOSTS, airflow_hosts

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

FOREIGN_HOST = (
    "This Airflow does not answer to the host name in this address: use 127.0.0.1 or localhost, or "
    f"add the name to {AIRFLOW_HOSTS}."
)
FOREIGN_ORIGIN = "A page of another site sent this request: open Airflow's own page."


class LocalAuthManager(SimpleAuthManager):
    """Airflow's simple login. Its password is made once and stays in a file of this user alone."""

    def init(self) -> None:
        """Airflow's own, but that nobody else can read what it writes."""
        file = Path(self.get_generated_password_file())
        file.touch(mode=0o600)
        file.chmod(0o600)
        super().init()

    @staticmethod
    def _print_output(output: str) -> None:
        """Airflow would write the new password into the log, which is kept."""

    def get_fastapi_middlewares(self) -> list[tuple[Any, dict[str, Any]]]:
        """Look at where a request comes from before anything else reads it."""
        return [*super().get_fastapi_middlewares(), (OwnPagesOnly, {"hosts": airflow_hosts()})]


class OwnPagesOnly:
    """Refuses what a browser sends here on behalf of another site.

    The address 127.0.0.1 does not keep such requests out. A site can let its own name stand for it,
    and is then Airflow's page to the browser: the Host header tells. Or it posts a form to it, and
    the browser adds the cookie of whoever is logged in: the Origin header tells.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with 403."""
        why = None if scope["type"] == "lifespan" else self.refusal(Headers(scope=scope))
        answer = PlainTextResponse(f"{why}\n", status_code=403) if why else self.app
        await answer(scope, receive, send)

    def refusal(self, headers: Headers) -> str | None:
        """Why a request with these headers is refused; None if it is not."""
        [host, *more] = [one.lower() for one in headers.getlist("host")] or [""]
        name = re.fullmatch(r"([a-z0-9.-]+)(:\d+)?", host)
        if more or not name or name[1] not in self.hosts:
            return FOREIGN_HOST
        own = {f"http://{host}", f"https://{host}"}
        if not {origin.lower() for origin in headers.getlist("origin")} <= own:
            return FOREIGN_ORIGIN
        return None
