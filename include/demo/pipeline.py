"""What the demo has to know of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from include.warehouse.connection import ConnectionSettings

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
    """

    domain: str
    title: str
    dags: tuple[str, ...]
    deliver: Callable[[ConnectionSettings, Say], None]
    questions: Mapping[str, str]
