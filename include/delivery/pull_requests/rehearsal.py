"""``make ci``: what happens to a pull request, on this machine.

The local warehouse plays the account. Production is built there from the base commit, for the
domains that the change touches; then the slim build runs as it does for a pull request.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from include.core.settings import Account, Target
from include.delivery.account import create_databases
from include.delivery.deployment import artifacts
from include.delivery.pull_requests.errors import CiError
from include.delivery.pull_requests.schemas import drop
from include.delivery.pull_requests.slim import Outcome, Plan, Say, make_plan, slim_build
from include.delivery.pull_requests.state import Base, checked_out, find_base
from include.ingestion.landing import landing_folder
from include.ingestion.loader import load_source
from include.ingestion.sources import domains as ingested
from include.ingestion.sources import load_domain
from include.project.builds import RUN_RESULTS, read_run_results, run_nodes
from include.project.dbt import Dbt
from include.project.domains import Pipeline
from include.project.environment import environment_without_monitoring
from include.project.manifest import domain_selection
from include.warehouse.connection import LOCAL_ACCOUNT, REPOSITORY, ConnectionSettings
from include.warehouse.local_process import start_warehouse, stop_warehouse

Deliver = Callable[[ConnectionSettings, str, Say], None]
"""Fills the raw tables of a domain."""


def rehearsal_settings(target: Target, number: int = 1) -> ConnectionSettings:
    """Settings by which the local warehouse plays the account, whichever account is configured.

    Args:
        target: ci or prod.
        number: the pull request that is played.
    """
    return ConnectionSettings(
        firn_target=target,
        firn_pr_number=number,
        **(dict.fromkeys(Account.model_fields) | {"snowflake_account": LOCAL_ACCOUNT}),
    )


def rehearse(
    sha: str,
    pipelines: Mapping[str, Pipeline],
    folder: Path,
    *,
    number: int = 1,
    domains: Collection[str] = (),
    keep: bool = False,
    say: Say,
) -> Outcome:
    """Run the slim build of the working tree on the local warehouse.

    The warehouse is started if it does not run, and then stopped again.

    Args:
        sha: the base commit.
        pipelines: how each domain gets its sample data.
        folder: for files.
        number: the pull request that is played.
        domains: only what belongs to these; all that the change touches if empty.
        keep: leave the schemas of the pull request.
        say: is told each step.

    Raises:
        CiError, ConfigurationError, IngestionError, LocalWarehouseError, SampleDataError,
        WarehouseUnreachableError: it cannot run; the message is one sentence.
    """
    settings = rehearsal_settings("ci", number)
    variables = {**os.environ, **settings.environment()}
    say(f"Starting the local warehouse on 127.0.0.1:{settings.port}")
    started = start_warehouse(variables)
    try:
        create_databases(settings)

        def deliver(raw: ConnectionSettings, domain: str, tell: Say) -> None:
            deliver_samples(raw, pipelines[domain], tell)

        say(f"Comparing the working tree with {sha[:12]}")
        plan = plan_rehearsal(
            settings, sha, folder, domains=domains, known=set(pipelines), deliver=deliver, say=say
        )
        try:
            return slim_build(settings, plan, folder, domains=domains, quiet=True, say=say)
        finally:
            if not keep:
                say("Dropping the schemas of the pull request")
                drop(settings, number)
    finally:
        if started:
            stop_warehouse(variables)


def plan_rehearsal(
    settings: ConnectionSettings,
    sha: str,
    folder: Path,
    *,
    known: Collection[str],
    deliver: Deliver,
    domains: Collection[str] = (),
    repository: Path = REPOSITORY,
    say: Say,
) -> Plan:
    """Compare the working tree with a base, and see to it that production is there.

    Args:
        settings: of target ci, in a rehearsal.
        sha: the base commit.
        folder: for files.
        known: the domains that can be built; others are not there, such as the books of ingestion.
        deliver: fills the raw tables of a domain.
        domains: only what belongs to these; all if empty.
        repository: the clone.
        say: is told each step.
    """
    _only_here(settings)
    newest = next(iter(artifacts.known(settings)), None)
    if newest and newest.sha != sha:
        # Production was built from another commit since, so that of this one is gone.
        artifacts.remove(settings, sha)
    base = find_base(settings, sha, folder / "base", ancestors=0, repository=repository)
    plan = make_plan(settings, base, folder, domains=domains, repository=repository)
    missing = {domain for domain in plan.domains & set(known) if not _is_built(plan.base, domain)}
    if not missing:
        return plan
    production = rehearsal_settings("prod")
    for domain in sorted(missing):
        say(f"Loading sample data: {domain}")
        deliver(production, domain, say)
    built = build_production(
        production, plan.base, missing, folder / "production", repository=repository, say=say
    )
    return replace(plan, base=built)


def _only_here(settings: ConnectionSettings) -> None:
    if not settings.is_rehearsal:
        raise CiError("A rehearsal builds production, and does so on the local warehouse alone.")


def _is_built(base: Base, domain: str) -> bool:
    """Whether the domain's models are among those that production's last build made."""
    models = {
        unique_id
        for unique_id, node in base.manifest["nodes"].items()
        if unique_id.startswith("model.") and Path(node["original_file_path"]).parts[2] == domain
    }
    return models <= set(base.seconds)


def deliver_samples(settings: ConnectionSettings, pipeline: Pipeline, say: Say) -> None:
    """Deliver a domain's sample data and load it; what is loaded already is not loaded again."""
    pipeline.deliver(settings, say)
    if pipeline.domain in ingested():
        for source in load_domain(pipeline.domain).sources:
            load_source(source, settings=settings, landing=landing_folder(settings))


def build_production(
    settings: ConnectionSettings,
    base: Base,
    domains: Collection[str],
    folder: Path,
    *,
    repository: Path = REPOSITORY,
    say: Say = lambda _: None,
) -> Base:
    """Build some domains into ANALYTICS from the base's files, and keep the artifacts.

    Args:
        settings: of target prod, in a rehearsal.
        base: what to build.
        domains: of which domains; what was built of others stays known.
        folder: for dbt's files.
        repository: the clone that has the commit.
        say: is told each step.

    Raises:
        CiError: a model cannot be built, or a test of one fails.
    """
    _only_here(settings)
    say(f"Building production from {base.sha[:12]}: {', '.join(sorted(domains))}")
    select = [part for domain in sorted(domains) for part in domain_selection(domain)]
    with checked_out(base.sha, repository) as tree, environment_without_monitoring(settings):
        dbt = Dbt(tree / "dbt", "prod", folder)
        nodes = run_nodes(dbt, "build", "--select", *select)
    failed = [node for node in nodes if node.failed]
    if failed:
        raise CiError(
            f"Production cannot be built from {base.sha[:12]}: {failed[0].name} "
            f"({' '.join(failed[0].message.split())})."
        )
    before = folder.parent / "base" / RUN_RESULTS
    if before.exists():
        _join(before, folder / RUN_RESULTS)
    artifacts.store(settings, base.sha, folder)
    seconds = {node.unique_id: node.seconds for node in read_run_results(folder)}
    how = f"Production as this machine has built it from {base.sha[:12]}."
    return replace(base, how=how, seconds=seconds)


def _join(before: Path, after: Path) -> None:
    """Put into a file of results those of an earlier one that it has not."""
    results = json.loads(after.read_text())
    there = {result["unique_id"] for result in results["results"]}
    earlier = json.loads(before.read_text())["results"]
    results["results"] += [one for one in earlier if one["unique_id"] not in there]
    after.write_text(json.dumps(results))
