"""The server process: `python -m include.local_warehouse --data FOLDER --port PORT`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

import uvicorn

from .errors import WarehouseError
from .login import SETTING, LocalLogin, LocalLoginError
from .server import Server, logger
from .statements import ABANDONED_SECONDS, Orders
from .store import Store

HOST = "127.0.0.1"
IDLE_LIMIT_VARIABLE = "FIRN_LOCAL_IDLE_TRANSACTION_SECONDS"


def serve(folder: Path, port: int) -> None:
    """Serve a data folder until SIGTERM or SIGINT; every file is closed cleanly then.

    The password and the key are beside the folder, where no stage reaches. If the folder is a link,
    they are beside the link.

    Raises:
        WarehouseError: the folder cannot be served.
        LocalLoginError: the password or the key cannot be made or read.
    """
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        level=logging.INFO,
        stream=sys.stdout,
    )
    idle_seconds = float(os.environ.get(IDLE_LIMIT_VARIABLE, "60"))
    store = Store(folder, idle_seconds)
    login = LocalLogin(folder.absolute().parent, os.environ.get(SETTING))
    login.make()

    def stop(reason: str) -> None:
        # DuckDB refuses everything after an internal failure; a new process reads its log again.
        logger.critical("%s; stopping, start the local warehouse again", reason)
        os.kill(os.getpid(), signal.SIGTERM)

    orders = Orders(abandoned_seconds=min(ABANDONED_SECONDS, idle_seconds))
    server = Server(store, login, on_fatal=stop, orders=orders)
    uvicorn.run(
        server.app,
        host=HOST,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=3600,
        timeout_graceful_shutdown=5,
    )


def main() -> None:
    """Serve the folder that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m include.local_warehouse",
        description=f"Serve a Snowflake-compatible warehouse on {HOST}. The user is any name; the "
        f"password is that of ${SETTING}, else one that is made in the folder above the data.",
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the databases")
    parser.add_argument("--port", type=int, default=8480, help="8480 by default")
    given = parser.parse_args()
    # Other users must not read the files: they would need no login.
    os.umask(0o077)
    try:
        serve(given.data, given.port)
    except (WarehouseError, LocalLoginError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
