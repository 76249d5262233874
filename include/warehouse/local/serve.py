"""The server process: `python -m include.warehouse.local.serve FOLDER PORT`."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import uvicorn

from include.variables import variable
from include.warehouse.local.errors import WarehouseError
from include.warehouse.local.server import Server, logger
from include.warehouse.local.statements import ABANDONED_SECONDS, Orders
from include.warehouse.local.store import Store
from include.warehouse.local_login import SETTING, LocalLogin, LocalLoginError

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
    login = LocalLogin(folder.absolute().parent, variable(SETTING))
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
    """Entry point of the process."""
    # Other users must not read the files: they would need no login.
    os.umask(0o077)
    folder, port = sys.argv[1:]
    try:
        serve(Path(folder), int(port))
    except (WarehouseError, LocalLoginError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
