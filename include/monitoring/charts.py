"""Small charts as SVG: what the templates need to draw them, in the units of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, MARGIN = 160.0, 36.0, 4.0
BAR = 6.0
"""How far apart bars stand."""


@dataclass(frozen=True)
class Line:
    """A line through values at equal distances.

    Attributes:
        points: of an SVG polyline.
        end: where it ends, for a dot.
        title: what it shows, in words, for those who do not see it.
    """

    points: str
    end: tuple[float, float]
    title: str


@dataclass(frozen=True)
class Bar:
    """One bar of a row of bars; y grows downwards.

    Attributes:
        label: what it stands for, shown when it is pointed at.
        mark: the kind of the bar, which has a colour and a sign.
    """

    x: float
    y: float
    width: float
    height: float
    label: str
    mark: str


def line(values: Sequence[float], title: str, *, from_zero: bool = False) -> Line | None:
    """The line; None if there are fewer than two values.

    Args:
        values: oldest first.
        title: what it shows, in words.
        from_zero: whether the picture begins at zero, or at the smallest value.
    """
    if len(values) < 2:
        return None
    least = 0.0 if from_zero else min(values)
    span = max(values) - least
    step = (WIDTH - 2 * MARGIN) / (len(values) - 1)
    flat = HEIGHT - MARGIN if from_zero else HEIGHT / 2
    points = [
        (
            round(MARGIN + index * step, 1),
            round(HEIGHT - MARGIN - (value - least) / span * (HEIGHT - 2 * MARGIN), 1)
            if span
            else flat,
        )
        for index, value in enumerate(values)
    ]
    return Line(" ".join(f"{x:g},{y:g}" for x, y in points), points[-1], title)


def bars(values: Sequence[float], labels: Sequence[str], marks: Sequence[str]) -> list[Bar]:
    """A bar for each value, one after the other; a small one is still seen.

    Args:
        values: oldest first, none below 0.
        labels: of each bar.
        marks: of each bar.
    """
    most = max(values, default=0) or 1
    found = []
    for index, (value, label, mark) in enumerate(zip(values, labels, marks, strict=True)):
        height = round(max(2.0, value / most * (HEIGHT - 10)), 1)
        x = index * BAR + 0.5
        found.append(Bar(x, HEIGHT - height, BAR - 1, height, label, mark))
    return found
