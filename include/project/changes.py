"""Whether a DAG has anything to build: what its last build was made of, and what there is now.

`RAW.META.BUILDS` has one row per DAG and place that it builds in: its last good build. A run has
nothing to build when

- no load has changed a raw table of the domain since that build began, whichever DAG made it,
- no other DAG has built models since that this one reads,
- the dbt project, its settings and the DAG's nodes are the same, and
- the tables it made are still the ones that are there.
"""

# ruff: noqa: S608 - the database is named by the settings; every value is bound.
from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.project.manifest import parsed_fingerprint

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

    from include.warehouse.connection import ConnectionSettings

TASK = "changes"


@dataclass(frozen=True)
class Build:
    """What a build is made of, and what it has made.

    Attributes:
        code: a hash of the dbt project, its settings and the nodes.
        loads: which loads, and which builds of other DAGs, were there when it began.
        tables: which tables were there when it had ended; empty before.
    """

    code: str
    loads: str
    tables: str = ""


@dataclass(frozen=True)
class Scope:
    """What a DAG builds, as far as it decides whether there is something to build.

    Attributes:
        domain: the domain, whose loads count.
        nodes: unique ids of what is built.
        relations: their tables and views.
        reads_others: whether they read models that other DAGs build.
    """

    domain: str
    nodes: tuple[str, ...]
    relations: tuple[str, ...]
    reads_others: bool

    @classmethod
    def of(cls, manifest: Mapping[str, Any], domain: str, nodes: Collection[str]) -> Scope | None:
        """What the manifest says; None if not every source is a raw table of the domain.

        Of such a source nobody records when it changes.
        """
        parents: Mapping[str, list[str]] = manifest["parent_map"]
        found: set[str] = set()
        unseen = list(nodes)
        while unseen:
            one = unseen.pop()
            if one not in found:
                found.add(one)
                unseen += parents.get(one, ())
        for one in found:
            source = manifest["sources"].get(one)
            if source and (
                source["database"].upper() != "RAW" or source["source_name"] not in {domain, "meta"}
            ):
                return None
        built = set(nodes)
        return cls(
            domain,
            tuple(sorted(nodes)),
            tuple(sorted(manifest["nodes"][one]["relation_name"] for one in nodes)),
            any(one in manifest["nodes"] and one not in built for one in found),
        )

    def code(self, variables: Mapping[str, str] = os.environ) -> str:
        """A hash of the dbt project as it was parsed, and of the nodes; empty if it is unknown."""
        if not (parsed := parsed_fingerprint(variables)):
            return ""
        return hashlib.sha256("\n".join([parsed, *self.nodes]).encode()).hexdigest()


def last_build(
    cursor: SnowflakeCursor,
    settings: ConnectionSettings,
    domain: str,
    dag_id: str,
    *,
    with_others: bool,
) -> tuple[str, Build | None]:
    """What there is to build from now, and the DAG's last good build.

    Args:
        cursor: of any session.
        settings: which warehouse.
        domain: whose loads count.
        dag_id: the DAG.
        with_others: whether builds of other DAGs count.

    Raises:
        snowflake.connector.errors.Error: the warehouse fails.
    """
    from snowflake.connector.errors import ProgrammingError

    from include.warehouse import ledgers
    from include.warehouse.catalogue import DOES_NOT_EXIST

    others = (
        "select count(*) || ' ' || coalesce(max(date_part(epoch_millisecond, built_at)), 0)"
        f" from {ledgers.BUILDS.table}"
        " where domain = %(domain)s and place = %(place)s and dag_id <> %(dag)s"
    )
    try:
        cursor.execute(
            f"""
            select l.loads || {f"' ' || ({others})" if with_others else "''"}, b.*
            from (
                select count(*) || ' ' || coalesce(max(load_id), '') || ' '
                    || coalesce(max(date_part(epoch_millisecond, finished_at)), 0) as loads
                from {ledgers.LOADS.table}
                where domain = %(domain)s and status = 'committed'
                    -- One of an earlier version does not say how many rows it removed.
                    and loaded + rejected + coalesce(removed, 1) > 0
            ) as l
            left join (
                select code, loads, tables
                from {ledgers.BUILDS.table}
                where dag_id = %(dag)s and place = %(place)s
            ) as b on true
            """,
            {"domain": domain, "dag": dag_id, "place": place(settings)},
        )
    except ProgrammingError as error:
        if error.errno == DOES_NOT_EXIST:
            return "", None
        raise
    [(now, code, loads, tables)] = cursor.fetchall()
    return str(now), None if code is None else Build(str(code), str(loads), str(tables))


def place(settings: ConnectionSettings) -> str:
    """Where a target's models are built, such as ``ANALYTICS_DEV.anna_``."""
    return f"{settings.database}.{settings.schema_prefix}"


def tables(cursor: SnowflakeCursor, settings: ConnectionSettings, scope: Scope) -> str:
    """Which of the tables and views are there, and when the newest table was created.

    Creating a view again changes nothing, and two DAGs may do it.
    """
    cursor.execute(
        "select count(*) || ' ' || coalesce("
        "max(iff(table_type = 'BASE TABLE', date_part(epoch_millisecond, created), 0)), 0)"
        f" from {settings.database}.information_schema.tables"
        " where upper(table_schema || '.' || table_name) in (%(names)s)",
        {"names": [name.upper().partition(".")[2] for name in scope.relations]},
    )
    [(found,)] = cursor.fetchall()
    return str(found)


def built(
    cursor: SnowflakeCursor, settings: ConnectionSettings, scope: Scope, made_of: Mapping[str, str]
) -> Build | None:
    """A build that went well, to be recorded; None if it does not stand for all there is.

    Args:
        cursor: of a session that sees the tables.
        settings: which warehouse.
        scope: what was built.
        made_of: what the task `changes` returned in the same run.
    """
    if not made_of.get("code"):
        return None
    return Build(made_of["code"], made_of["loads"], tables(cursor, settings, scope))


def record(
    cursor: SnowflakeCursor,
    settings: ConnectionSettings,
    scope: Scope,
    dag_id: str,
    build: Build,
) -> None:
    """Enter a DAG's last good build.

    Args:
        cursor: of a session that may write the database RAW.
        settings: which warehouse.
        scope: what was built.
        dag_id: the DAG.
        build: what `built` returned.
    """
    from include.warehouse import ledgers

    cursor.execute(
        f"""
        merge into {ledgers.BUILDS.table} as t
        using (select %(dag)s as dag_id, %(place)s as place) as s
        on t.dag_id = s.dag_id and t.place = s.place
        when matched then update set
            domain = %(domain)s, code = %(code)s, loads = %(loads)s, tables = %(tables)s,
            built_at = sysdate()
        when not matched then insert (dag_id, place, domain, code, loads, tables, built_at)
        values (%(dag)s, %(place)s, %(domain)s, %(code)s, %(loads)s, %(tables)s, sysdate())
        """,
        {
            "dag": dag_id,
            "place": place(settings),
            "domain": scope.domain,
            "code": build.code,
            "loads": build.loads,
            "tables": build.tables,
        },
    )
