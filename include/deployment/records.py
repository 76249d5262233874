"""The book of deployments, the right to be the only one, and what was paused meanwhile.

All of it are tables of RAW.META, because the database that models are built in is swapped.
"""

# ruff: noqa: S608 - the tables are named here, every value is bound.
from __future__ import annotations

import getpass
import json
import secrets
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from snowflake.connector.errors import Error as SnowflakeError

from include.deployment.errors import DeploymentError
from include.warehouse.connection import (
    ConnectionSettings,
    WarehouseUnreachableError,
    connect,
)

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

DEPLOYMENTS = "RAW.META.DEPLOYMENTS"
LOCK = "RAW.META.DEPLOYMENT_LOCK"
PAUSED = "RAW.META.DEPLOYMENT_PAUSED"
RENEW_SECONDS = 15.0
SILENT_SECONDS = 120
"""A deployment that has not renewed its right for so long is dead; the next one takes over."""

Kind = Literal["deploy", "rollback"]
Status = Literal["running", "deployed", "failed", "abandoned"]

_COLUMNS = """
    deployment_id varchar not null,
    kind varchar not null,
    sha varchar,
    build_id varchar,
    replaced_id varchar,
    status varchar not null,
    step varchar not null,
    reason varchar,
    who varchar not null,
    host varchar not null,
    row_counts varchar,
    state varchar,
    started_at timestamp_ntz not null,
    finished_at timestamp_ntz
"""


@dataclass(frozen=True)
class Record:
    """One deployment or roll-back.

    Attributes:
        deployment_id: names it; a later one has a greater one.
        kind: deploy or rollback.
        sha: the commit that it brings to production; None if that was built by no deployment.
        build_id: the deployment that built what it brings to production; None for the same reason.
        replaced_id: the deployment that built what it replaces.
        status: what became of it.
        step: how far it came.
        reason: why it ended there, or what is left to do.
        who: the user and machine that ran it.
        row_counts: rows of each mart that was compared, by name.
        state: when each table of what it brings was last changed, at the swap, by name.
        started_at: in UTC.
    """

    deployment_id: str
    kind: Kind
    sha: str | None
    build_id: str | None
    replaced_id: str | None
    status: Status
    step: str
    reason: str | None
    who: str
    row_counts: Mapping[str, int]
    state: Mapping[str, str]
    started_at: datetime


class Book:
    """The tables, over connections of their own.

    Args:
        settings: which warehouse.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        self._ended = threading.Event()
        self.deployment_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}_{secrets.token_hex(3)}"
        self.who = getpass.getuser()
        self.host = socket.gethostname()

    @contextmanager
    def _cursor(self) -> Iterator[SnowflakeCursor]:
        with (
            connect(
                self.settings,
                database="RAW",
                as_loader=True,
                query_tag={"deployment": self.deployment_id},
            ) as connection,
            connection.cursor() as cursor,
        ):
            yield cursor

    def create(self) -> None:
        """Make the tables, unless they are there."""
        with self._cursor() as cursor:
            cursor.execute(
                "select table_name from RAW.INFORMATION_SCHEMA.TABLES"
                " where table_schema = 'META' and table_name like 'DEPLOYMENT%'"
            )
            if len(cursor.fetchall()) == 3:
                return
            cursor.execute("create schema if not exists RAW.META")
            cursor.execute(f"create table if not exists {DEPLOYMENTS} ({_COLUMNS})")
            cursor.execute(
                f"create table if not exists {LOCK}"
                " (holder varchar, who varchar, renewed_at timestamp_ntz)"
            )
            cursor.execute(
                f"create table if not exists {PAUSED} (dag_id varchar not null,"
                " deployment_id varchar not null, paused_at timestamp_ntz not null)"
            )

    # -- the right to be the only one ---------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only deployment; who is killed holds the next one up for two minutes at most.

        Raises:
            DeploymentError: another one goes on.
        """
        self.create()
        with self._cursor() as cursor:
            cursor.execute(
                f"insert into {LOCK} select null, null, null"
                f" where not exists (select 1 from {LOCK})"
            )
            cursor.execute(
                f"""
                update {LOCK} set holder = %(me)s, who = %(who)s, renewed_at = sysdate()
                where holder is null
                    or renewed_at < dateadd(second, -%(silent)s, sysdate())
                """,
                {
                    "me": self.deployment_id,
                    "who": f"{self.who} on {self.host}",
                    "silent": SILENT_SECONDS,
                },
            )
            if not cursor.rowcount:
                holder, who, seconds = self.holder() or ("another", "somebody", 0)
                raise DeploymentError(
                    f"Deployment {holder} by {who} goes on, last heard of {seconds} seconds ago: "
                    "wait for it. If it was killed, it gives way two minutes after that; "
                    "`python -m include.deployment unlock` does not wait. Production is as it was."
                )
        renewing = threading.Thread(target=self._keep_renewing, daemon=True)
        renewing.start()
        try:
            yield
        finally:
            self._ended.set()
            renewing.join(RENEW_SECONDS)
            with suppress(SnowflakeError, WarehouseUnreachableError):
                self._release(self.deployment_id)

    def _keep_renewing(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            # One that fails is tried again; the right lasts for several of them.
            with suppress(SnowflakeError, WarehouseUnreachableError, DeploymentError):
                self.still_alone()

    def still_alone(self) -> None:
        """Renew the right.

        Raises:
            DeploymentError: somebody else has it by now.
        """
        with self._cursor() as cursor:
            cursor.execute(
                f"update {LOCK} set renewed_at = sysdate() where holder = %(me)s",
                {"me": self.deployment_id},
            )
            if not cursor.rowcount:
                raise DeploymentError(
                    "Another deployment took over, as this one was silent for too long, or was "
                    "told to by `unlock`. Look at `python -m include.deployment status`."
                )

    def holder(self) -> tuple[str, str, int] | None:
        """Which deployment goes on, by whom, and how many seconds ago it was last heard of."""
        with self._cursor() as cursor:
            cursor.execute(
                f"select holder, who, datediff(second, renewed_at, sysdate()) from {LOCK}"
                " where holder is not null limit 1"
            )
            row = cursor.fetchone()
        return (str(row[0]), str(row[1]), int(row[2])) if isinstance(row, tuple) else None

    def unlock(self) -> str | None:
        """Take the right away from whoever has it; gives the deployment that had it."""
        self.create()
        held = self.holder()
        if held:
            self._release(held[0])
        return held[0] if held else None

    def _release(self, holder: str) -> None:
        with self._cursor() as cursor:
            cursor.execute(
                f"update {LOCK} set holder = null where holder = %(holder)s", {"holder": holder}
            )

    # -- what was paused ----------------------------------------------------------------------

    def paused(self) -> list[str]:
        """The DAGs that deployments have paused and not resumed."""
        with self._cursor() as cursor:
            cursor.execute(f"select distinct dag_id from {PAUSED} order by dag_id")
            return [str(row[0]) for row in cursor.fetchall() if isinstance(row, tuple)]

    def remember_paused(self, dag_ids: Collection[str]) -> None:
        """Enter DAGs that this deployment is about to pause."""
        if dag_ids:
            with self._cursor() as cursor:
                cursor.executemany(
                    f"insert into {PAUSED} (dag_id, deployment_id, paused_at)"
                    " values (%(dag)s, %(id)s, sysdate())",
                    [{"dag": dag_id, "id": self.deployment_id} for dag_id in sorted(dag_ids)],
                )

    def forget_paused(self) -> None:
        """Enter that all were resumed."""
        with self._cursor() as cursor:
            cursor.execute(f"delete from {PAUSED}")

    # -- the book -----------------------------------------------------------------------------

    def begin(
        self, kind: Kind, sha: str | None, build_id: str | None, replaced_id: str | None
    ) -> None:
        """Enter this deployment."""
        with self._cursor() as cursor:
            cursor.execute(
                f"""
                insert into {DEPLOYMENTS} (
                    deployment_id, kind, sha, build_id, replaced_id, status, step, who, host,
                    started_at
                )
                select
                    %(id)s, %(kind)s, %(sha)s, %(build)s, %(replaced)s, 'running', 'begin',
                    %(who)s, %(host)s, sysdate()
                """,
                {
                    "id": self.deployment_id,
                    "kind": kind,
                    "sha": sha,
                    "build": build_id,
                    "replaced": replaced_id,
                    "who": self.who,
                    "host": self.host,
                },
            )

    def at(self, step: str) -> None:
        """Enter how far it is."""
        self._set("step = %(step)s", {"step": step})

    def about_to_swap(self, state: Mapping[str, str]) -> None:
        """Enter when each table was last changed that becomes production's.

        Whoever is killed at the swap cannot enter it afterwards, and by the time that the next
        command looks, production may have been written to.
        """
        self._set("state = %(state)s", {"state": json.dumps(state)})

    def end(
        self,
        status: Status,
        reason: str | None = None,
        *,
        row_counts: Mapping[str, int] | None = None,
        state: Mapping[str, str] | None = None,
        deployment_id: str | None = None,
    ) -> None:
        """Enter what became of it, or of another one that could not do so itself."""
        self._set(
            "status = %(status)s, reason = %(reason)s, row_counts = %(counts)s, state = %(state)s,"
            " finished_at = sysdate()",
            {
                "status": status,
                "reason": reason[:2000] if reason else None,
                "counts": json.dumps(row_counts) if row_counts else None,
                "state": json.dumps(state) if state else None,
            },
            deployment_id,
        )

    def _set(
        self, assignments: str, values: Mapping[str, object], deployment_id: str | None = None
    ) -> None:
        with self._cursor() as cursor:
            cursor.execute(
                f"update {DEPLOYMENTS} set {assignments} where deployment_id = %(id)s",
                {**values, "id": deployment_id or self.deployment_id},
            )

    def latest(self, limit: int = 20) -> list[Record]:
        """The last deployments, the newest first; none before the first."""
        self.create()
        with self._cursor() as cursor:
            cursor.execute(
                f"""
                select
                    deployment_id, kind, sha, build_id, replaced_id, status, step, reason,
                    who || ' on ' || host, row_counts, state, started_at
                from {DEPLOYMENTS}
                order by deployment_id desc
                limit {int(limit)}
                """
            )
            rows = cursor.fetchall()
        return [_record(row) for row in rows if isinstance(row, tuple)]


def _record(row: tuple[Any, ...]) -> Record:
    values: list[Any] = list(row)
    values[9:11] = [json.loads(text or "{}") for text in row[9:11]]
    return Record(*values)
