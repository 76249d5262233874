"""The server as a process: starting, stopping, being killed, running out of things."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import snowflake.connector
from snowflake.connector.errors import Error as SnowflakeError
from tenacity import Retrying, stop_after_delay, wait_fixed
from typer.testing import CliRunner, Result

from include.commands.firn import app
from include.local_warehouse.process import ROOT, LocalWarehouse
from include.warehouse.connection import REPOSITORY, WarehouseUnreachableError
from tests import campaign
from tests.conftest import Warehouse, free_port

pytestmark = pytest.mark.integration


def command(warehouse: Warehouse, *arguments: str, typed: str | None = None) -> Result:
    """A command as the program runs it, without a process that imports everything again."""
    environment = warehouse.settings().environment() | {"COLUMNS": "200"}
    return CliRunner(env=environment).invoke(app, arguments, input=typed)


def kill(warehouse) -> None:
    os.kill(warehouse.process.health()["pid"], signal.SIGKILL)
    while warehouse.process.health(timeout=0.2):
        time.sleep(0.05)


def rows(warehouse, statement: str):
    with warehouse.connect(database="RAW", schema="PUBLIC") as connection:
        return connection.cursor().execute(statement).fetchall()


def test_data_survives_a_stop(own_warehouse):
    rows(own_warehouse, "create table t as select 1 as id")
    rows(own_warehouse, "comment on table t is 'kept'")
    rows(own_warehouse, "create role kept")
    assert command(own_warehouse, "warehouse", "stop").exit_code == 0
    with pytest.raises(WarehouseUnreachableError):
        rows(own_warehouse, "select 1")
    # As `make up` starts it: both the command and the server in a new process.
    started = subprocess.run(
        [sys.executable, "-m", "include.commands", "warehouse", "start"],
        cwd=ROOT,
        env=own_warehouse.environment() | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (started.returncode, started.stderr) == (0, "")
    assert "Started the local warehouse" in started.stdout
    assert rows(own_warehouse, "select * from t") == [(1,)]
    assert rows(own_warehouse, "show tables like 't'")[0][5] == "kept"
    assert [row[1] for row in rows(own_warehouse, "show roles like 'kept'")] == ["KEPT"]


def test_commands_tell_the_state(own_warehouse):
    running = command(own_warehouse, "warehouse", "status")
    assert running.exit_code == 0
    assert str(own_warehouse.home) in "".join(running.stdout.split())
    again = command(own_warehouse, "warehouse", "start")
    assert (again.exit_code, "Already running" in again.stdout) == (0, True)
    refused = command(own_warehouse, "warehouse", "reset", "--yes")
    assert (refused.exit_code, "stop it with" in refused.stderr) == (2, True)
    command(own_warehouse, "warehouse", "stop")
    stopped = command(own_warehouse, "warehouse", "status")
    assert (stopped.exit_code, "does not run" in stopped.stdout) == (1, True)
    assert command(own_warehouse, "warehouse", "stop").exit_code == 0
    unreachable = command(own_warehouse, "sql", "select 1")
    assert unreachable.exit_code == 2
    assert str(own_warehouse.port) in unreachable.stderr
    assert command(own_warehouse, "warehouse", "reset", "--yes").exit_code == 0
    assert not (own_warehouse.home / "warehouse").exists()


def test_sql_command(warehouse):
    shown = command(warehouse, "sql", "select 1 as one; select 'b' as letter")
    assert shown.exit_code == 0
    assert re.search(r"ONE[\s\S]*1[\s\S]*LETTER[\s\S]*b", shown.stdout)
    piped = command(warehouse, "sql", typed="select 40 + 2 as answer")
    assert "42" in piped.stdout
    wrong = command(warehouse, "sql", "select * from nowhere.at.all")
    assert wrong.exit_code == 2
    assert len(wrong.stderr.strip().splitlines()) == 1


def test_a_folder_on_another_disk_has_its_password_in_the_home_and_is_closed(tmp_path):
    disk, home = tmp_path / "disk", tmp_path / "home"
    disk.mkdir()
    home.mkdir()
    (home / "warehouse").symlink_to(disk)
    linked = Warehouse(home, free_port())
    (disk / "databases").mkdir()
    (disk / "format").write_text("of an older version")
    linked.process.reset()
    assert not disk.exists()
    disk.mkdir(mode=0o755)
    (disk / "server.log").touch(0o644)
    try:
        assert linked.process.start()
    finally:
        linked.process.stop()
    assert linked.password
    assert not (tmp_path / "local_password").exists()
    assert disk.stat().st_mode & 0o777 == 0o700
    readable = {one.name for one in disk.rglob("*") if one.stat().st_mode & 0o077}
    assert readable == set()


def test_port_taken(own_warehouse):
    command(own_warehouse, "warehouse", "stop")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", own_warehouse.port))
        taken.listen()
        refused = command(own_warehouse, "warehouse", "start")
    assert refused.exit_code == 2
    assert f"Port {own_warehouse.port}" in refused.stderr
    assert "FIRN_LOCAL_PORT" in refused.stderr


def test_it_listens_on_loopback_alone(warehouse):
    address = f"{warehouse.port:04X}"
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{address}") and line.split()[3] == "0A"
    ]
    assert listening == [f"0100007F:{address}"]


def test_second_server_of_the_same_folder(warehouse):
    other = subprocess.run(
        [
            sys.executable,
            "-m",
            "include.local_warehouse",
            f"--data={warehouse.home / 'warehouse'}",
            "--port=1",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert other.returncode == 2
    assert "Another local warehouse already serves" in other.stderr


def test_data_of_another_version(own_warehouse):
    command(own_warehouse, "warehouse", "stop")
    (own_warehouse.home / "warehouse" / "format").write_text("firn-warehouse 0 duckdb 1\n")
    refused = command(own_warehouse, "warehouse", "start")
    assert refused.exit_code == 2
    assert "firn-warehouse 0 duckdb 1" in refused.stderr
    assert "reset" in refused.stderr


def test_full_disk_is_said_and_nothing_is_half_written(own_warehouse):
    # No file of the server may grow past 8 MiB: what a full disk is, without root.
    limit = (8 << 20, 8 << 20)
    resource.prlimit(own_warehouse.process.health()["pid"], resource.RLIMIT_FSIZE, limit)
    rows(own_warehouse, "create table small as select 1 as id")
    with pytest.raises(SnowflakeError, match="disk is full"):
        rows(
            own_warehouse,
            "create table big as select uuid_string() as a, uuid_string() as b, uuid_string() as c "
            "from table(generator(rowcount => 250000))",
        )
    own_warehouse.process.stop()
    own_warehouse.process.start()
    assert rows(own_warehouse, "select * from small") == [(1,)]
    assert rows(own_warehouse, "show tables like 'big'") == []


def test_killed_at_any_time_it_keeps_what_was_committed(own_warehouse):
    rows(own_warehouse, "create table ledger (id int, half int)")
    acknowledged: list[int] = []

    def write() -> None:
        number = len(acknowledged)
        try:
            with own_warehouse.connect(database="RAW", schema="PUBLIC") as connection:
                cursor = connection.cursor()
                while True:
                    cursor.execute("begin")
                    cursor.execute(f"insert into ledger values ({number}, 1)")
                    cursor.execute(f"insert into ledger values ({number}, 2)")
                    cursor.execute("commit")
                    acknowledged.append(number)
                    number += 1
        except Exception:
            return

    for pause in (0.02, 0.1, 0.2, 0.3):
        writer, before = threading.Thread(target=write), len(acknowledged)
        writer.start()
        for attempt in Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.02), reraise=True):
            with attempt:
                assert len(acknowledged) > before + 5
        time.sleep(pause)
        kill(own_warehouse)
        own_warehouse.process.start()
        writer.join(120)
        assert not writer.is_alive(), "a client must learn that its session is gone"
        found = dict(rows(own_warehouse, "select id, count(*) from ledger group by id"))
        assert set(acknowledged) <= set(found), "a committed row is gone"
        assert set(found.values()) <= {2}, "half a transaction is left"
        rows(own_warehouse, f"delete from ledger where id >= {len(acknowledged)}")
    assert len(acknowledged) > 20


def memory(pid: int) -> int:
    """Resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.campaign
def test_memory_stays_flat_over_thousands_of_statements(own_warehouse):
    pid = own_warehouse.process.health()["pid"]
    rows(
        own_warehouse,
        "create table t as select seq4() as id from table(generator(rowcount => 1000))",
    )

    def work(session: int, statements: int) -> None:
        with own_warehouse.connect(database="RAW", schema="PUBLIC") as connection:
            cursor = connection.cursor()
            for number in range(statements // 5):
                cursor.execute(f"select *, {number} as n from t").fetchall()
                cursor.execute(f"create or replace temporary table tmp as select {number} as n")
                cursor.execute(f"create or replace table t{session} as select {number} as n")
                cursor.execute(f"update t{session} set n = n + 1")
                cursor.execute(f"select count(*) from t{session} where n > {number}").fetchall()

    for session in range(4):
        work(session, campaign.size(125, 500))
    settled = memory(pid)
    sessions, statements = 16, campaign.size(75, 500)
    for session in range(sessions):
        work(session % 4, statements)
    grown = memory(pid) - settled
    assert own_warehouse.process.health()["sessions"] == 0
    further = sessions * statements
    assert grown < 8 * 1024 * further, f"{grown / further:.0f} bytes more for each of {further}"


def test_a_half_made_database_is_completed(own_warehouse):
    rows(own_warehouse, "drop schema RAW.PUBLIC")
    kill(own_warehouse)
    assert command(own_warehouse, "warehouse", "start").exit_code == 0
    assert rows(own_warehouse, "select current_schema()") == [("PUBLIC",)]


def test_a_torn_file_is_named(own_warehouse):
    command(own_warehouse, "warehouse", "stop")
    file = own_warehouse.home / "warehouse" / "databases" / "RAW.db"
    file.write_bytes(b"not a database" * 400)
    refused = command(own_warehouse, "warehouse", "start")
    assert refused.exit_code == 2
    assert str(file) in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_files_are_put_and_got_with_a_signature_alone(warehouse, schema):
    rows(warehouse, f"create stage {schema}.s")
    address = f"http://127.0.0.1:{warehouse.port}/fs_bucket/RAW/{schema}/S/evil.csv"
    for method in ("PUT", "GET"):
        request = urllib.request.Request(address, data=b"1", method=method)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)  # noqa: S310
        assert caught.value.code in (403, 405)
    assert rows(warehouse, f"list @{schema}.s") == []


def test_other_host_names_are_refused(warehouse):
    request = urllib.request.Request(
        f"http://127.0.0.1:{warehouse.port}/health", headers={"Host": "evil.example"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)  # noqa: S310
    assert caught.value.code == 400


def test_the_package_serves_without_the_rest_of_firn(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "include" / "local_warehouse", tmp_path / "snow" / "flake")
    port = free_port()
    log = tmp_path / "log"
    with log.open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "flake", f"--data={tmp_path / 'data'}", f"--port={port}"],
            cwd=tmp_path / "snow",
            env={"PATH": os.environ["PATH"], "FIRN_LOCAL_PASSWORD": "of our own"},
            stdout=said,
            stderr=said,
        )
    try:
        warehouse = LocalWarehouse(tmp_path / "data", port, tmp_path)
        for _ in Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.2)):
            if warehouse.health() or server.poll() is not None:
                break
        with snowflake.connector.connect(
            account="local",
            user="anyone",
            password="of our own",
            host="127.0.0.1",
            port=port,
            protocol="http",
        ) as connection:
            connection.cursor().execute("create database shop")
            cursor = connection.cursor()
            cursor.execute("select 40 + 2")
            [(answer,)] = cursor.fetchall()
        assert answer == 42
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert "include" not in log.read_text()
