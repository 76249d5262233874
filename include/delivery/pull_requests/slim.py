"""The slim build of a pull request: what it touches is built, the rest is read from production."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from include.delivery.pull_requests.errors import CiError
from include.delivery.pull_requests.schemas import drop
from include.delivery.pull_requests.state import Base, Silent, changed_variables, comparable
from include.project.builds import NodeResult, run_nodes
from include.project.dbt import MANIFEST, Dbt
from include.project.environment import environment_without_monitoring
from include.project.manifest import domain_selection
from include.warehouse.catalogue import existing
from include.warehouse.connection import REPOSITORY, ConnectionSettings, connect

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

RELATIONS = ("model", "seed", "snapshot")
TESTS = ("test", "unit_test")
CHANGED = "state:modified+"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Share:
    """How much of the project a build took.

    Attributes:
        relations, of_relations: models, seeds and snapshots, selected and all.
        tests, of_tests: data tests and unit tests, selected and all.
        seconds, of_seconds: what production's last build spent on the nodes selected, and on all
            that are still there; 0 where that is not known.
    """

    relations: int
    of_relations: int
    tests: int
    of_tests: int
    seconds: float = 0.0
    of_seconds: float = 0.0

    @property
    def saved(self) -> float:
        """The part of models, seeds and snapshots that was not built."""
        return _rest(self.relations, self.of_relations)

    @property
    def saved_tests(self) -> float:
        """The part of the tests that was not run."""
        return _rest(self.tests, self.of_tests)

    @property
    def saved_seconds(self) -> float | None:
        """The part of production's seconds that was not spent; None where they are not known."""
        return _rest(self.seconds, self.of_seconds) if self.of_seconds else None


def _rest(part: float, whole: float) -> float:
    return 1 - part / whole if whole else 1.0


@dataclass(frozen=True)
class Rows:
    """How many rows a relation has; None where it does not exist."""

    here: int | None
    production: int | None


@dataclass(frozen=True)
class Plan:
    """What a change asks for.

    Attributes:
        base: what it is compared with.
        manifest: of the change, for target ci.
        state: the base's manifest as dbt compares with it.
        silent: differences that ask for nothing.
        selected: unique ids of what is to be built and tested, and of exposures.
        left_out: names of what the change also touches, in domains that were not asked for.
        removed: names of models, seeds and snapshots that the change takes away.
    """

    base: Base
    manifest: dict[str, Any]
    state: dict[str, Any]
    silent: Silent
    selected: list[str]
    left_out: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def of_kind(self, *kinds: str) -> list[str]:
        """Unique ids of the selected nodes of some resource types."""
        return [one for one in self.selected if one.split(".")[0] in kinds]

    @property
    def builds(self) -> bool:
        """Whether there is anything to build or to test."""
        return bool(self.of_kind(*RELATIONS, *TESTS))

    @property
    def domains(self) -> set[str]:
        """The domains of what is built, and of what it is tested on or reads."""
        parents = self.manifest["parent_map"]
        wanted = self.of_kind(*RELATIONS, *TESTS)
        near = {*wanted, *(parent for one in wanted for parent in parents.get(one, ()))}
        nodes = self.manifest["nodes"]
        return {
            Path(nodes[one]["original_file_path"]).parts[_domain_part(one)]
            for one in near
            if one in nodes and one.split(".")[0] in RELATIONS
        } | {one.split(".")[2] for one in near if one.startswith("source.")}

    def share(self) -> Share:
        """How much of the project this is."""
        every = [*self.manifest["nodes"], *self.manifest["unit_tests"]]
        kinds = [one.split(".")[0] for one in every]
        seconds = self.base.seconds
        return Share(
            relations=len(self.of_kind(*RELATIONS)),
            of_relations=sum(kind in RELATIONS for kind in kinds),
            tests=len(self.of_kind(*TESTS)),
            of_tests=sum(kind in TESTS for kind in kinds),
            seconds=sum(seconds.get(one, 0.0) for one in self.selected),
            of_seconds=sum(seconds.get(one, 0.0) for one in every),
        )


def _domain_part(unique_id: str) -> int:
    """Where in its path a node's domain stands: models/<layer>/<domain>, seeds/<domain>."""
    return 2 if unique_id.startswith("model.") else 1


@dataclass(frozen=True)
class Outcome:
    """What a slim build did.

    Attributes:
        plan: what it was asked for.
        nodes: what became of each node; of one that the cheap pass failed at, that.
        cloned: names of the tables that began as a copy of production's.
        rows: of each relation that was built, by unique id.
        stopped_early: whether the pass over no rows failed, so that nothing was built.
    """

    plan: Plan
    nodes: Sequence[NodeResult] = ()
    cloned: Sequence[str] = ()
    rows: Mapping[str, Rows] = field(default_factory=dict)
    stopped_early: bool = False

    @property
    def failed(self) -> bool:
        """Whether a node failed."""
        return any(node.failed for node in self.nodes)


def make_plan(
    settings: ConnectionSettings,
    base: Base,
    folder: Path,
    *,
    domains: Collection[str] = (),
    repository: Path = REPOSITORY,
) -> Plan:
    """Compare the project as it is on disk with a base.

    Args:
        settings: of target ci.
        base: what to compare with.
        folder: for dbt's files.
        domains: only what belongs to these; all if empty.
        repository: the clone, with the project in its folder dbt.

    Raises:
        CiError: the project cannot be parsed or compared.
    """
    project = repository / "dbt"
    with environment_without_monitoring(settings):
        dbt = Dbt(project, "ci", folder / "target")
        manifest = dbt.parse()
        variables = changed_variables(base.sha, project, repository)
        state, silent = comparable(base.manifest, manifest, variables)
        where = folder / "state"
        where.mkdir(parents=True, exist_ok=True)
        (where / MANIFEST).write_text(json.dumps(state))
        # dbt's own listing leaves nothing out: sources and exposures are in it too.
        changed = dbt.selected("--select", CHANGED, "--state", str(where))
        wanted = set(dbt.selected(*_domains(domains), "--state", str(where))) if domains else None
    kept = [one for one in changed if wanted is None or one in wanted]
    return Plan(
        base=base,
        manifest=manifest,
        state=state,
        silent=silent,
        selected=sorted(kept),
        left_out=sorted(
            one.split(".")[2] for one in set(changed) - set(kept) if one.split(".")[0] in RELATIONS
        ),
        removed=sorted(
            node["name"]
            for unique_id, node in base.manifest["nodes"].items()
            if node["resource_type"] in RELATIONS
            and node["package_name"] == manifest["metadata"]["project_name"]
            and unique_id not in manifest["nodes"]
            # What is on for production alone is switched off here, and not gone.
            and unique_id not in manifest["disabled"]
        ),
    )


def _domains(domains: Collection[str]) -> list[str]:
    """What dbt takes of the change in some domains."""
    return [
        "--select",
        *(f"{CHANGED},{part}" for one in sorted(domains) for part in domain_selection(one)),
    ]


def slim_build(
    settings: ConnectionSettings,
    plan: Plan,
    folder: Path,
    *,
    domains: Collection[str] = (),
    repository: Path = REPOSITORY,
    quiet: bool = False,
    say: Say = lambda _: None,
) -> Outcome:
    """Build and test what a plan selects, in schemas of the pull request.

    The schemas are made anew each time. First everything is built and unit-tested over no rows:
    SQL that the warehouse refuses is found before it costs anything. Then tables that are merged
    into begin as clones of production's, and the build follows.

    Args:
        settings: of target ci; its pull request names the schemas.
        plan: of the same project, settings and folder.
        folder: for dbt's files.
        domains: as the plan's.
        repository: the clone.
        quiet: print nothing of what dbt says.
        say: is told each step.

    Raises:
        CiError: dbt could not do its work.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    if not plan.builds:
        return Outcome(plan)
    number = settings.firn_pr_number or 0
    where = str(folder / "state")
    defer = ["--defer", "--favor-state", "--state", where]
    select = _domains(domains) if domains else ["--select", CHANGED]
    with environment_without_monitoring(settings):
        dbt = Dbt(repository / "dbt", "ci", folder / "target", quiet=quiet)
        drop(settings, number)
        say("Building and unit-testing over no rows")
        tried = run_nodes(dbt,
            "build", *select, *defer, "--empty", "--exclude-resource-type", "test",
        )  # fmt: skip
        incremental = [
            plan.manifest["nodes"][one]["name"]
            for one in plan.of_kind("model")
            if _is_merged(plan.manifest["nodes"][one])
        ]
        if incremental and not any(node.failed for node in tried):
            # Onto the tables that are there now: their other SQL.
            tried += run_nodes(dbt, "run", "--select", *incremental, *defer, "--empty")
        if any(node.failed for node in tried):
            return Outcome(plan, tried, stopped_early=True)
        drop(settings, number)
        names = _to_clone(settings, plan)
        if names:
            say(f"Cloning from production: {', '.join(names)}")
            refused = [
                one
                for one in run_nodes(dbt, "clone", "--select", *names, "--state", where)
                if one.failed
            ]
            if refused:
                said = " ".join(refused[0].message.split())
                raise CiError(f"Production's {refused[0].name} cannot be cloned: {said}")
        say("Building and testing")
        built = run_nodes(dbt, "build", *select, *defer, "--exclude-resource-type", "unit_test")
    unit_tests = [node for node in tried if node.kind == "unit_test"]
    # dbt also lists exposures, of which it builds nothing; of hooks it matters that one failed.
    nodes = [
        node for node in [*built, *unit_tests] if node.failed or node.kind in {*RELATIONS, *TESTS}
    ]
    outcome = Outcome(plan, nodes, names)
    say("Counting rows")
    return Outcome(plan, outcome.nodes, names, count_rows(settings, outcome))


def _to_clone(settings: ConnectionSettings, plan: Plan) -> list[str]:
    """Names of what is merged into, here and in production, and exists there."""
    merged = {
        unique_id: plan.state["nodes"][unique_id]
        for unique_id in plan.of_kind("model", "snapshot")
        if unique_id in plan.state["nodes"]
        and _is_merged(plan.manifest["nodes"][unique_id])
        and _is_merged(plan.state["nodes"][unique_id])
    }
    relations = {node["relation_name"] for node in merged.values()}
    with connect(settings) as connection, connection.cursor() as cursor:
        there = existing(cursor, relations)
    return sorted(
        node["name"] for node in merged.values() if node["relation_name"].upper() in there
    )


def _is_merged(node: Mapping[str, Any]) -> bool:
    return node["config"]["materialized"] in {"incremental", "snapshot"}


def count_rows(settings: ConnectionSettings, outcome: Outcome) -> dict[str, Rows]:
    """The rows of every relation that was built and of production's, counted by one query."""
    here = outcome.plan.manifest["nodes"]
    production = outcome.plan.state["nodes"]
    built = [
        node.unique_id
        for node in outcome.nodes
        if node.kind in RELATIONS and node.status == "success"
    ]
    pairs = {
        one: (here[one]["relation_name"], production.get(one, {}).get("relation_name"))
        for one in built
    }
    if not pairs:
        return {}
    with connect(settings) as connection, connection.cursor() as cursor:
        there = existing(cursor, {name for pair in pairs.values() for name in pair if name})
        columns = [
            # Relations are named by the dbt project, not by a user.
            f"(select count(*) from {name})" if name and name.upper() in there else "null"  # noqa: S608
            for pair in pairs.values()
            for name in pair
        ]
        counts = _one_row(cursor, f"select {', '.join(columns)}")
    return {
        unique_id: Rows(*counts[2 * position : 2 * position + 2])
        for position, unique_id in enumerate(pairs)
    }


def _one_row(cursor: SnowflakeCursor, query: str) -> list[int | None]:
    cursor.execute(query)
    return list(cast("tuple[int | None, ...]", cursor.fetchone()))
