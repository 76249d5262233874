"""What a domain has in Python, found by its folder in ``include/domains``.

A folder may hold

- ``sources.yml``: what is loaded, see `include.ingestion.sources`,
- ``sample.py``: sample data, with the function ``command`` behind ``firn sample <domain>``,
- ``demo.py``: how the demo runs the domain, as ``PIPELINE``,
- ``tasks.py``: tasks that only the DAGs of this domain have.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from include.core.errors import UserError
from include.core.settings import REPOSITORY

if TYPE_CHECKING:
    from include.warehouse.connection import ConnectionSettings

FOLDER = REPOSITORY / "include" / "domains"

Say = Callable[[str], None]
"""Prints one line of progress."""


@dataclass(frozen=True)
class Pipeline:
    """One domain as the demo runs it.

    Attributes:
        domain: its folder in every layer.
        title: what it is about, in a few words.
        dags: the DAGs to run, one after the other.
        deliver: puts sample data where the first DAG picks it up. Called by every run of the demo;
            from the second on it delivers nothing that would change a row.
        questions: what a person would ask, each with the query that answers it from a mart. The
            first column names a row; ``{mart}`` stands for the marts' database and schema.
        place: the demo runs the pipelines in ascending order of this.
        check: raises a `UserError` if a setting of the domain cannot be used.
    """

    domain: str
    title: str
    dags: tuple[str, ...]
    deliver: Callable[[ConnectionSettings, Say], None]
    questions: Mapping[str, str]
    place: int = 100
    check: Callable[[], object] = lambda: None


class SampleDataError(UserError):
    """The sample cannot be made here; the message says why and what to do."""


def with_part(part: str) -> list[str]:
    """The domains whose folder holds a module of this name."""
    return sorted(file.parent.name for file in FOLDER.glob(f"*/{part}.py"))


def part_of(domain: str, part: str) -> ModuleType:
    """A domain's module.

    Args:
        domain: one that `with_part` has found.
        part: the module's name.
    """
    return importlib.import_module(f"include.domains.{domain}.{part}")


def samples_needed() -> list[Callable[[ConnectionSettings, Say], None]]:
    """What loads the data that DAGs read and no DAG loads."""
    parts = [part_of(domain, "sample") for domain in with_part("sample")]
    return [part.prepare for part in parts if hasattr(part, "prepare")]


def pipelines() -> dict[str, Pipeline]:
    """What the demo can run, by domain and in its order."""
    found: list[Pipeline] = [part_of(domain, "demo").PIPELINE for domain in with_part("demo")]
    return {one.domain: one for one in sorted(found, key=lambda one: (one.place, one.domain))}
