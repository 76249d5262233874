"""The dbt manifest that DAG files are rendered from.

Rendering reads it and nothing more: parsing the dbt project takes seconds, and Airflow parses DAG
files every half minute. It is written by ``firn manifest``, which the
commands that start Airflow call first, and which an image's build calls.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from include.core.errors import UserError
from include.core.settings import Image
from include.project.dbt import Dbt, last_lines
from include.project.paths import airflow_home, dbt_project, target

_GENERATED = {"target", "logs", "dbt_internal_packages", "__pycache__"}
_SUFFIXES = {".sql", ".yml", ".yaml", ".csv", ".md", ".py"}


LAYERS = ("staging", "intermediate", "mart")

BUILT_IN = "FIRN_DBT_MANIFEST"
"""Names the manifest that an image was built with; its containers cannot write another there."""

DECISIVE = (
    "FIRN_TARGET",
    "FIRN_USER",
    "FIRN_PR_NUMBER",
    "FIRN_BUILD_STAGING",
    "FIRN_ELEMENTARY",
    "FIRN_KEEP_REJECTED_ROWS_DAYS",
)
"""Our variables that change what a manifest says. The others are about the connection alone."""

NO_BOUNDS = {"backfill_start": "", "backfill_end": ""}
"""The variables that bound incremental models, as a run without a range gives them."""

_PARSE = ("parse", "--vars", json.dumps(NO_BOUNDS))

MONITORING = "monitoring"
"""The tag of tests that no pipeline runs but `platform__monitoring__hourly`; Elementary's."""


def domain_selection(domain: str) -> list[str]:
    """The dbt selection of a domain: its folder everywhere, and the tests of its sources."""
    folders = (*(f"models/{layer}" for layer in LAYERS), "seeds", "snapshots")
    return [f"source:{domain}", *(f"path:{folder}/{domain}" for folder in folders)]


class ManifestError(UserError):
    """The dbt project cannot be parsed; the message ends with what dbt said."""


def manifest_path(variables: Mapping[str, str] = os.environ) -> Path:
    """Where the manifest is, whether or not it has been written: an image's, else Airflow's own."""
    built_in = Image.read(variables).firn_dbt_manifest
    return built_in or airflow_home(variables) / "manifest" / "manifest.json"


def read_manifest(path: Path) -> Mapping[str, Any]:
    """The content of a manifest; each process reads it once, and again when the file changes.

    Raises:
        FileNotFoundError: it has not been written; the message says how to.
    """
    if not path.exists():
        raise FileNotFoundError(f"No dbt manifest at {path}: write it with `firn manifest`.")
    written = path.stat()
    return _read(path, written.st_mtime_ns, written.st_ino)


@lru_cache(maxsize=1)
def _read(path: Path, *_: int) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(path.read_text())
    return content


def tests_by_owner(
    manifest: Mapping[str, Any],
    selected: Collection[str] | None = None,  # noqa: PT028 - no test
) -> dict[str, list[str]]:
    """Unique ids of a manifest's data tests under the node each one speaks about.

    Tests that no pipeline runs are left out.

    A generic test belongs to the node it is declared on, also when it reads others. A singular
    test belongs to the last of the nodes it reads: those that no other of them is built on.

    Args:
        manifest: dbt's.
        selected: the nodes of a build; only the tests that run in it then, as dbt's indirect
            selection ``buildable`` takes them: those that read these nodes, what these are built
            on, and nothing else. All tests if not given.
    """
    parents: dict[str, list[str]] = manifest["parent_map"]

    def ancestors(unique_id: str) -> set[str]:
        found: set[str] = set()
        open_ids = list(parents.get(unique_id, ()))
        while open_ids:
            if (parent := open_ids.pop()) not in found:
                found.add(parent)
                open_ids += parents.get(parent, ())
        return found

    there = set(selected or ())
    for one in selected or ():
        there |= ancestors(one)
    owned: dict[str, list[str]] = {}
    for unique_id, node in manifest["nodes"].items():
        if node["resource_type"] != "test" or MONITORING in node.get("tags", ()):
            continue
        read = set(parents.get(unique_id, ()))
        if selected is not None and not read <= there:
            continue
        if node.get("attached_node"):
            owners = {node["attached_node"]}
        else:
            owners = {one for one in read if not any(one in ancestors(other) for other in read)}
        for owner in owners:
            owned.setdefault(owner, []).append(unique_id)
    return owned


def parse_folder(variables: Mapping[str, str] = os.environ) -> Path:
    """Where dbt left what it made of the project, below `target`; tasks go on from there."""
    return manifest_path(variables).parent


def ensure_manifest(variables: Mapping[str, str]) -> Path:
    """Write the manifest if the dbt project changed since it was written; return its path.

    Args:
        variables: the environment of the Airflow it is for, as ``airflow_environment`` gives it.

    Raises:
        ManifestError: ``dbt parse`` failed. The manifest of before stays as it was.
    """
    path = manifest_path(variables)
    fingerprint = project_fingerprint(variables)
    if _fits(path, fingerprint):
        return path

    work = parse_folder(variables) / "target"
    work.mkdir(parents=True, exist_ok=True)
    # Programs that share a home and start at a time would write into each other's files.
    with path.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _fits(path, fingerprint):
            _parse(variables, work)
            (work / "manifest.json").replace(path)
            path.with_name("fingerprint").write_text(fingerprint)
    return path


def parse_arguments(variables: Mapping[str, str], work: Path) -> list[str]:
    """The arguments of ``dbt parse``; others, and tasks could not go on from what it leaves.

    Args:
        variables: the environment of the Airflow it is for.
        work: the folder for what dbt writes.
    """
    return _dbt(variables, work).arguments(*_PARSE)


def _dbt(variables: Mapping[str, str], work: Path) -> Dbt:
    return Dbt(dbt_project(variables), target(variables), work)


def _parse(variables: Mapping[str, str], work: Path) -> None:
    parsed = _dbt(variables, work).call(*_PARSE, variables=variables)
    if parsed.returncode != 0:
        raise ManifestError(
            f"The dbt project in {dbt_project(variables)} cannot be parsed:\n"
            + last_lines(parsed.stdout)
        )


def require_manifest(variables: Mapping[str, str]) -> Path:
    """The manifest of an image, which must be of the settings; else as `ensure_manifest`.

    Raises:
        ManifestError: the image's is of other settings, or ``dbt parse`` failed.
    """
    if not Image.read(variables).firn_dbt_manifest:
        return ensure_manifest(variables)
    path = manifest_path(variables)
    if not _fits(path, project_fingerprint(variables)):
        told = ", ".join(f"{name}={variables.get(name, '')}" for name in DECISIVE)
        raise ManifestError(
            f"The manifest {path} was not written for this dbt project and these settings "
            f"({told}): build the image with them, or set {BUILT_IN} to nothing to have it "
            "written at the start."
        )
    return path


def _fits(path: Path, fingerprint: str) -> bool:
    return path.exists() and _stamp(path) == fingerprint


def _stamp(path: Path) -> str:
    file = path.with_name("fingerprint")
    return file.read_text() if file.exists() else ""


def parsed_fingerprint(variables: Mapping[str, str]) -> str:
    """The fingerprint of the project in the manifest; an empty string without a manifest."""
    return _stamp(manifest_path(variables))


def project_fingerprint(variables: Mapping[str, str]) -> str:
    """A hash of what ``dbt parse`` goes by: the project's files and the variables that matter."""
    project = dbt_project(variables)
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(project, followlinks=True):
        folders[:] = sorted(set(folders) - _GENERATED)
        for name in sorted(files):
            file = Path(folder, name)
            if file.suffix in _SUFFIXES:
                digest.update(str(file.relative_to(project)).encode() + b"\0")
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    for name, value in sorted(variables.items()):
        # Secrets are there for dbt to hide, and the project reads none. Where the project is says
        # nothing of what is in it.
        if name.startswith("DBT_ENV_SECRET_") or name == "DBT_PROJECT_DIR":
            continue
        if name in DECISIVE or name.startswith("DBT_"):
            digest.update(f"{name}={value}\0".encode())
    # Which account it is says nothing, but a model may be on for real ones alone.
    if variables.get("SNOWFLAKE_ACCOUNT", "").strip().lower() == "local":
        digest.update(b"rehearsed\0")
    return digest.hexdigest()
