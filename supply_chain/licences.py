"""Whether the installed packages of a lock are under licences that the policy allows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from supply_chain.policy import Policy, PolicyError, normal


@dataclass(frozen=True)
class Licences:
    """What was found.

    Attributes:
        checked: how many packages.
        problems: one sentence each.
        absent: locked packages that are not installed here, because they are for other platforms.
    """

    checked: int
    problems: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def installed() -> dict[str, str]:
    """The licence of each installed package, as its metadata declares it.

    Raises:
        PolicyError: they cannot be read.
    """
    command = [sys.executable, "-m", "piplicenses", "--python", sys.executable]
    ran = subprocess.run(
        [*command, "--format=json", "--from=mixed", "--with-system"],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise PolicyError(f"pip-licenses cannot read the packages: {ran.stderr.strip()}")
    return {normal(one["Name"]): str(one["License"]) for one in json.loads(ran.stdout)}


def check(lock: Mapping[str, str], found: Mapping[str, str], policy: Policy) -> Licences:
    """Compare what is installed of a lock with the policy.

    Args:
        lock: names and versions.
        found: names and licences of what is installed.
        policy: what is allowed.
    """
    problems = []
    for name in sorted(set(lock) & set(found)):
        licence, exception = found[name], policy.exceptions.get(name)
        if exception:
            if exception.licence != licence:
                problems.append(
                    f"{name} is excepted as {exception.licence} and is now under {licence}: "
                    "look at it again and correct supply_chain/policy.yml."
                )
        elif licence not in policy.licences:
            problems.append(
                f"{name} is under {licence}, which is not allowed: replace the package, or allow "
                "the licence or except the package with a reason in supply_chain/policy.yml."
            )
    problems += [
        f"{name} is excepted in supply_chain/policy.yml and not locked: remove it there."
        for name in sorted(set(policy.exceptions) - set(lock))
    ]
    return Licences(len(set(lock) & set(found)), problems, sorted(set(lock) - set(found)))
