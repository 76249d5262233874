"""The login of Airflow on this machine: it takes a password, and answers to known host names only.

The API server loads this module when ``AIRFLOW__CORE__AUTH_MANAGER`` names it: under ``make up``
and in the development containers.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from include.airflow.environment import airflow_hosts

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

FOREIGN_HOST = (
    "This Airflow does not answer to the host name in this address: use 127.0.0.1 or localhost, or "
    "add the name to FIRN_AIRFLOW_HOSTS."
)
FOREIGN_ORIGIN = "A page of another site sent this request: open Airflow's own page."


class LocalAuthManager(SimpleAuthManager):
    """Airflow's simple login. Its password is made once, in a file that only this user can read."""

    def init(self) -> None:
        """Do what Airflow does, but let nobody else read the file that it writes."""
        file = Path(self.get_generated_password_file())
        file.touch(mode=0o600)
        file.chmod(0o600)
        super().init()

    @staticmethod
    def _print_output(output: str) -> None:
        """Print nothing: Airflow would write the new password into its log, which is kept."""

    def get_fastapi_middlewares(self) -> list[tuple[Any, dict[str, Any]]]:
        """Add a check of where a request comes from, before anything else reads it."""
        return [*super().get_fastapi_middlewares(), (OwnPagesOnly, {"hosts": airflow_hosts()})]


class OwnPagesOnly:
    """Refuses requests that a browser sends on behalf of another site.

    Listening on 127.0.0.1 does not keep such requests out. A site can make its own name resolve to
    127.0.0.1, so that the browser takes Airflow for a part of that site: the Host header shows it.
    Or a site posts a form to Airflow, and the browser adds the cookie of whoever is logged in: the
    Origin header shows it.
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
