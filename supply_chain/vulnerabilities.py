"""Which locked packages have known vulnerabilities, and of which nobody could be asked.

pip-audit says "could not be audited" of a package that its service does not answer about, and ends
with 0 as if all were well. Here that is a third answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from supply_chain.policy import Policy

SERVICES = ("pypi", "osv")
TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        asked: how many packages the service answered about.
        found: one sentence for each vulnerability that is not accepted.
        not_asked: why nothing is known of some or all packages; empty if all were asked about.
        overdue: one sentence for each accepted vulnerability whose day has come.
    """

    asked: int
    found: list[str] = field(default_factory=list)
    not_asked: str = ""
    overdue: list[str] = field(default_factory=list)


def ask(lock: Path, service: str = SERVICES[0]) -> subprocess.CompletedProcess[str]:
    """Run pip-audit on a lock; its answer as JSON is the standard output."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(lock)),
            *("--require-hashes", "--disable-pip", "--format", "json"),
            *("--progress-spinner", "off", "--vulnerability-service", service),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


def judge(
    answer: subprocess.CompletedProcess[str], policy: Policy, today: date | None = None
) -> Audit:
    """What pip-audit's answer means.

    Args:
        answer: of `ask`.
        policy: which vulnerabilities are accepted.
        today: to compare their days with; this day if not given.
    """
    today = today or date.today()  # noqa: DTZ011 - a day of the calendar
    overdue = [
        f"{one.id} was accepted until {one.until} ({one.reason}): look at it again."
        for one in policy.vulnerabilities
        if one.until < today
    ]
    try:
        packages: list[dict[str, Any]] = json.loads(answer.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = (answer.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Audit(0, [], f"pip-audit got no answer: {said}", overdue)
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    asked = [one for one in packages if "skip_reason" not in one]
    accepted = {one.id for one in policy.vulnerabilities if one.until >= today}
    found = [
        f"{one['name']} {one['version']}: {flaw['id']}, "
        + (
            f"mended in {', '.join(flaw['fix_versions'])}."
            if flaw["fix_versions"]
            else "not mended."
        )
        for one in asked
        for flaw in one["vulns"]
        if not accepted.intersection([flaw["id"], *flaw.get("aliases", [])])
    ]
    why = ""
    if skipped:
        some = ", ".join(skipped[:3]) + (", …" if len(skipped) > 3 else "")
        why = f"the service did not answer about {len(skipped)} of {len(packages)}: {some}"
    return Audit(len(asked), found, why, overdue)
