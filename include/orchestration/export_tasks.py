"""The export of a domain as an Airflow task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import task
from airflow.task.trigger_rule import TriggerRule

from include.core.logs import event

if TYPE_CHECKING:
    from include.warehouse.export import Relation

TASK = "export"


@task(task_id=TASK, trigger_rule=TriggerRule.NONE_FAILED)
def export(domain: str) -> list[dict[str, Any]]:
    """Write the domain's raw tables, staged tables and marts as Parquet files for other programs.

    Below `$FIRN_EXPORTS`: `bronze/<table>/`, `silver/<table>/`, `gold/<table>/`. Readers find the
    files of before until the new ones are complete.
    """
    from include.project.manifest import manifest_path, read_manifest
    from include.warehouse.export import export as export_relations

    relations = domain_relations(domain, read_manifest(manifest_path()))
    exported = export_relations(relations)
    event(
        "export.domain",
        domain=domain,
        tables=len(exported),
        rows=sum(one.rows for one in exported),
        files=sum(one.files for one in exported),
        bytes=sum(one.bytes for one in exported),
    )
    return [one.as_json() for one in exported]


def domain_relations(domain: str, manifest: Mapping[str, Any]) -> list[Relation]:
    """Sources are bronze, staging and intermediate models silver, marts gold."""
    from include.project.nodes import Project
    from include.warehouse.export import Relation

    project = Project.read(manifest, domain)
    bronze = [
        Relation("bronze", relation.split(".")[-1].strip('"').lower(), relation)
        for relation in sorted(project.sources)
    ]
    models = [
        Relation(
            "gold" if project.layers[unique_id] == "mart" else "silver",
            unique_id.split(".")[-1],
            relation,
        )
        for unique_id, relation in sorted(project.relations.items())
    ]
    return bronze + sorted(models, key=lambda one: (one.medal == "gold", one.table))
