"""Smoke tests: what must hold in staging before readers get it, beyond what dbt has tested."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def problems(
    built: Mapping[str, int],
    production: Mapping[str, int],
    marts: Mapping[str, tuple[str, str]],
    *,
    may_be_empty: Collection[str],
    most_percent: int,
) -> dict[str, str]:
    """What is odd about the marts of a build, one sentence by the model's name.

    Args:
        built: rows of each mart in staging, by schema and name; those not there are missing.
        production: the same of production.
        marts: schema and name of each mart that must be there, by the model's name.
        may_be_empty: the marts that may have no row; that they lost theirs is odd all the same.
        most_percent: by how much of production's rows a mart may differ from it.
    """
    found = {}
    for model, place in marts.items():
        name = ".".join(place)
        rows, before = built.get(name), production.get(name)
        if rows is None:
            found[model] = f"{model} is not there after the build."
        elif not rows and model not in may_be_empty:
            found[model] = f"{model} has no row."
        elif before and abs(rows - before) * 100 > most_percent * before:
            found[model] = (
                f"{model} has {rows:,} rows and production {before:,}: that is "
                f"{100 * (rows - before) / before:+.0f} %, and {most_percent} % are allowed."
            )
    return found
