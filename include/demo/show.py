"""Telling what happens while it happens: bars on a terminal, a line per model elsewhere."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from include.project.builds import NodeResult
from include.project.nodes import LAYERS, Project

STAGES = {
    "wait": "Waiting for deliveries",
    "extract": "Checking files and cutting them",
    "load": "Loading",
    "source_freshness": "Checking how fresh the sources are",
    "changes": "Looking for changes",
    "dbt_producer_watcher": "Building and testing the models",
    "export": "Exporting",
    "publish": "Publishing the asset",
}
"""What is told when a task of this name begins; a model's task follows the build."""


class Show:
    """Tells what happens: bars on a terminal, a line per model elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()
        self._stage = ""

    def step(self, text: str) -> None:
        """Begin something that takes a while."""
        self.console.print(f"[dim]{time.monotonic() - self._began:5.0f} s[/]  {text}")

    def stage(self, task: str) -> None:
        """Begin an Airflow task."""
        text = STAGES.get(task.rpartition(".")[2], "")
        if text and text != self._stage:
            self.step(f"  {text}")
        self._stage = text or self._stage

    @contextmanager
    def build(self, project: Project) -> Iterator[_Bars | _Lines]:
        """Follow a build of the project's nodes."""
        if not self.console.is_terminal:
            yield _Lines(self, project)
            return
        columns = (
            TextColumn("         {task.description:<13}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[now]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            yield _Bars(progress, project)


class _Bars:
    def __init__(self, progress: Progress, project: Project) -> None:
        self._progress, self._project = progress, project
        totals = Counter(project.layers.values())
        self._bars: dict[str, TaskID] = {
            layer: progress.add_task(layer, total=totals[layer], now="")
            for layer in LAYERS
            if totals[layer]
        }
        self._running: dict[str, list[str]] = defaultdict(list)
        self._done: set[str] = set()

    def __call__(self, node: NodeResult) -> None:
        layer = self._project.layers.get(node.unique_id)
        if layer not in self._bars:
            return
        running = self._running[layer]
        if node.status == "started":
            running.append(node.name)
        else:
            if node.name in running:
                running.remove(node.name)
            # A node that a second DAG of the domain builds again counts once.
            if node.unique_id not in self._done:
                self._progress.advance(self._bars[layer])
            self._done.add(node.unique_id)
        now = running[-1] if running else ""
        self._progress.update(self._bars[layer], now=now[:40])


class _Lines:
    def __init__(self, show: Show, project: Project) -> None:
        self._show, self._project = show, project

    def __call__(self, node: NodeResult) -> None:
        if node.failed or (node.kind == "model" and node.status != "started"):
            self._show.step(f"    {node.status:<8} {node.name}")
