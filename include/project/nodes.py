"""What the dbt project says about one domain."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.project.manifest import tests_by_owner

LAYERS = ("source", "staging", "intermediate", "mart")


@dataclass
class Project:
    """What the dbt project says about the nodes of a domain.

    Attributes:
        sources: the relations of its source tables.
        layers: the layer of each model and of each test of the domain, by unique id.
        relations: the table or view of each model.
        incremental: the models that are merged into, not built anew.
    """

    sources: list[str] = field(default_factory=list)
    layers: dict[str, str] = field(default_factory=dict)
    relations: dict[str, str] = field(default_factory=dict)
    incremental: set[str] = field(default_factory=set)

    @classmethod
    def read(
        cls, manifest: Mapping[str, Any], domain: str, built: Collection[str] | None = None
    ) -> Project:
        """The domain's part of a dbt manifest.

        Args:
            manifest: dbt's.
            domain: the folder.
            built: unique ids of what one DAG of the domain builds; only these models and the
                sources that they read then. All of the domain if not given.
        """
        parents: Mapping[str, Sequence[str]] = manifest.get("parent_map", {})
        read = {parent for one in built or () for parent in parents.get(one, ())}
        project = cls(
            sources=[
                source["relation_name"]
                for unique_id, source in manifest.get("sources", {}).items()
                if source["source_name"] == domain and (built is None or unique_id in read)
            ]
        )
        for unique_id, node in manifest["nodes"].items():
            folders = Path(node["original_file_path"]).parts
            if node["resource_type"] == "model" and folders[2] == domain:
                project.layers[unique_id] = folders[1]
                if built is not None and unique_id not in built:
                    continue
                project.relations[unique_id] = node["relation_name"]
                if node["config"]["materialized"] == "incremental":
                    project.incremental.add(unique_id)
        for owner, tests in tests_by_owner(manifest).items():
            of_source = owner.startswith(f"source.firn.{domain}.")
            layer = "source" if of_source else project.layers.get(owner)
            if layer:
                project.layers |= dict.fromkeys(tests, layer)
        return project
