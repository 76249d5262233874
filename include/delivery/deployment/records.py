"""The ledger of deployments, the deployment lock, and which DAGs a deployment has paused.

All three are tables in RAW.META, because the database that models are built in is swapped.
"""

# ruff: noqa: S608 - the tables are named here, every value is bound.
from __future__ import annotations

import getpass
import json
import secrets
import socket
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from snowflake.connector.errors import Error as SnowflakeError

from include.delivery.deployment.errors import DeploymentError, LostError
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
RENEW_SECONDS = 5.0
ALIVE_SECONDS = 30
"""A deployment that renewed its lock this recently is alive: `unlock` leaves it the lock."""
SILENT_SECONDS = 120
"""A deployment that has not renewed its lock for this long is dead; the next one takes over."""
GIVE_UP_SECONDS = SILENT_SECONDS - 20
"""A deployment that cannot renew its lock for this long gives it up, before another takes it."""

STARTED = "%Y%m%dT%H%M%S%f"
"""The name of a deployment begins with its start time, so that names sort by time."""

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
    replaced_state varchar,
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
        state: the last change, at the swap, of each table in the database that it brings, by name.
        replaced_state: the same for the database that it replaces.
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
    replaced_state: Mapping[str, str]
    started_at: datetime


@dataclass(frozen=True)
class Holder:
    """The deployment in progress.

    Attributes:
        deployment_id: its name.
        who: its user and machine.
        since: when it began, in UTC.
        silent: seconds since it was last heard of.
    """

    deployment_id: str
    who: str
    since: datetime
    silent: int

    def __str__(self) -> str:
        return (
            f"Deployment {self.deployment_id} by {self.who} has been in progress since "
            f"{self.since:%Y-%m-%d %H:%M} UTC and was last heard of {self.silent} seconds ago"
        )


class Book:
    """The tables, over connections of their own.

    Args:
        settings: which warehouse.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._renewed: float | None = None
        self.step = ""
        self.deployment_id = f"{datetime.now(UTC):{STARTED}}_{secrets.token_hex(3)}"
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
                "select table_name, column_name from RAW.INFORMATION_SCHEMA.COLUMNS"
                " where table_schema = 'META' and table_name like 'DEPLOYMENT%'"
            )
            there = {(str(row[0]), str(row[1])) for row in cursor.fetchall()}
            newest = (DEPLOYMENTS.rpartition(".")[2], "REPLACED_STATE")
            if newest in there and len({table for table, _ in there}) == 3:
                return
            cursor.execute("create schema if not exists RAW.META")
            cursor.execute(f"create table if not exists {DEPLOYMENTS} ({_COLUMNS})")
            # A table that an earlier version made does not have this column.
            cursor.execute(
                f"alter table {DEPLOYMENTS} add column if not exists replaced_state varchar"
            )
            cursor.execute(
                f"create table if not exists {LOCK}"
                " (holder varchar, who varchar, renewed_at timestamp_ntz)"
            )
            cursor.execute(
                f"create table if not exists {PAUSED} (dag_id varchar not null,"
                " deployment_id varchar not null, paused_at timestamp_ntz not null)"
            )

    # -- the lock -----------------------------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock; a deployment that is killed delays the next one for two minutes at most.

        Raises:
            DeploymentError: another deployment is in progress.
        """
        self.create()
        began = time.monotonic()
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
                raise DeploymentError(
                    f"{self.holder() or 'Another deployment is in progress'}: wait for it. If it "
                    "was killed, its lock expires two minutes after that; "
                    f"`firn deployment unlock` releases it after {ALIVE_SECONDS} seconds. "
                    "Production is as it was."
                )
        self._renewed = began
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
        while not self._ended.is_set() and not self._lost.is_set():
            # A renewal that fails is tried again; the lock outlasts several failures.
            with suppress(SnowflakeError, WarehouseUnreachableError), self._cursor() as cursor:
                while not self._ended.wait(RENEW_SECONDS) and not self._lost.is_set():
                    self._renew(cursor)
            self._ended.wait(RENEW_SECONDS)

    def _renew(self, cursor: SnowflakeCursor) -> None:
        began = time.monotonic()
        cursor.execute(
            f"update {LOCK} set renewed_at = sysdate() where holder = %(me)s",
            {"me": self.deployment_id},
        )
        if cursor.rowcount:
            self._renewed = began
        else:
            self._lost.set()

    def still_alone(self) -> None:
        """Renew the lock.

        Raises:
            LostError: another deployment has it by now.
        """
        with self._cursor() as cursor:
            self._renew(cursor)
        self.check()

    def check(self) -> None:
        """Raise an error if the lock is known to be lost; cheap, as it runs no statement.

        Raises:
            LostError: another deployment has it, or may take it, as it was not renewed for so long.
        """
        if self._lost.is_set():
            raise LostError(
                "Another deployment took over or may do so: this one was silent for too long, or "
                "`unlock` released its lock. Look at `firn deployment status`."
            )
        if self._renewed is not None and time.monotonic() - self._renewed > GIVE_UP_SECONDS:
            raise LostError(
                f"The warehouse did not answer for {GIVE_UP_SECONDS} seconds, so another "
                "deployment may take over. Look at `firn deployment status`."
            )

    def holder(self) -> Holder | None:
        """The deployment in progress, if there is one."""
        with self._cursor() as cursor:
            cursor.execute(
                f"select holder, who, datediff(second, renewed_at, sysdate()) from {LOCK}"
                " where holder is not null limit 1"
            )
            row = cursor.fetchone()
        if not isinstance(row, tuple):
            return None
        since = datetime.strptime(str(row[0]).partition("_")[0], STARTED).replace(tzinfo=UTC)
        return Holder(str(row[0]), str(row[1]), since, int(row[2]))

    def unlock(self, *, force: bool = False) -> Holder | None:
        """Release the lock, whoever has it; returns the deployment that had it.

        Args:
            force: also if that deployment is alive.

        Raises:
            DeploymentError: it is alive.
        """
        self.create()
        held = self.holder()
        if held and not self._release(held.deployment_id, 0 if force else ALIVE_SECONDS):
            held = self.holder()
            if held:
                raise DeploymentError(
                    f"{held}, so it is alive: wait for it, or end it where it runs. `unlock "
                    "--force` releases its lock all the same: it then ends its dbt and changes "
                    "nothing more."
                )
        return held

    def _release(self, holder: str, silent: int = 0) -> bool:
        """Release a lock not renewed for so many seconds; returns whether it was released."""
        with self._cursor() as cursor:
            cursor.execute(
                f"update {LOCK} set holder = null where holder = %(holder)s"
                " and renewed_at <= dateadd(second, -%(silent)s, sysdate())",
                {"holder": holder, "silent": silent},
            )
            return bool(cursor.rowcount)

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

    # -- the ledger ---------------------------------------------------------------------------

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
        """Record which step the deployment has reached."""
        self.step = step
        self._set("step = %(step)s", {"step": step})

    def about_to_swap(self, state: Mapping[str, str], replaced: Mapping[str, str]) -> None:
        """Record the last change of each table in the new database and in the replaced one.

        A deployment that is killed at the swap cannot record it afterwards, and by the time the
        next command looks, both may have been written to.
        """
        self._set(
            "state = %(state)s, replaced_state = %(replaced)s",
            {"state": json.dumps(state), "replaced": json.dumps(replaced)},
        )

    def end(
        self,
        status: Status,
        reason: str | None = None,
        *,
        row_counts: Mapping[str, int] | None = None,
        deployment_id: str | None = None,
    ) -> None:
        """Enter what became of it, or of another one that could not do so itself."""
        self._set(
            "status = %(status)s, reason = %(reason)s, row_counts = %(counts)s,"
            " finished_at = sysdate()",
            {
                "status": status,
                "reason": reason[:2000] if reason else None,
                "counts": json.dumps(row_counts) if row_counts else None,
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
                    who || ' on ' || host, row_counts, state, replaced_state, started_at
                from {DEPLOYMENTS}
                order by deployment_id desc
                limit {int(limit)}
                """
            )
            rows = cursor.fetchall()
        return [_record(row) for row in rows if isinstance(row, tuple)]


def _record(row: tuple[Any, ...]) -> Record:
    values: list[Any] = list(row)
    values[9:12] = [json.loads(text or "{}") for text in row[9:12]]
    return Record(*values)
