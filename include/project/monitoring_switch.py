"""Whether Elementary watches: it does where its dbt packages are, unless it is switched off.

The packages come from the dbt hub (``cd dbt && dbt deps``), or from a folder of packages that were
downloaded before. Without them everything else works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml

from include.core.errors import UserError
from include.core.settings import REPOSITORY, ConfigurationError, Monitoring

PACKAGES = ("elementary", "dbt_utils")
HOW = "install the packages with `cd dbt && dbt deps`, or set FIRN_DBT_PACKAGES_DIR to their folder"


class MonitoringOffError(UserError):
    """Something was asked for that needs Elementary, and it is off; the message says why."""


@dataclass(frozen=True)
class Switch:
    """Whether Elementary watches.

    Attributes:
        packages: the folder of dbt packages, there or not.
        why_off: why it does not, as one sentence; empty if it does.
    """

    packages: Path
    why_off: str = ""

    @property
    def is_on(self) -> bool:
        """Whether Elementary watches."""
        return not self.why_off

    def environment(self) -> dict[str, str]:
        """The variables by which dbt does as the switch says."""
        if not self.is_on:
            return {"FIRN_ELEMENTARY": "off"}
        return {"FIRN_ELEMENTARY": "on", "FIRN_DBT_PACKAGES_DIR": str(self.packages)}

    def require(self) -> None:
        """Go on only if Elementary watches.

        Raises:
            MonitoringOffError: it does not.
        """
        if not self.is_on:
            raise MonitoringOffError(self.why_off)


def monitoring_switch(settings: Monitoring | None = None) -> Switch:
    """The switch as environment, settings file and packages have it now.

    Args:
        settings: read from the environment if not given.

    Raises:
        ConfigurationError: a setting is malformed, or monitoring is asked for and cannot be.
    """
    settings = settings or Monitoring()
    given = settings.firn_dbt_packages_dir
    packages = given or REPOSITORY / "dbt" / "dbt_packages"
    if settings.firn_elementary == "off":
        return Switch(packages, "Monitoring is off: FIRN_ELEMENTARY is off; set it to on.")
    problem = _problem(packages)
    if problem and (settings.firn_elementary == "on" or given):
        asked = "FIRN_ELEMENTARY is on" if not given else f"FIRN_DBT_PACKAGES_DIR is {given}"
        raise ConfigurationError(
            [f"{asked}, but {problem}: {HOW}, or set FIRN_ELEMENTARY=off to work without."]
        )
    return Switch(packages, f"Monitoring is off: {problem}; {HOW}." if problem else "")


def _problem(packages: Path) -> str | None:
    """What keeps the packages of a folder from being used; None if nothing does."""
    there = {folder.name for folder in packages.glob("*/") if (folder / "dbt_project.yml").exists()}
    if missing := [name for name in PACKAGES if name not in there]:
        return f"{packages} does not hold {' and '.join(missing)}"
    # dbt makes every package of the folder a part of the project.
    if others := sorted(there - set(PACKAGES)):
        return f"{packages} also holds {', '.join(others)}, which does not belong to the project"
    project: Mapping[str, object] = yaml.safe_load(
        (packages / "elementary" / "dbt_project.yml").read_text(encoding="utf-8")
    )
    wanted = version("elementary-data")
    if project.get("version") != wanted:
        return f"{packages} holds elementary {project.get('version')} where {wanted} is needed"
    return None
