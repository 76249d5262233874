"""A webhook of Slack on this machine, which behaves well or badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")
"""Settings of the machine that would send messages somewhere else."""

SECRET = "T0/B0/made-up-secret"


class Slack(ThreadingHTTPServer):
    """A webhook of Slack on this machine.

    Attributes:
        manner: how it answers: ok, error, silent (takes the message and says nothing) or dripping
            (a byte now and then, for ever).
        texts: the messages it got.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.manner = "ok"
        self.texts: list[str] = []
        self.over = threading.Event()

    @property
    def connection(self) -> str:
        url = f"http://127.0.0.1:{self.server_port}/services/{SECRET}"
        return json.dumps({"conn_type": "slackwebhook", "password": url})


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        slack = cast(Slack, self.server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == f"/services/{SECRET}"
        # Elementary's messages are made of blocks.
        slack.texts.append(body.get("text") or json.dumps(body, ensure_ascii=False))
        if slack.manner == "silent":
            slack.over.wait(60)
            return
        if slack.manner == "dripping":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not slack.over.wait(0.5):
                self.wfile.write(b"a")
                self.wfile.flush()
            return
        self.send_response(500 if slack.manner == "error" else 200)
        self.end_headers()
        self.wfile.write(b"invalid_payload" if slack.manner == "error" else b"ok")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Slack]:
    slack = Slack()
    threading.Thread(target=slack.serve_forever, daemon=True).start()
    try:
        yield slack
    finally:
        slack.over.set()
        slack.shutdown()
        slack.server_close()
