"""What a pull request is compared with: production's manifest, and which differences count."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from include.delivery.deployment import artifacts
from include.delivery.pull_requests.errors import CiError
from include.delivery.pull_requests.meaning import same_meaning
from include.project.builds import read_run_results
from include.project.dbt import MANIFEST, Dbt
from include.project.environment import environment_without_monitoring
from include.warehouse.connection import DATABASES, REPOSITORY, ConnectionSettings

ANCESTORS = 100
"""How many commits before the base are looked at for artifacts."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Base:
    """What a change is compared with.

    Attributes:
        sha: the commit that the manifest describes.
        how: where the manifest comes from and why, as one sentence.
        manifest: dbt's, of target prod.
        seconds: how long production's last build spent on each node, by unique id; empty where
            that is not known.
    """

    sha: str
    how: str
    manifest: Manifest
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Silent:
    """Differences that change nothing in the warehouse's tables, by name.

    Attributes:
        comments: models, tests and macros that differ in comments and blanks only.
        descriptions: models whose description differs, which the next deployment writes.
        freshness: sources of which only the allowed age differs.
    """

    comments: list[str] = field(default_factory=list)
    descriptions: list[str] = field(default_factory=list)
    freshness: list[str] = field(default_factory=list)


def git(*arguments: str, repository: Path = REPOSITORY) -> str:
    """What a git command prints.

    Raises:
        CiError: it failed; the message is git's.
    """
    done = subprocess.run(
        ["git", *arguments], cwd=repository, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise CiError(f"git {arguments[0]} failed: {said}")
    return done.stdout.strip()


def commit_of(revision: str, repository: Path = REPOSITORY) -> str:
    """The full name of a commit.

    Raises:
        CiError: this clone does not have it.
    """
    try:
        return git(
            "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}",
            repository=repository,
        )  # fmt: skip
    except CiError:
        raise CiError(
            f"This clone has no commit {revision!r}: name one that it has, and fetch the whole "
            "history (fetch-depth: 0)."
        ) from None


def fork_point(main: str | None = None, repository: Path = REPOSITORY) -> str:
    """The commit at which the checked out branch left the main branch.

    Args:
        main: a name of the main branch; `main`, else `origin/main`, if not given.
        repository: the clone.

    Raises:
        CiError: there is no such branch, or the two have nothing in common.
    """
    names = [main] if main else ["main", "origin/main"]
    for name in names:
        try:
            commit = commit_of(name, repository)
        except CiError:
            continue
        return git("merge-base", "HEAD", commit, repository=repository)
    raise CiError(f"This clone has no branch {' or '.join(names)}: name the base with --base.")


def find_base(
    settings: ConnectionSettings,
    sha: str,
    folder: Path,
    *,
    ancestors: int = ANCESTORS,
    repository: Path = REPOSITORY,
) -> Base:
    """What production was built from at a commit, as near as it can be had.

    In this order: the artifacts of the commit; those of the nearest of its ancestors that has any;
    the commit itself, parsed for target prod.

    Args:
        settings: where artifacts are kept, and how dbt connects.
        sha: the base, a commit's full name.
        folder: for files; they may be there from before.
        ancestors: how many ancestors are asked for artifacts.
        repository: the clone that has the commit.

    Raises:
        CiError: the commit is not there or cannot be parsed.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    kept = {one.sha for one in artifacts.known(settings)}
    line = git(
        "rev-list", "--first-parent", f"--max-count={ancestors + 1}", sha, repository=repository
    ).split()
    for distance, one in enumerate(line):
        if one in kept and artifacts.fetch(settings, one, folder):
            which = f"The artifacts of {one[:12]}, which production was built from"
            if distance:
                which += (
                    f": none are kept of the base {sha[:12]}, and this is the nearest commit "
                    f"before it that has any, {_counted(distance, 'commit')} back"
                )
            seconds = {node.unique_id: node.seconds for node in read_run_results(folder)}
            manifest = json.loads((folder / MANIFEST).read_text())
            return Base(one, f"{which}.", after_deployment(manifest), seconds)
    with checked_out(sha, repository) as tree, environment_without_monitoring(settings):
        manifest = Dbt(tree / "dbt", "prod", folder).parse()
    before = f" nor of the {_counted(len(line) - 1, 'commit')} before it" if len(line) > 1 else ""
    return Base(
        sha, f"The base {sha[:12]} itself, parsed: no artifacts are kept of it{before}.", manifest
    )


def after_deployment(manifest: Manifest) -> Manifest:
    """A manifest of production with the names that hold once its deployment is done.

    A deployment builds in a database that then changes names with production's.
    """
    production = DATABASES["prod"]
    for node in manifest["nodes"].values():
        if (built_in := node.get("database")) and built_in.upper() != production:
            node["database"] = production
            if relation := node.get("relation_name"):
                node["relation_name"] = f"{production}{relation.removeprefix(built_in)}"
    return manifest


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@contextmanager
def checked_out(sha: str, repository: Path = REPOSITORY) -> Iterator[Path]:
    """A folder with the files of a commit, gone afterwards; the working tree stays as it is."""
    with tempfile.TemporaryDirectory(prefix="firn-base-") as parent:
        tree = Path(parent, "base")
        git("worktree", "add", "--quiet", "--detach", str(tree), sha, repository=repository)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree), repository=repository)


def project_variables(text: str) -> dict[str, object]:
    """The dbt variables that a dbt_project.yml sets."""
    declared = (yaml.safe_load(text) or {}).get("vars") or {}
    found: dict[str, object] = {}
    for name, value in declared.items():
        found |= value if isinstance(value, dict) else {name: value}
    return found


def changed_variables(sha: str, project: Path, repository: Path = REPOSITORY) -> set[str]:
    """The dbt variables whose default differs between a commit and a project's folder."""
    before = project_variables(git("show", f"{sha}:dbt/dbt_project.yml", repository=repository))
    after = project_variables((project / "dbt_project.yml").read_text(encoding="utf-8"))
    return {name for name in before | after if before.get(name) != after.get(name)}


def comparable(base: Manifest, head: Manifest, variables: set[str]) -> tuple[Manifest, Silent]:
    """The base's manifest so that dbt's comparison finds what matters, and nothing else.

    What differs without consequence is taken from the other manifest. Readers of a variable that
    has changed, which dbt does not look at, are made to differ. So are callers of a changed macro:
    dbt knows those calls only that it comes by while it parses, when no model is incremental.

    Args:
        base: the manifest of production; it is not changed.
        head: the manifest of the change.
        variables: names of dbt variables whose value has changed.
    """
    state: Manifest = json.loads(json.dumps(base))
    silent = Silent()
    for unique_id, macro in head["macros"].items():
        old = state["macros"].get(unique_id)
        before, code = (old or macro)["macro_sql"], macro["macro_sql"]
        if old and before != code and same_meaning(before, code):
            old["macro_sql"] = code
            silent.comments.append(macro["name"])
    for unique_id, node in head["nodes"].items():
        if old := state["nodes"].get(unique_id):
            _equalise(old, node, silent)
    for unique_id, source in head["sources"].items():
        old = state["sources"].get(unique_id)
        aged = ("freshness", "loaded_at_field", "loaded_at_query")
        if old and any(old.get(name) != source.get(name) for name in aged):
            old |= {name: source.get(name) for name in aged}
            for config in ("config", "unrendered_config"):
                old[config] = _with(old.get(config), source.get(config), aged)
            silent.freshness.append(f"{source['source_name']}.{source['name']}")
    changed = {
        unique_id
        for unique_id, macro in head["macros"].items()
        if state["macros"].get(unique_id, {}).get("macro_sql") != macro["macro_sql"]
    }
    for unique_id in readers(head, variables) | callers(head, changed):
        if old := state["nodes"].get(unique_id):
            # Any node may differ by its place in the project.
            old["fqn"] = [*old["fqn"], "reads a changed variable or macro"]
    return state, silent


def _with(
    old: dict[str, Any] | None, new: dict[str, Any] | None, names: tuple[str, ...]
) -> dict[str, Any]:
    rest = {name: value for name, value in (old or {}).items() if name not in names}
    return rest | {name: new[name] for name in names if new and name in new}


def _equalise(old: dict[str, Any], node: dict[str, Any], silent: Silent) -> None:
    code = node.get("raw_code") or ""
    before = old.get("raw_code") or ""
    if before != code and node.get("language") == "sql" and same_meaning(before, code):
        old["raw_code"] = code
        silent.comments.append(node["name"])
    if not any((node["config"].get("persist_docs") or {}).values()):
        return
    described = old["description"], _descriptions(old)
    if described != (node["description"], _descriptions(node)):
        old["description"] = node["description"]
        for name, column in node["columns"].items():
            if name in old["columns"]:
                old["columns"][name]["description"] = column["description"]
        if not (node.get("contract") or {}).get("enforced"):
            old["columns"] = node["columns"]
        silent.descriptions.append(node["name"])


def _descriptions(node: Mapping[str, Any]) -> dict[str, str]:
    return {name: column["description"] for name, column in node["columns"].items()}


def readers(manifest: Manifest, variables: set[str]) -> set[str]:
    """The nodes that read some dbt variables, themselves or through macros, by unique id."""
    if not variables:
        return set()
    names = "|".join(map(re.escape, sorted(variables)))
    call = re.compile(rf"\bvar\(\s*['\"](?:{names})['\"]")
    macros = _with_callers(
        manifest,
        {
            unique_id
            for unique_id, one in manifest["macros"].items()
            if call.search(one["macro_sql"])
        },
    )
    return {
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if call.search(node.get("raw_code") or "")
        or call.search(str(node.get("unrendered_config") or ""))
        or call.search(str(node.get("test_metadata") or ""))
        or macros.intersection(node["depends_on"].get("macros", ()))
    }


def callers(manifest: Manifest, macros: set[str]) -> set[str]:
    """The nodes that call some macros by name, anywhere in their text, by unique id.

    Models that are merged into by a strategy of the project call its macro too.
    """
    if not macros:
        return set()
    names = {manifest["macros"][one]["name"] for one in _with_callers(manifest, macros)}
    call = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(names)))})\s*\(")
    return {
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if call.search(node.get("raw_code") or "")
        or call.search(str(node.get("unrendered_config") or ""))
        or f"get_incremental_{node['config'].get('incremental_strategy')}_sql" in names
    }


def _with_callers(manifest: Manifest, macros: set[str]) -> set[str]:
    """Some macros, and all that call them, themselves or through others."""
    found = set(macros)
    while more := {
        unique_id
        for unique_id, one in manifest["macros"].items()
        if unique_id not in found and found.intersection(one["depends_on"]["macros"])
    }:
        found |= more
    return found
