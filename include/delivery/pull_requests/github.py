"""GitHub's API, as far as a pull request's comment and its state need it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from include.delivery.pull_requests.errors import CiError
from include.delivery.pull_requests.text import MARKER

API = "https://api.github.com"
BOT = "github-actions[bot]"
"""Who writes with a workflow's own token."""

SECONDS = 20.0
ATTEMPTS = 4
LONGEST_WAIT = 30.0

_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class GitHubError(CiError):
    """GitHub did not do what was asked; the message says what it answered, never the token."""


class _PassingError(Exception):
    """Worth another try."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class GitHub:
    """The pull requests of one repository.

    Args:
        repository: owner and name, with a slash between.
        token: of whoever speaks; needs `pull-requests: write` for a comment.
        api: the address of the API, https unless it is on this machine.
        author: whose comment is updated; the same marker in someone else's comment is left alone.
        seconds: how long an answer may take.
        pause: seconds before the second try, doubled with each.

    Raises:
        GitHubError: repository or address is malformed, or the token is empty.
    """

    def __init__(
        self,
        repository: str,
        token: SecretStr,
        *,
        api: str = API,
        author: str = BOT,
        seconds: float = SECONDS,
        pause: float = 1.0,
    ) -> None:
        if not _REPOSITORY.fullmatch(repository):
            raise GitHubError(f"GITHUB_REPOSITORY is {repository[:80]!r}: set it to owner/name.")
        address = urlsplit(api)
        if address.scheme != "https" and address.hostname not in _LOOPBACK:
            raise GitHubError("GITHUB_API_URL is no https address: the token is not sent to it.")
        if not token.get_secret_value().strip():
            raise GitHubError("GITHUB_TOKEN is not set: give a token that may comment.")
        self._repository, self._author, self._pause = repository, author, pause
        self._client = httpx.Client(
            base_url=f"{api.rstrip('/')}/",
            timeout=seconds,
            follow_redirects=False,
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {token.get_secret_value().strip()}",
                "X-GitHub-Api-Version": "2022-11-28",
                "User-Agent": "firn",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def say(self, number: int, text: str) -> str:
        """Write the comment of a pull request, or bring it up to date in its place.

        Args:
            number: the pull request.
            text: begins with `MARKER`.

        Returns:
            created, updated or unchanged.

        Raises:
            GitHubError: it could not be written.
        """
        if not text.startswith(MARKER):
            raise GitHubError("The text is no comment of ours: it does not begin with the marker.")
        return self._tried(lambda: self._say(number, text))

    def state(self, number: int) -> str:
        """Whether a pull request is open or closed; unknown if GitHub does not know it.

        Raises:
            GitHubError: GitHub did not answer.
        """

        def ask() -> str:
            answer = self._send("GET", f"repos/{self._repository}/pulls/{number}", known=(404,))
            if answer.status_code == 404:
                return "unknown"
            return "closed" if answer.json().get("state") == "closed" else "open"

        return self._tried(ask)

    def _say(self, number: int, text: str) -> str:
        # The list is asked for in every try: a comment whose answer was lost is there already.
        for one in self._comments(number):
            author = (one.get("user") or {}).get("login")
            if author == self._author and str(one.get("body") or "").startswith(MARKER):
                if str(one["body"]).replace("\r\n", "\n").strip() == text.strip():
                    return "unchanged"
                path = f"repos/{self._repository}/issues/comments/{int(one['id'])}"
                self._send("PATCH", path, json={"body": text})
                return "updated"
        self._send(
            "POST", f"repos/{self._repository}/issues/{number}/comments", json={"body": text}
        )
        return "created"

    def _comments(self, number: int) -> Iterator[dict[str, Any]]:
        path: str | None = f"repos/{self._repository}/issues/{number}/comments?per_page=100"
        while path:
            answer = self._send("GET", path)
            yield from answer.json()
            path = answer.links.get("next", {}).get("url")
            if path and httpx.URL(path).host != self._client.base_url.host:
                raise GitHubError(
                    "GitHub's list of comments goes on at another host; not followed."
                )

    def _send(
        self, method: str, path: str, *, json: object = None, known: tuple[int, ...] = ()
    ) -> httpx.Response:
        where = f"{method} {urlsplit(path).path.removeprefix(self._client.base_url.path)}"
        try:
            answer = self._client.request(method, path, json=json)
        except httpx.TransportError as error:
            raise _PassingError(f"no answer to {where} ({type(error).__name__})") from None
        if answer.is_success or answer.status_code in known:
            return answer
        said = f"{answer.status_code} to {where}{_message(answer)}"
        if answer.status_code in {429} or answer.is_server_error or _is_limited(answer):
            raise _PassingError(said, _retry_after(answer))
        raise GitHubError(f"GitHub answered {said}.")

    def _tried(self, action: Callable[[], str]) -> str:
        growing = wait_exponential(multiplier=self._pause, max=LONGEST_WAIT)

        def pause(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.wait if isinstance(error, _PassingError) else None
            return growing(state) if asked is None else asked

        again = Retrying(
            retry=retry_if_exception_type(_PassingError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=pause,
            reraise=True,
        )
        try:
            return again(action)
        except _PassingError as error:
            raise GitHubError(
                f"GitHub did not do it in {ATTEMPTS} tries, the last time: {error}."
            ) from None


def _message(answer: httpx.Response) -> str:
    try:
        message = str(answer.json().get("message") or "")
    except (ValueError, AttributeError):
        message = ""
    line = " ".join("".join(one if one.isprintable() else " " for one in message).split())
    return f" ({line[:200]})" if line else ""


def _is_limited(answer: httpx.Response) -> bool:
    return answer.status_code == 403 and (
        "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0"
    )


def _retry_after(answer: httpx.Response) -> float | None:
    value = answer.headers.get("retry-after", "")
    return min(float(value), LONGEST_WAIT) if value.isdigit() else None
