"""What the dbt project says about one domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.orchestration.manifest import tests_by_owner

LAYERS = ("source", "staging", "intermediate", "mart")


@dataclass
class Project:
    """What the dbt project says about the nodes of a domain.

    Attributes:
        sources: the relations of its source tables.
        layers: the layer of each model and of each test, by unique id.
        relations: the table or view of each model.
        incremental: the models that are merged into, not built anew.
    """

    sources: list[str] = field(default_factory=list)
    layers: dict[str, str] = field(default_factory=dict)
    relations: dict[str, str] = field(default_factory=dict)
    incremental: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, manifest: Mapping[str, Any], domain: str) -> Project:
        """The domain's part of a dbt manifest."""
        project = cls(
            sources=[
                source["relation_name"]
                for source in manifest.get("sources", {}).values()
                if source["source_name"] == domain
            ]
        )
        for unique_id, node in manifest["nodes"].items():
            folders = Path(node["original_file_path"]).parts
            if node["resource_type"] == "model" and folders[2] == domain:
                project.layers[unique_id] = folders[1]
                project.relations[unique_id] = node["relation_name"]
                if node["config"]["materialized"] == "incremental":
                    project.incremental.add(unique_id)
        owned = tests_by_owner(manifest)
        for unit_test in manifest["unit_tests"].values():
            owned.setdefault(unit_test["depends_on"]["nodes"][0], []).append(unit_test["unique_id"])
        for owner, tests in owned.items():
            of_source = owner.startswith(f"source.firn.{domain}.")
            layer = "source" if of_source else project.layers.get(owner)
            if layer:
                project.layers |= dict.fromkeys(tests, layer)
        return project
