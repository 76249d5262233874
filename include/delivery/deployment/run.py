"""A deployment, a roll-back, and what became of them.

A deployment builds in a copy of production and lets the two change names. Until then nothing of
production is touched, and whatever ends it leaves production as it was. What a killed one has left
is put right by the next command.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import Error as SnowflakeError

from include.core.logs import event
from include.delivery.deployment import artifacts, checks, databases, dbt, grants
from include.delivery.deployment.databases import PRODUCTION, STAGING, Build
from include.delivery.deployment.errors import DeploymentError, LostError
from include.delivery.deployment.exchange import exchange, left_behind, listed
from include.delivery.deployment.pipelines import Pipelines
from include.delivery.deployment.records import Book, Record
from include.delivery.deployment.settings import DeploymentSettings
from include.warehouse.catalogue import existing
from include.warehouse.connection import ConnectionSettings, connect

Say = Callable[[str], None]
Publish = Callable[[Path], None]

ARTIFACTS = "artifacts"
KEPT_FOLDERS = 5
"""Deployments whose dbt files stay on this machine."""


@dataclass(frozen=True)
class Wanted:
    """What a deployment is told.

    Attributes:
        sha: the commit that is checked out.
        domains: those to build; all that have their sources if none is named.
        accepted: marts that may be empty, or differ from production as much as they like.
        despite_changes: swap although production was written to since it was copied.
        accept_grants: swap even if that changes grants that nobody has declared.
        discard_left_behind: replace the last production even if rows were committed to it after
            it had been swapped out.
        again: build again what production is built from already.
    """

    sha: str
    domains: Sequence[str] = ()
    accepted: Sequence[str] = ()
    despite_changes: bool = False
    again: bool = False
    accept_grants: bool = False
    discard_left_behind: bool = False


@dataclass(frozen=True)
class Deployed:
    """What a deployment or roll-back did.

    Attributes:
        message: in a sentence or two.
        left: what is still to be done; None if nothing is.
    """

    message: str
    left: str | None = None


def deploy(
    wanted: Wanted,
    settings: ConnectionSettings,
    *,
    publish: Publish | None = None,
    say: Say = lambda _: None,
) -> Deployed:
    """Build the checked-out commit beside production, test it, and let it become production.

    Args:
        wanted: what to deploy.
        settings: which warehouse; the target must be prod.
        publish: writes documentation and report into a folder, if `FIRN_SITE` names one.
        say: is told what is going on.

    Raises:
        DeploymentError: it was not done; production is as it was.
        ArtifactsError: the commit is malformed.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    sha = artifacts.commit(wanted.sha)
    own = DeploymentSettings()
    book = Book(_of_production(settings))
    pipelines = Pipelines(own.airflow, book, say)
    pipelines.check()
    with book.alone(), pipelines:
        done = _deploy_alone(wanted, sha, settings, own, book, pipelines, publish, say)
    return _with(done, pipelines.left)


def _deploy_alone(
    wanted: Wanted,
    sha: str,
    settings: ConnectionSettings,
    own: DeploymentSettings,
    book: Book,
    pipelines: Pipelines,
    publish: Publish | None,
    say: Say,
) -> Deployed:
    say("Looking at what is there")
    put_right(book, settings, say)
    with _cursor(settings, book) as cursor:
        replaced = databases.build_of(cursor, PRODUCTION)
    # Without artifacts it is built from it in part, or nobody can compare with it.
    is_stored = any(one.sha == sha for one in artifacts.known(settings))
    if replaced and replaced.sha == sha and is_stored and not wanted.again:
        return Deployed(
            f"Production is built from {sha} already: nothing was built (--again does).",
            _publish(publish, own, say),
        )
    book.begin("deploy", sha, book.deployment_id, replaced.deployment_id if replaced else None)
    build = Build(book.deployment_id, sha, is_complete=False)
    project = dbt.DeployedProject(settings, _folder(settings, book.deployment_id), book.check)
    with _entered(book):
        counts = _deploy(wanted, settings, own, book, build, project, pipelines, say)
    # Production is the new one from here on. If another deployment took over, it does the rest.
    book.check()
    left = _keep_artifacts(settings, sha, project.folder)
    book.end("deployed", left, row_counts=counts)
    event("deployment.deployed", sha=sha, deployment=book.deployment_id)
    pipelines.resume()
    book.at("publish")
    left = left or _publish(publish, own, say)
    _clear(settings)
    rows = f"{sum(counts.values()):,} rows in {len(counts)} marts"
    return Deployed(f"Deployed {sha}: {rows}. {STAGING} holds what it replaced.", left)


def _deploy(
    wanted: Wanted,
    settings: ConnectionSettings,
    own: DeploymentSettings,
    book: Book,
    build: Build,
    project: dbt.DeployedProject,
    pipelines: Pipelines,
    say: Say,
) -> dict[str, int]:
    """Do everything up to the swap; returns the row count of each mart."""
    book.at("grants")
    with _cursor(settings, book) as cursor:
        _check_grants(cursor, wanted, say)
        _check_public(cursor)
        if not wanted.discard_left_behind:
            _check_replaced(cursor, book)

    book.at("parse")
    say("Parsing the dbt project")
    manifest = project.parse()
    with _cursor(settings, book) as cursor:
        sources = {
            f"{one['database']}.{one['schema']}.{one['identifier']}"
            for one in manifest["sources"].values()
        }
        plan = dbt.plan(
            manifest,
            existing(cursor, sources),
            wanted.domains,
            monitored=project.switch.is_on,
        )
    if unknown := sorted(set(wanted.accepted) - set(plan.marts)):
        raise DeploymentError(
            f"--accept names {unknown[0]}, but no mart of that name is built: use one of "
            f"{', '.join(sorted(plan.marts))}. Production is as it was."
        )
    say(f"Building {', '.join(plan.domains)}")
    for domain, table in plan.without.items():
        say(f"Without {domain}, as {table} is not there")

    book.at("freshness")
    say("Looking how old the sources are")
    project.check_freshness(plan)

    book.at("pause")
    pipelines.pause()

    book.at("clone")
    say(f"Copying {PRODUCTION} to {STAGING}")
    book.still_alone()
    with _cursor(settings, book) as cursor:
        before = databases.state(cursor, PRODUCTION)
        databases.clone_production(cursor, settings, build)

    book.at("build")
    say(f"Building in {STAGING}")
    built = project.build(plan)

    book.at("check")
    say("Checking what was built")
    if not wanted.domains:
        _gather_artifacts(project.folder)
    if named := dbt.views_that_name_a_database(built):
        raise DeploymentError(
            f"Views name a database and would read from the other one after the swap: "
            f"{', '.join(named)}. Use ref() without a database in front. Production is as it was."
        )
    with _cursor(settings, book) as cursor:
        places = list(plan.marts.values())
        counts = databases.count_rows(cursor, STAGING, places)
        problems = checks.problems(
            counts,
            databases.count_rows(cursor, PRODUCTION, places),
            plan.marts,
            may_be_empty=plan.may_be_empty,
            most_percent=own.firn_deploy_row_change,
        )
        refused = [said for model, said in problems.items() if model not in wanted.accepted]
        if refused:
            raise DeploymentError(
                f"{' '.join(refused)} If that is meant, deploy again with --accept and the name "
                "of each. Production is as it was."
            )
        book.still_alone()
        databases.grant(cursor, settings, STAGING)
        databases.mark(cursor, Build(build.deployment_id, build.sha, is_complete=True))
        try:
            exchange(cursor, book, None if wanted.despite_changes else before, _written_meanwhile)
        except LostError:
            raise
        except DeploymentError:
            # Mark it as incomplete, so that nobody swaps it by hand either.
            databases.mark(cursor, build)
            raise
        say(f"Swapped {PRODUCTION} with {STAGING}")
        book.at("artifacts")
        return counts


def _check_grants(cursor: SnowflakeCursor, wanted: Wanted, say: Say) -> None:
    """Refuse a swap that would change undeclared grants; if that is accepted, list them."""
    if not (found := grants.foreign(cursor)):
        return
    each = "; ".join(found)
    if wanted.accept_grants:
        say(f"Grants that change with the swap: {each}")
        return
    raise DeploymentError(
        f"These grants are not declared, and the swap would take away those on {PRODUCTION} and "
        f"put those on {STAGING} in their place: {each}. Declare them in "
        "include/delivery/account/declaration.py and run `firn setup`, "
        "revoke them, or deploy with --accept-grants. Production is as it was."
    )


def _check_public(cursor: SnowflakeCursor) -> None:
    """Refuse a swap that would move what is in PUBLIC, the one schema without models."""
    if found := databases.in_public(cursor, PRODUCTION) + databases.in_public(cursor, STAGING):
        raise DeploymentError(
            f"The schema PUBLIC belongs to no model and is not copied, so the swap would exchange "
            f"it unnoticed. It holds {listed(found)}: move that to another schema or another "
            "database, or drop it. Production is as it was."
        )


def _check_replaced(cursor: SnowflakeCursor, book: Book) -> None:
    """Refuse to replace rows that were committed to the last production after its swap."""
    last = next((one for one in book.latest() if one.status == "deployed"), None)
    there = databases.build_of(cursor, STAGING)
    if last is None or (there.deployment_id if there else None) != last.replaced_id:
        return
    if late := left_behind(cursor, last.replaced_state):
        raise DeploymentError(
            f"{STAGING} holds rows that were committed there after the last swap ({listed(late)}), "
            f"and a deployment replaces it. Bring them over to {PRODUCTION} or load them again, "
            "then deploy with --discard-left-behind. Production is as it was."
        )


def _written_meanwhile(tables: str) -> str:
    return (
        f"{PRODUCTION} was written to while {STAGING} was built ({tables}), "
        "and the swap would lose it. Pause the DAGs, let their runs end, and deploy again; "
        "or deploy with --despite-changes: incremental models get what is missing from RAW "
        "with their next run, versions that a snapshot took meanwhile, and results of "
        "monitoring, are lost. Production is as it was."
    )


def roll_back(
    settings: ConnectionSettings, *, yes: bool = False, say: Say = lambda _: None
) -> Deployed:
    """Let production be what it was before the last deployment.

    Args:
        settings: which warehouse; the target must be prod.
        yes: also if that loses what was written since, or takes a roll-back back.
        say: is told what is going on.

    Raises:
        DeploymentError: there is nothing to go back to, or something would be lost.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    book = Book(_of_production(settings))
    pipelines = Pipelines(DeploymentSettings().airflow, book, say)
    pipelines.check()
    with book.alone(), pipelines:
        done = _roll_back_alone(settings, book, pipelines, yes, say)
    return _with(done, pipelines.left)


def _roll_back_alone(
    settings: ConnectionSettings, book: Book, pipelines: Pipelines, yes: bool, say: Say
) -> Deployed:
    put_right(book, settings, say)
    if not yes:
        with _cursor(settings, book) as cursor:
            _check_public(cursor)
    last = next((one for one in book.latest() if one.status == "deployed"), None)
    if last is None:
        raise DeploymentError("There is nothing to go back to: nothing was deployed yet.")
    with _cursor(settings, book) as cursor:
        target = databases.build_of(cursor, STAGING)
        _check_target(cursor, target, last)
        if last.kind == "rollback" and not yes:
            raise DeploymentError(
                f"Production was rolled back already, by {last.who}. To take that back and "
                f"have {target.sha if target else 'the newer build'} again, add --yes."
            )
        pipelines.pause()
        since = None if yes else last.state
        if since is not None and (
            written := databases.changed(since, databases.state(cursor, PRODUCTION))
        ):
            raise DeploymentError(_written_since(listed(written)))
        book.begin(
            "rollback",
            target.sha if target else None,
            target.deployment_id if target else None,
            last.build_id,
        )
        with _entered(book):
            databases.grant(cursor, settings, STAGING)
            exchange(cursor, book, since, _written_since)
            say(f"Swapped {PRODUCTION} with {STAGING}")
        book.end("deployed")
    event("deployment.rolled_back", sha=target.sha if target else None, replaced=last.sha)
    to = target.sha if target else "what was there before the first deployment"
    return Deployed(
        f"Rolled back to {to}. {STAGING} holds {last.sha or 'what was replaced'}. "
        "Check that commit out where Airflow runs."
    )


def _with(done: Deployed, left: str | None) -> Deployed:
    return replace(done, left=" ".join(filter(None, (done.left, left))) or None)


def _check_target(cursor: SnowflakeCursor, target: Build | None, last: Record) -> None:
    """Refuse a staging database that is not what the last deployment has replaced."""
    if target and not target.is_complete:
        raise DeploymentError(
            f"There is nothing to go back to: {STAGING} holds an unfinished build of {target.sha}. "
            "Check out the commit that you want back, and deploy it."
        )
    if not _there(cursor) or not databases.relations(cursor, STAGING):
        raise DeploymentError(
            "There is nothing to go back to: before the last deployment production was empty."
        )
    if (target.deployment_id if target else None) != last.replaced_id:
        raise DeploymentError(
            f"There is nothing to go back to: {STAGING} does not hold what deployment "
            f"{last.deployment_id} replaced. Check out the commit that you want back and deploy it."
        )


def _written_since(tables: str) -> str:
    return (
        f"{PRODUCTION} was written to since it was swapped ({tables}), and going "
        "back loses it. Incremental models get what is missing from RAW with their next run; "
        "versions that a snapshot took since, and results of monitoring, are lost. Pause the "
        "DAGs and add --yes."
    )


def _there(cursor: SnowflakeCursor) -> bool:
    cursor.execute(f"show databases like '{STAGING}'")
    return bool(cursor.fetchall())


def put_right(book: Book, settings: ConnectionSettings, say: Say = lambda _: None) -> None:
    """Enter what became of deployments that were killed, and finish those that had swapped.

    Only whoever is alone may call it.
    """
    killed = [one for one in book.latest() if one.status == "running"]
    if not killed:
        return
    with _cursor(settings, book) as cursor:
        there = databases.build_of(cursor, PRODUCTION)
        for one in killed:
            swapped = (there.deployment_id if there else None) == one.build_id
            if swapped and one.step in {"swap", "compare", "artifacts"}:
                left = None
                if one.kind == "deploy" and one.sha:
                    left = _keep_artifacts(settings, one.sha, _folder(settings, one.deployment_id))
                book.end("deployed", left, deployment_id=one.deployment_id)
                say(f"{one.deployment_id} was killed after the swap: production is {one.sha}")
                if late := left_behind(cursor, one.replaced_state):
                    say(f"{STAGING} holds rows that were committed at the swap ({listed(late)})")
            else:
                book.end(
                    "abandoned", f"It was killed at: {one.step}.", deployment_id=one.deployment_id
                )
                say(f"{one.deployment_id} was killed at: {one.step}; production is as it was")


def in_production(settings: ConnectionSettings) -> Build | None:
    """What production is built from; None if no deployment has built it.

    Raises:
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    with (
        connect(settings, query_tag={"deployment": "status"}) as connection,
        connection.cursor() as cursor,
    ):
        return databases.build_of(cursor, PRODUCTION)


def _of_production(settings: ConnectionSettings) -> ConnectionSettings:
    if settings.target != "prod":
        raise DeploymentError(
            f"FIRN_TARGET is {settings.target}, and deployments are for prod: set FIRN_TARGET=prod,"
            " and SNOWFLAKE_ACCOUNT=local to rehearse one on the local warehouse."
        )
    return settings


@contextmanager
def _cursor(settings: ConnectionSettings, book: Book) -> Iterator[SnowflakeCursor]:
    with (
        connect(settings, query_tag={"deployment": book.deployment_id}) as connection,
        connection.cursor(_only_while_alone(book)) as cursor,
    ):
        yield cursor


def _only_while_alone(book: Book) -> type[SnowflakeCursor]:
    """A cursor that refuses every statement once the lock is known to be lost."""

    class Cursor(SnowflakeCursor):
        def execute(self, *arguments: Any, **named: Any) -> Any:
            book.check()
            return super().execute(*arguments, **named)

    return Cursor


@contextmanager
def _entered(book: Book) -> Iterator[None]:
    """Enter why a deployment failed; one that is killed enters nothing."""
    try:
        yield
    except DeploymentError as error:
        # If this deployment has swapped and lost its lock, whoever took over records its result.
        if not (isinstance(error, LostError) and book.step in {"compare", "artifacts"}):
            book.end("failed", str(error))
        raise
    except SnowflakeError as error:
        said = " ".join(str(error.raw_msg or error).split()).rstrip(".")
        # The swap is one statement, and comes last: if it was done, the next command finds it so.
        raise DeploymentError(
            f"The warehouse refused a statement ({said}): `firn deployment status` "
            "says what production is."
        ) from error


def _gather_artifacts(folder: Path) -> None:
    """Put together the manifest that names production and the results of the build.

    They say of the whole project what it is built from, so they are kept of a whole build alone.
    """
    together = folder / ARTIFACTS
    together.mkdir()
    shutil.copyfile(folder / "production" / artifacts.MANIFEST, together / artifacts.MANIFEST)
    for name in ("run_results.json", "catalog.json"):
        if (folder / "staging" / name).is_file():
            shutil.copyfile(folder / "staging" / name, together / name)


def _keep_artifacts(settings: ConnectionSettings, sha: str, folder: Path) -> str | None:
    """Store what was gathered, or say why not; nothing was of a build of some domains alone."""
    if folder.is_dir() and not (folder / ARTIFACTS).is_dir():
        return None
    try:
        artifacts.store(settings, sha, folder / ARTIFACTS)
    except (OSError, SnowflakeError, artifacts.ArtifactsError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        return (
            f"dbt's artifacts of {sha} are not stored ({said}): deploy it again, or "
            "pull requests are compared with an older commit."
        )
    return None


def _publish(publish: Publish | None, own: DeploymentSettings, say: Say) -> str | None:
    if publish is None or own.site is None:
        return None
    say(f"Publishing to {own.site}")
    try:
        publish(own.site)
    except Exception as error:
        # Whatever it is, production is the new one.
        said = " ".join(str(error).split()).rstrip(".")
        return f"Documentation and report are not published ({said}): run `make report`."
    return None


def _folder(settings: ConnectionSettings, deployment_id: str) -> Path:
    return settings.home / "deployments" / deployment_id


def _clear(settings: ConnectionSettings) -> None:
    for folder in sorted((settings.home / "deployments").glob("*/"))[:-KEPT_FOLDERS]:
        shutil.rmtree(folder, ignore_errors=True)
