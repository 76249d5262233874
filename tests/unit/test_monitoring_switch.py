"""When Elementary watches, and what is said when it does not."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from include.project.monitoring_switch import MonitoringOffError, monitoring_switch
from include.project.paths import REPOSITORY
from include.warehouse.connection import ConfigurationError


def packages_in(folder: Path, *names: str, elementary: str | None = None) -> Path:
    """A folder of dbt packages, by what the switch looks at."""
    for name in names:
        (folder / name).mkdir(parents=True)
        number = elementary or version("elementary-data") if name == "elementary" else "1.0.0"
        (folder / name / "dbt_project.yml").write_text(f"name: {name}\nversion: '{number}'\n")
    return folder


@pytest.fixture
def environment(clean_environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return clean_environment


def test_a_folder_of_packages_switches_it_on(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = packages_in(tmp_path, "elementary", "dbt_utils")
    environment.setenv("FIRN_DBT_PACKAGES_DIR", str(folder))
    switch = monitoring_switch()
    assert switch.is_on
    assert switch.environment() == {
        "FIRN_ELEMENTARY": "on",
        "FIRN_DBT_PACKAGES_DIR": str(folder),
    }
    switch.require()


def test_without_packages_it_is_off_and_says_how_to_install_them(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setattr("include.project.monitoring_switch.REPOSITORY", tmp_path)
    switch = monitoring_switch()
    assert switch.environment() == {"FIRN_ELEMENTARY": "off"}
    assert "cd dbt && dbt deps" in switch.why_off
    assert "FIRN_DBT_PACKAGES_DIR" in switch.why_off
    with pytest.raises(MonitoringOffError, match="Monitoring is off"):
        switch.require()


def test_off_is_off_also_where_packages_are(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = packages_in(tmp_path, "elementary", "dbt_utils")
    environment.setenv("FIRN_DBT_PACKAGES_DIR", str(folder))
    environment.setenv("FIRN_ELEMENTARY", "Off")
    assert monitoring_switch().environment() == {"FIRN_ELEMENTARY": "off"}


@pytest.mark.parametrize(
    ("names", "elementary", "said"),
    [
        (("elementary",), None, "does not hold dbt_utils"),
        ((), None, "does not hold elementary and dbt_utils"),
        (("elementary", "dbt_utils"), "0.1.0", "holds elementary 0.1.0 where"),
        (("elementary", "dbt_utils", "codegen"), None, "also holds codegen"),
    ],
)
def test_a_folder_that_was_asked_for_and_cannot_be_used_is_refused(
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    names: tuple[str, ...],
    elementary: str | None,
    said: str,
) -> None:
    folder = packages_in(tmp_path, *names, elementary=elementary)
    environment.setenv("FIRN_DBT_PACKAGES_DIR", str(folder))
    with pytest.raises(ConfigurationError, match=said):
        monitoring_switch()


def test_on_without_packages_is_refused(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setattr("include.project.monitoring_switch.REPOSITORY", tmp_path)
    environment.setenv("FIRN_ELEMENTARY", "on")
    with pytest.raises(ConfigurationError, match="FIRN_ELEMENTARY is on, but"):
        monitoring_switch()


def test_a_value_that_is_none_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FIRN_ELEMENTARY", "perhaps")
    with pytest.raises(ConfigurationError, match="FIRN_ELEMENTARY is 'perhaps'"):
        monitoring_switch()


def test_the_package_and_its_command_are_of_one_version() -> None:
    listed = yaml.safe_load((REPOSITORY / "packages.yml").read_text())["packages"]
    assert {one["package"]: one["version"] for one in listed} == {
        "elementary-data/elementary": version("elementary-data")
    }
