"""What an incremental run reads, with some history and with ten times as much.

The local warehouse runs in this process, so that DuckDB's profile of every statement is at hand.
Its tables are divided into small row groups. DuckDB skips them by their least and greatest values,
as Snowflake skips micro-partitions. The rows of those that it did not skip are counted.
"""

# ruff: noqa: S608 - names are made here, from constants.
from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import uvicorn
from dbt.cli.main import dbtRunner

from benchmarks.results import BenchmarkError, Detail, Report, Result, Say
from benchmarks.warehouse import own_settings, temporary_folder
from include.delivery.account import create_databases
from include.domains.affiliate import sample as affiliate
from include.domains.forex import sample as forex
from include.domains.gaming import sample as gaming
from include.domains.retail import sample as retail
from include.domains.tpch import sample as tpch
from include.ingestion.loader import load_source
from include.ingestion.sources import load_domain
from include.local_warehouse.login import SETTING, LocalLogin
from include.local_warehouse.server import Server
from include.local_warehouse.store import Store
from include.warehouse.connection import REPOSITORY, ConnectionSettings, connect

DOMAINS = ("affiliate", "forex", "gaming", "retail", "tpch")
ROW_GROUP = 2_048
"""The least that DuckDB allows. A few thousand rows then are several groups, as on an account."""

MOST_RATIO = 1.3

MARGINS = {"gaming_load_lookback_minutes": 0, "retail_lookback_hours": 0}
"""Runs look further back than the last load, and here all of history is minutes old."""

_CHECKSUMS = "checksums of all months find any correction; forex_lookback_months limits them"
_FILES = "the loads of all rows tell which files came again; affiliate_lookback_days limits them"
REASONS = {
    "fct_forex__transaction": _CHECKSUMS,
    "int_forex__parsed_transactions": "compares all stamps; forex_lookback_hours limits them",
    "int_forex__transactions": _CHECKSUMS,
    "int_retail__transactions": "the loads of all rows tell which files came again",
    "mart_retail__data_quality": "the merge looks for its keys among a few rows a load",
    "stg_affiliate__manual": _FILES,
    "stg_affiliate__routy": _FILES,
    "stg_affiliate__scrapers": _FILES,
    "stg_affiliate__voluum": _FILES,
    "stg_forex__missing_quantity": _CHECKSUMS,
    "stg_gaming__purchase_places": "transaction ids are in no order: each is looked up",
    "stg_tpch__fct_lineitem": "the source has no load time: checksums of everything",
    "stg_tpch__fct_orders": "the source has no load time: checksums of everything",
}
"""Why models read more when there is more history."""

UNEXPLAINED = "**no reason is known**"


@dataclass(frozen=True)
class Read:
    """What the run of a model cost.

    Attributes:
        rows: scanned, in all statements of the run.
        seconds: of the processor, in DuckDB.
    """

    rows: int
    seconds: float


@dataclass(frozen=True)
class Increment:
    """An incremental model's run on the same new rows, by how much was there before.

    Attributes:
        model: its name.
        less: with a history.
        more: with ten times that.
    """

    model: str
    less: Read
    more: Read

    @property
    def ratio(self) -> float:
        """Rows scanned with more history, of those with less."""
        return self.more.rows / max(1, self.less.rows)

    @property
    def remark(self) -> str:
        """Why a high ratio is right, or that nobody has said so."""
        if self.ratio <= MOST_RATIO:
            return ""
        return REASONS.get(self.model, UNEXPLAINED)


class Meter:
    """Adds up what statements cost, by the model that is being run."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.rows: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)

    def add(self, profile: dict[str, Any]) -> None:
        """Count a statement; one that DuckDB answered from its statistics has no profile."""
        if self.model and (query := profile.get("query")):
            self.rows[self.model] += query["total_rows_scanned"]
            self.seconds[self.model] += query["cpu_time"]

    def heard(self, event: Any) -> None:
        """What dbt tells: which model begins and which is done."""
        if event.info.name in {"NodeStart", "NodeFinished"}:
            begins = event.info.name == "NodeStart"
            self.model = event.data.node_info.node_name if begins else None


class Metered:
    """A DuckDB connection whose statements are profiled."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, meter: Meter) -> None:
        self._connection, self._meter = connection, meter
        connection.execute("SET enable_profiling = 'no_output'")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __enter__(self) -> Metered:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def cursor(self) -> Metered:
        """Another connection, metered too."""
        return Metered(self._connection.cursor(), self._meter)

    def execute(self, sql: Any, *arguments: Any) -> Metered:
        """Run a statement and count it."""
        if isinstance(sql, str) and sql.startswith("ATTACH"):
            sql += f" (ROW_GROUP_SIZE {ROW_GROUP})"
        self._connection.execute(sql, *arguments)
        self._meter.add(json.loads(self._connection.get_profiling_information(format="json")))
        return self


class MeteredStore(Store):
    """The local warehouse's data in small row groups, over metered connections."""

    meter: Meter

    def _open(self) -> Any:
        return Metered(super()._open(), self.meter)


@contextmanager
def warehouse(settings: ConnectionSettings, meter: Meter) -> Iterator[None]:
    """A local warehouse in this process, with the project's databases."""
    MeteredStore.meter = meter
    login = LocalLogin(settings.warehouse_home.absolute().parent, os.environ.get(SETTING))
    settings.warehouse_home.mkdir(parents=True)
    store = MeteredStore(settings.warehouse_home)
    login.make()
    server = uvicorn.Server(
        uvicorn.Config(
            Server(store, login).app,
            "127.0.0.1",
            settings.port,
            log_level="error",
            access_log=False,
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            time.sleep(0.05)
        create_databases(settings)
        yield
    finally:
        server.should_exit = True
        thread.join()


class History:
    """Sample data: some days of it, and then as much again every time.

    Args:
        settings: of the warehouse.
        domains: whose data.
        days: how many come first.
        rows: of a day's largest source.
    """

    def __init__(
        self, settings: ConnectionSettings, domains: Collection[str], days: int, rows: int
    ) -> None:
        self.settings, self.domains, self.days, self.rows = settings, domains, days, rows
        self.landing = settings.home / "landing"
        self.sizes = retail.Sizes(customers=rows // 5, transactions=rows, products=100)

    def begin(self) -> None:
        """Deliver and load the first days."""
        for domain in self.domains:
            getattr(self, f"_{domain}")(0, self.days)
            self._load(domain)

    def go_on(self) -> None:
        """Deliver and load what comes next."""
        for domain in self.domains:
            getattr(self, f"_{domain}")(self.days, 1)
            self._load(domain)
        self.days += 1

    def _affiliate(self, first: int, days: int) -> None:
        start = affiliate.START + timedelta(days=first)
        affiliate.deliver(self.landing, start=start, days=days, rows=self.rows)

    def _forex(self, first: int, days: int) -> None:
        for number in range(first, first + days):
            forex.deliver(number + 1, self.rows, landing=self.landing)

    def _gaming(self, first: int, days: int) -> None:
        if first:
            gaming.play_on(60, settings=self.settings)
            return
        gaming.fill(self.rows // 8, 1, settings=self.settings)
        for _ in range(1, days):
            # A load a day: a single one would leave all of history in no order.
            self._load("gaming")
            gaming.play_on(1440, settings=self.settings)

    def _retail(self, first: int, days: int) -> None:
        for number in range(first, first + days):
            day = retail.START + timedelta(days=number)
            retail.deliver(day, self.sizes, landing=self.landing)

    def _tpch(self, first: int, days: int) -> None:
        if not first:
            tpch.load(self.rows * days / 1_500_000, settings=self.settings)
            return
        # The generator makes no increments: some of the latest orders come again, by other keys.
        with connect(self.settings, database=tpch.DATABASE, schema=tpch.SCHEMA) as connection:
            for table, key in (("lineitem", "l_orderkey"), ("orders", "o_orderkey")):
                connection.cursor().execute(
                    f"insert into {table} select * replace ({key} + {10**9 * first} as {key})"
                    f" from {table} where {key} in (select o_orderkey from orders"
                    f" where o_orderkey < {10**9}"
                    f" order by o_orderdate desc, o_orderkey limit {self.rows // 10})"
                )

    def _load(self, domain: str) -> None:
        if domain == "tpch":
            return
        for source in load_domain(domain).sources:
            load_source(source, settings=self.settings, landing=self.landing)


class Dbt:
    """The incremental models of some domains and all they are made of, in one process.

    Args:
        folder: for dbt's files.
        domains: whose models.
    """

    def __init__(self, folder: Path, domains: Collection[str]) -> None:
        project = str(REPOSITORY / "dbt")
        self.options = [
            *("--quiet", "--threads", "1", "--project-dir", project, "--profiles-dir", project),
            *("--target-path", str(folder / "dbt"), "--log-path", str(folder)),
            f"--vars={json.dumps(MARGINS)}",
        ]
        self.selected = [
            f"+config.materialized:incremental,+path:models/*/{one}" for one in domains
        ]
        self.manifest: Any = None

    def build(self, meter: Meter) -> list[str]:
        """Build them; the names of the incremental ones.

        Raises:
            BenchmarkError: dbt failed.
        """
        said: list[str] = []

        def heard(event: Any) -> None:
            meter.heard(event)
            if event.info.level == "error":
                said.append(event.info.msg)

        if self.manifest is None:
            self.manifest = dbtRunner().invoke(["parse", *self.options]).result
        done = dbtRunner(self.manifest, callbacks=[heard]).invoke(
            [
                *("build", *self.options, "--select", *self.selected),
                *("--exclude-resource-type", "test", "unit_test", "snapshot"),
            ]
        )
        if not done.success:
            raise BenchmarkError("dbt failed:\n" + "\n".join(said or [str(done.exception)]))
        results: Any = done.result
        return [
            result.node.name
            for result in results
            if result.node.config.get("materialized") == "incremental"
        ]


def run(domains: Collection[str] | None, rows: int, days: int, times: int, say: Say) -> Report:
    """Run every incremental model on the same new rows, with little and with much history.

    Args:
        domains: the domains whose models are measured; all if None or empty.
        rows: of a day's largest source.
        days: of the smaller history.
        times: how much longer the other one is.
        say: told what is going on.

    Raises:
        BenchmarkError: a domain is unknown, or dbt failed.
    """
    domains = domains or DOMAINS
    if unknown := {*domains} - {*DOMAINS}:
        raise BenchmarkError(f"{min(unknown)} is not one of {', '.join(DOMAINS)}.")
    with temporary_folder() as folder:
        found = _measure(folder, domains, rows, days, times, say)
    history = f"{times} x history"
    return Report(
        [
            Result(
                "increments",
                f"rows read by {len(found)} models with {history}",
                sum(one.more.rows for one in found),
                "rows",
                sum(one.less.rows for one in found),
                f"{days} days",
            ),
            Result(
                "increments",
                f"models that read over {MOST_RATIO} times as much without a reason",
                sum(one.remark == UNEXPLAINED for one in found),
                "models",
                target=0,
            ),
        ],
        Detail(
            (
                *("model", "rows read", history, "ratio"),
                *("CPU ms", history, "ratio", f"why above {MOST_RATIO}"),
            ),
            [
                (
                    one.model,
                    f"{one.less.rows:,}",
                    f"{one.more.rows:,}",
                    f"{one.ratio:.2f}",
                    f"{1000 * one.less.seconds:.1f}",
                    f"{1000 * one.more.seconds:.1f}",
                    f"{one.more.seconds / one.less.seconds:.2f}",
                    one.remark,
                )
                for one in found
            ],
        ),
    )


def _measure(
    folder: Path, domains: Collection[str], rows: int, days: int, times: int, say: Say
) -> list[Increment]:
    found: list[dict[str, Read]] = []
    for length in (days, times * days):
        say(f"Loading and building {length} days of {rows:,} rows")
        meter, home = Meter(), own_settings(folder / str(length))
        with patch.dict(os.environ, home.environment()), warehouse(home, meter):
            dbt = Dbt(home.home, domains)
            history = History(home, domains, length, rows)
            history.begin()
            dbt.build(meter)
            # Without it, the last load before the one that is measured would be all of history.
            history.go_on()
            dbt.build(meter)
            history.go_on()
            meter.rows.clear()
            meter.seconds.clear()
            models = dbt.build(meter)
        found.append({one: Read(meter.rows[one], meter.seconds[one]) for one in models})
    less, more = found
    return [Increment(model, less[model], more[model]) for model in sorted(less)]
