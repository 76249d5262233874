"""The one place where dbt is turned into Airflow tasks.

A DAG file calls ``dbt_task_group`` with a domain and nothing else: project, profile, target,
execution mode and tests are the same for every pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskGroup
from airflow.task.trigger_rule import TriggerRule
from cosmos.airflow.task_group import DbtTaskGroup
from cosmos.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import (
    PRODUCER_WATCHER_TASK_ID,
    DbtResourceType,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    TestBehavior,
)

from include.airflow.environment import is_headless
from include.orchestration.change_tasks import look_for_changes
from include.orchestration.rejected_rows import lists_rejected_rows, tell_rejected
from include.orchestration.watcher import DbtBuildOperator, DbtFreshnessOperator, DbtNodeSensor
from include.project.builds import (
    builds_folder,
    keep_and_tell,
    keep_and_tell_freshness,
    tell_run_results,
)
from include.project.changes import Scope
from include.project.manifest import (
    MONITORING,
    NO_BOUNDS,
    domain_selection,
    manifest_path,
    parse_folder,
    read_manifest,
    tests_by_owner,
)
from include.project.paths import dbt_executable, dbt_project, target
from include.project.run_mode import END, FULL_REFRESH, START

if TYPE_CHECKING:
    from cosmos.dbt.graph import DbtNode

FRESHNESS_TASK = "source_freshness"


def dbt_task_group(
    domain: str, select: Sequence[str] | None = None, sources: Sequence[str] | None = None
) -> DbtTaskGroup:
    """What dbt does for a domain in one DAG, as one task group named after the domain.

    Source freshness comes first; an error there stops the domain, a warning does not. Where all
    sources are loaded by Firn, the task ``changes`` then skips the build if there is nothing to
    build. Then one task per model, seed and snapshot with its tests, in lineage order, grouped by
    layer. A single producer task runs ``dbt build``, the others follow their node in it. Where a
    model lists rejected rows, the task ``rejected`` beside the group tells of those that this run
    has brought.

    Under a scheduler each task turns green as its node is done. In a headless run tasks execute
    one after the other, so there the producer stands before all of them.

    Args:
        domain: a folder of the dbt project.
        select: dbt selectors, each of the domain alone, where several DAGs share a domain; all of
            the domain if not given.
        sources: tables of the domain whose freshness is checked; all if not given, none if empty.

    Raises:
        FileNotFoundError: the manifest has not been written.
    """
    profile = ProfileConfig(
        profile_name="firn",
        target_name=target(),
        profiles_yml_filepath=dbt_project() / "profiles.yml",
    )
    content = read_manifest(manifest_path())
    layers: dict[str, TaskGroup] = {}

    def to_task(
        node: DbtNode,
        task_args: dict[str, Any],
        task_group: TaskGroup,
        **_: object,
    ) -> DbtNodeSensor:
        kind, *folders = Path(node.original_file_path).parts
        layer = folders[0] if kind == "models" else kind
        if layer not in layers:
            layers[layer] = TaskGroup(group_id=layer, parent_group=task_group)
        return DbtNodeSensor(
            task_id=node.name,
            task_group=layers[layer],
            has_tests=False,
            extra_context={"dbt_node_config": node.context_dict, "package_name": node.package_name},
            doc_md=content["nodes"][node.unique_id]["description"] or None,
            poke_interval=2,
            start_from_trigger=not is_headless(),
            **task_args,
        )

    group = DbtTaskGroup(
        group_id=domain,
        project_config=ProjectConfig(
            dbt_project_path=dbt_project(),
            manifest_path=manifest_path(),
            project_name="firn",
            install_dbt_deps=False,
            # The process of headless runs has parsed the project for all of them.
            partial_parse=not is_headless(),
            # The producer reads its artifacts where Cosmos expects them, in its own copy.
            env_vars={
                "DBT_TARGET_PATH": "target",
                "DBT_LOG_PATH": "logs",
                # A test that also reads what another DAG builds runs there, where all of it is.
                "DBT_INDIRECT_SELECTION": "buildable",
                # Unit tests have constant inputs, so their results change only with the code.
                # Pull requests and deployments run them then.
                "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",
                # What is in the schemas that are built, instead of in all of the project's.
                "DBT_CACHE_SELECTED_ONLY": "true",
            },
        ),
        profile_config=profile,
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER,
            invocation_mode=_invocation_mode(),
            dbt_executable_path=dbt_executable(),
            setup_operator_args={
                # Cosmos leaves tests out of a build that has no test tasks.
                "dbt_cmd_flags": ["--resource-type", "test"],
                "full_refresh": f"{{{{ params.{FULL_REFRESH} }}}}",
                "vars": _bounds(),
                "callback": keep_and_tell,
            },
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            select=list(select or domain_selection(domain)),
            exclude=[f"tag:{MONITORING}"],
            test_behavior=TestBehavior.NONE,
            emit_datasets=False,
            enable_owner_inheritance=False,
            node_converters=dict.fromkeys(
                (DbtResourceType.MODEL, DbtResourceType.SEED, DbtResourceType.SNAPSHOT), to_task
            ),
        ),
    )
    producer = group.tasks_map[PRODUCER_WATCHER_TASK_ID]
    # Cosmos creates this task itself and has no option for its class.
    producer.__class__ = DbtBuildOperator
    producer.trigger_rule = TriggerRule.NONE_FAILED
    producer.cache_dir = parse_folder()
    nodes = [task for task in group.tasks_map.values() if isinstance(task, DbtNodeSensor)]
    owned_tests = tests_by_owner(content, {task.model_unique_id for task in nodes})
    for node in nodes:
        node.has_tests = node.model_unique_id in owned_tests
        # Of a node that is built alone, because it is tried again.
        node.cache_dir = parse_folder()
        node.callback, node.callback_args = tell_run_results, {"domain": domain}
    producer.tests_per_model = owned_tests
    builds = builds_folder(producer.dag_id)
    # A log that a program can follow while the build runs: one JSON object per line.
    producer.dbt_cmd_global_flags = ["--log-path", str(builds), "--log-format-file", "json"]
    producer.callback_args = {"folder": str(builds), "domain": domain}
    first_nodes = [node for node in nodes if not node.upstream_list]
    gates: list[Any] = []
    if sources is None or sources:
        freshness = DbtFreshnessOperator(
            task_id=FRESHNESS_TASK,
            task_group=group,
            select=" ".join(f"source:{domain}.{name}" for name in sources or ["*"]),
            # A range has no meaning here, and with other variables dbt would parse anew.
            vars=NO_BOUNDS,
            # A source that may miss leaves skipped tasks before it.
            trigger_rule=TriggerRule.NONE_FAILED,
            project_dir=str(dbt_project()),
            profile_config=profile,
            install_deps=False,
            # It takes a second once dbt is imported, so a process of its own would double its time.
            invocation_mode=InvocationMode.DBT_RUNNER,
            dbt_executable_path=dbt_executable(),
            manifest_filepath=producer.manifest_filepath,
            cache_dir=parse_folder(),
            emit_datasets=False,
            # It creates nothing, so dbt need not list the schemas first.
            env={**producer.env, "DBT_POPULATE_CACHE": "false"},
            partial_parse=producer.partial_parse,
            callback=keep_and_tell_freshness,
            callback_args={"folder": str(builds), "domain": domain},
            doc_md="`dbt source freshness` of the domain's sources. Stale beyond `error_after` "
            "stops the domain before anything is built; beyond `warn_after` it is only reported.",
        )
        gates.append(freshness)
    if scope := Scope.of(content, domain, [node.model_unique_id for node in nodes]):
        followers = [producer.task_id, *(node.task_id for node in nodes)]
        with group:
            gates.append(look_for_changes(scope, followers))
    for gate, following in pairwise([*gates, [producer, *first_nodes]]):
        gate >> following
    for node in first_nodes:
        if is_headless():
            # Runs whether the build went well or not, so that each node can tell how it fared,
            # but not when stale sources have kept the build from starting.
            node.trigger_rule = TriggerRule.ALL_DONE_MIN_ONE_SUCCESS
            producer >> node
        else:
            node.trigger_rule = TriggerRule.NONE_FAILED
    listing = {
        content["nodes"][node.model_unique_id]["relation_name"]: node
        for node in nodes
        if lists_rejected_rows(content["nodes"][node.model_unique_id])
    }
    if listing:
        # Beside the group, so that what follows the group does not wait for it.
        list(listing.values()) >> tell_rejected(domain, list(listing))
    return group


def _invocation_mode() -> InvocationMode:
    """Where dbt runs: in a headless run's process, which has imported it; else in a new one."""
    return InvocationMode.DBT_RUNNER if is_headless() else InvocationMode.SUBPROCESS


def _bounds() -> dict[str, str]:
    """The variables that bound incremental models; always given, as dbt parses anew for others."""
    return {
        "backfill_start": f"{{{{ params.{START} or '' }}}}",
        "backfill_end": f"{{{{ params.{END} or '' }}}}",
    }
