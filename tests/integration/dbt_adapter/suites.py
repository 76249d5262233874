"""The classes of dbt-tests-adapter, found rather than listed, so that none is forgotten."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import dbt.tests.adapter

PACKAGE = "dbt.tests.adapter"

# Scaffolding: without fixtures that only their subclasses have, these cannot run by themselves.
ABSTRACT = {
    "caching.test_caching.BaseCachingTest",
    "constraints.test_constraints.BaseConstraintsColumnsEqual",
    "constraints.test_constraints.BaseContractSqlHeader",
    "functions.test_udafs.UDAFBase",
    "utils.base_array_utils.BaseArrayUtils",
    "utils.base_utils.BaseUtils",
    "utils.data_types.base_data_type_macro.BaseDataTypeMacro",
    "utils.test_current_timestamp.BaseCurrentTimestamp",
}


def suites() -> dict[str, type]:
    """Every class of the package that says something of its own and has tests, by its name.

    A name is `<folder>.<module>.<class>`. Classes that only give a runnable name to another one
    are left out, because they would run the same tests a second time.
    """
    return {
        f"{module.__name__.removeprefix(PACKAGE + '.')}.{name}": found
        for module in _modules()
        for name, found in vars(module).items()
        if inspect.isclass(found)
        and found.__module__ == module.__name__
        and any(not attribute.startswith("__") for attribute in vars(found))
        and methods_of(found)
    }


def methods_of(suite: type) -> set[str]:
    """The names of a class's test methods."""
    return {name for name, _ in inspect.getmembers(suite, inspect.isfunction) if name[:4] == "test"}


def _modules() -> Iterator[ModuleType]:
    # The folders have no __init__.py, so pkgutil would not go into them.
    for folder in dbt.tests.adapter.__path__:
        for file in sorted(Path(folder).rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            if parts[-1] != "__init__":
                yield importlib.import_module(".".join((PACKAGE, *parts)))
