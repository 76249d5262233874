"""The comment on a pull request, written through an HTTP server that plays GitHub's API."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from include.delivery.pull_requests.github import BOT, GitHub, GitHubError
from include.delivery.pull_requests.text import MARKER

TOKEN = "ghs_notToBeSeen0123456789"
TEXT = f"{MARKER}\n\nBuilt.\n"


@dataclass
class Api:
    """What the server knows and has seen.

    Attributes:
        comments: of pull request 12.
        answers: statuses for the next requests, with headers, in place of an answer.
        slow: seconds before the next answer to a POST, which comes after the comment is written.
        per_page: how many comments a page holds.
    """

    comments: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    slow: float = 0
    per_page: int = 2
    requests: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    next_host: str = ""
    url: str = ""

    def github(self, **options: Any) -> GitHub:
        return GitHub(
            "ada/firn", SecretStr(TOKEN), api=self.url, **{"pause": 0.01, "seconds": 5, **options}
        )


class Handler(BaseHTTPRequestHandler):
    api: Api

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        api = self.api
        path = urlsplit(self.path)
        api.requests.append(f"{self.command} {path.path}")
        api.tokens.add(self.headers["Authorization"])
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        if api.answers:
            status, headers = api.answers.pop(0)
            return self._send(status, {"message": "no\r\n\x1b[31m luck"}, headers)
        if path.path == "/api/repos/ada/firn/issues/12/comments":
            if self.command == "POST":
                api.comments.append({"id": 900, "body": body["body"], "user": {"login": BOT}})
                slow, api.slow = api.slow, 0
                time.sleep(slow)
                return self._send(201, api.comments[-1])
            assert parse_qs(path.query)["per_page"] == ["100"]
            page = int(parse_qs(path.query).get("page", ["1"])[0])
            part = api.comments[(page - 1) * api.per_page : page * api.per_page]
            more = page * api.per_page < len(api.comments)
            link = f"<{api.next_host or api.url}{path.path.removeprefix('/api')}"
            link += f'?per_page=100&page={page + 1}>; rel="next"'
            return self._send(200, part, {"Link": link} if more else {})
        if found := re.fullmatch(r"/api/repos/ada/firn/issues/comments/(\d+)", path.path):
            comment = next(one for one in api.comments if one["id"] == int(found[1]))
            comment["body"] = body["body"]
            return self._send(200, comment)
        if found := re.fullmatch(r"/api/repos/ada/firn/pulls/(1[12])", path.path):
            return self._send(200, {"state": "open" if found[1] == "12" else "closed"})
        return self._send(404, {"message": "Not Found"})

    def _send(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            return


@pytest.fixture
def api() -> Iterator[Api]:
    known = Api()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Playing", (Handler,), {"api": known}))
    known.url = f"http://127.0.0.1:{server.server_port}/api"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield known
    server.shutdown()
    server.server_close()


def others(number: int) -> list[dict[str, Any]]:
    return [{"id": one, "body": "Nice.", "user": {"login": "ada"}} for one in range(number)]


def test_the_first_comment_is_created(api: Api) -> None:
    api.comments = others(1)
    with api.github() as github:
        assert github.say(12, TEXT) == "created"
    assert [one["body"] for one in api.comments] == ["Nice.", TEXT]
    assert api.tokens == {f"Bearer {TOKEN}"}


def test_a_comment_on_a_later_page_is_updated_in_its_place(api: Api) -> None:
    api.comments = [*others(5), {"id": 77, "body": f"{MARKER}\nOld.", "user": {"login": BOT}}]
    with api.github() as github:
        assert github.say(12, TEXT) == "updated"
        assert github.say(12, TEXT) == "unchanged"
    assert api.comments[5]["body"] == TEXT
    assert len(api.comments) == 6
    assert sum(one.startswith("PATCH") for one in api.requests) == 1


def test_the_same_marker_in_another_ones_comment_is_left_alone(api: Api) -> None:
    api.comments = [{"id": 5, "body": f"{MARKER}\nMine.", "user": {"login": "mallory"}}]
    with api.github() as github:
        assert github.say(12, TEXT) == "created"
    assert api.comments[0]["body"] == f"{MARKER}\nMine."


def test_a_text_without_the_marker_is_not_sent(api: Api) -> None:
    with api.github() as github, pytest.raises(GitHubError, match="does not begin with"):
        github.say(12, "Built.")
    assert api.requests == []


def test_passing_trouble_is_tried_again(api: Api) -> None:
    api.answers = [(502, {}), (429, {"Retry-After": "0"}), (403, {"X-RateLimit-Remaining": "0"})]
    with api.github() as github:
        assert github.say(12, TEXT) == "created"
    assert len(api.comments) == 1


def test_trouble_that_stays_is_told_in_a_sentence(api: Api) -> None:
    api.answers = [(503, {})] * 9
    with (
        api.github() as github,
        pytest.raises(GitHubError, match=r"in 4 tries.*503 to GET .*comments \(no .*luck\)"),
    ):
        github.say(12, TEXT)
    assert len(api.answers) == 5


def test_a_refusal_is_not_tried_again_and_shows_no_token(api: Api) -> None:
    api.answers = [(403, {})]
    with api.github() as github, pytest.raises(GitHubError) as caught:
        github.say(12, TEXT)
    assert len(api.requests) == 1
    assert str(caught.value) == (
        "GitHub answered 403 to GET repos/ada/firn/issues/12/comments (no [31m luck)."
    )
    assert TOKEN not in str(caught.value) + repr(caught.value) + repr(vars(github))


def test_a_comment_whose_answer_was_lost_is_not_written_twice(api: Api) -> None:
    api.slow = 1.5
    with api.github(seconds=0.5) as github:
        assert github.say(12, TEXT) == "unchanged"
    assert len(api.comments) == 1


def test_a_server_that_does_not_answer_is_given_up(api: Api) -> None:
    with (
        GitHub("ada/firn", SecretStr(TOKEN), api="http://127.0.0.1:9", pause=0.01) as github,
        pytest.raises(GitHubError, match="no answer to GET"),
    ):
        github.state(12)


def test_the_token_does_not_follow_a_list_to_another_host(api: Api) -> None:
    api.comments, api.next_host = others(3), "http://localhost:1/api"
    with api.github() as github, pytest.raises(GitHubError, match="at another host"):
        github.say(12, TEXT)


def test_a_pull_request_is_open_closed_or_unknown(api: Api) -> None:
    with api.github() as github:
        assert [github.state(number) for number in (12, 11, 99)] == ["open", "closed", "unknown"]


@pytest.mark.parametrize(
    ("repository", "token", "address", "said"),
    [
        ("firn", TOKEN, "https://api.github.com", "GITHUB_REPOSITORY"),
        ("ada/firn/../x", TOKEN, "https://api.github.com", "GITHUB_REPOSITORY"),
        ("ada/firn", " ", "https://api.github.com", "GITHUB_TOKEN"),
        ("ada/firn", TOKEN, "http://api.example.com", "no https address"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(
    repository: str, token: str, address: str, said: str
) -> None:
    with pytest.raises(GitHubError, match=said) as caught:
        GitHub(repository, SecretStr(token), api=address)
    assert TOKEN not in str(caught.value)
