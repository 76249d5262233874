"""What is said about a slim build, as Markdown for a comment.

Names and messages come from the change and from the warehouse: none of them may become a mention,
a link, a picture or HTML. So all of them are code, where GitHub looks for none of these. Writing a
character as a number does not help: mentions are searched for in what is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from include.delivery.pull_requests.slim import RELATIONS, TESTS, Outcome, Plan, Rows
from include.project.builds import NodeResult

MARKER = "<!-- firn: slim build -->"
"""The first line of the comment, by which it is found again; nobody sees it."""

MOST = 50
"""Rows of a table, and names in a list."""

LONGEST_NAME, LONGEST_MESSAGE = 150, 600
LONGEST_COMMENT = 60_000
"""Bytes; GitHub takes 65,536 characters, and Linux 128 KiB in one variable of the environment."""


def comment(outcome: Outcome) -> str:
    """The whole comment."""
    parts = [
        MARKER,
        f"### {_headline(outcome)}",
        _saved(outcome.plan),
        f"Compared with: {_base(outcome)}",
    ]
    if outcome.stopped_early:
        parts.append(
            "The pass over no rows failed, so that nothing was built and nothing was spent on it."
        )
    parts += [_failures(outcome), _relations(outcome), _tests(outcome), _exposures(outcome.plan)]
    parts += _notes(outcome)
    text = "\n\n".join(part for part in parts if part) + "\n"
    if len(text.encode()) > LONGEST_COMMENT:
        # Cut between parts: an open block of code would swallow what comes after it.
        parts = [*parts[:4], "The rest is too long for a comment: the log of the build has it."]
        text = "\n\n".join(parts) + "\n"
    return text


def not_done() -> str:
    """The comment where nothing can be said of the change, in place of what was said before.

    What went wrong is not in it: messages of the warehouse and of the network name an account.
    """
    return (
        f"{MARKER}\n\n### Slim build: could not be done\n\n"
        "The log of the run says why. What stood here was about an earlier state of the change.\n"
    )


def _headline(outcome: Outcome) -> str:
    if not outcome.plan.builds:
        return "Slim build: nothing to build"
    if outcome.failed:
        failed = sum(node.failed for node in outcome.nodes)
        return f"Slim build: failed ({_count(failed, 'node')})"
    return "Slim build: passed"


def _saved(plan: Plan) -> str:
    share = plan.share()
    text = (
        f"**{share.relations:,} of {share.of_relations:,}** models, seeds and snapshots and "
        f"**{share.tests:,} of {share.of_tests:,}** tests were needed: {percent(share.saved)} of "
        f"the building and {percent(share.saved_tests)} of the testing saved"
    )
    if (seconds := share.saved_seconds) is not None:
        text += (
            f", {percent(seconds)} of the {share.of_seconds:,.0f} s that production's last build "
            "took"
        )
    return f"{text}."


def percent(part: float) -> str:
    """A share in whole percent; all and nothing only where they are meant."""
    rounded = round(100 * part)
    if rounded == 100 and part < 1:
        return "over 99%"
    if rounded == 0 and part > 0:
        return "under 1%"
    return f"{rounded}%"


def _base(outcome: Outcome) -> str:
    # Our own sentence, with nothing of the change in it but hexadecimal digits.
    return outcome.plan.base.how


def _failures(outcome: Outcome) -> str:
    failed = [node for node in outcome.nodes if node.failed]
    if not failed:
        return ""
    lines = ["#### Failures"]
    for node in failed[:MOST]:
        lines += [
            "",
            f"{code(node.name)} ({node.kind.replace('_', ' ')}):",
            "",
            block(node.message),
        ]
    return "\n".join([*lines, _more(failed)])


def _relations(outcome: Outcome) -> str:
    built = [node for node in outcome.nodes if node.kind in RELATIONS]
    if not built:
        return ""
    lines = [
        "#### Built",
        "",
        "| name | kind | result | seconds | rows | in production | difference |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    nodes = outcome.plan.manifest["nodes"]
    for node in sorted(built, key=lambda one: (not one.failed, one.name))[:MOST]:
        rows = outcome.rows.get(node.unique_id, Rows(None, None))
        kind = str(nodes[node.unique_id]["config"]["materialized"])
        lines.append(
            f"| {code(node.name)} | {code(kind)} | {_result(node)} | {node.seconds:.1f} "
            f"| {_number(rows.here)} | {_number(rows.production)} | {_difference(rows)} |"
        )
    text = "\n".join([*lines, _more(built)])
    if outcome.cloned:
        text += f"\n\nBegan as a clone of production's: {_names(outcome.cloned)}."
    return text


def _result(node: NodeResult) -> str:
    return f"**{node.status}**" if node.failed else node.status


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _difference(rows: Rows) -> str:
    if rows.here is None or rows.production is None:
        return "new" if rows.production is None and rows.here is not None else "-"
    return f"{rows.here - rows.production:+,}" if rows.here != rows.production else "0"


def _tests(outcome: Outcome) -> str:
    tests = [node for node in outcome.nodes if node.kind in TESTS]
    if not tests:
        return ""
    passed = sum(node.status == "pass" for node in tests)
    text = f"**Tests:** {passed:,} passed"
    for word, statuses in (
        ("failed", {"fail", "error", "runtime error"}),
        ("skipped", {"skipped"}),
        ("warned", {"warn"}),
    ):
        if some := [node for node in tests if node.status in statuses]:
            text += f", {len(some):,} {word}"
            if word == "warned":
                text += f" ({_names([node.name for node in some])})"
    return f"{text}."


def _exposures(plan: Plan) -> str:
    chosen = plan.of_kind("exposure")
    if not chosen:
        return ""
    exposures = plan.manifest["exposures"]
    lines = ["#### Exposures that may change"]
    for unique_id in chosen[:MOST]:
        one = exposures[unique_id]
        owner = (one.get("owner") or {}).get("name") or ""
        lines.append(
            f"- {code(one['name'])} ({code(str(one['type']))})"
            + (f", of {code(owner)}" if owner else "")
        )
    return "\n".join([*lines, _more(chosen)])


def _notes(outcome: Outcome) -> Iterable[str]:
    plan, silent = outcome.plan, outcome.plan.silent
    notes = {
        "Comments and blanks only, so not built": silent.comments,
        "Descriptions only, so not built; the next deployment writes them": silent.descriptions,
        "Allowed age of the source only, so nothing is built": silent.freshness,
        "Not in the project any more; production keeps the table until it is dropped": plan.removed,
        "Touched too, and left out, as they belong to other domains": plan.left_out,
    }
    lines = [f"- {what}: {_names(names)}." for what, names in notes.items() if names]
    if lines:
        yield "\n".join(lines)


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(code(name) for name in sorted(names)[:MOST])
    return shown + (f" and {len(names) - MOST:,} more" if len(names) > MOST else "")


def _more(rows: Sequence[object]) -> str:
    return f"\n… and {len(rows) - MOST:,} more." if len(rows) > MOST else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


# -- text of others --------------------------------------------------------------------------------


def code(name: str) -> str:
    """A name as code, also within a table: nothing in it is Markdown, HTML or a mention."""
    line = _line(name, LONGEST_NAME)
    # A bar would end the cell even within code, and a backtick the code.
    return f"`{line.replace('`', chr(39)).replace('|', '¦') or ' '}`"


def block(message: str) -> str:
    """A message as a block of code that nothing in it can end."""
    lines = [_line(line, LONGEST_MESSAGE) for line in _without_values(message).splitlines()]
    text = "\n".join(line for line in lines if line)[:LONGEST_MESSAGE] or "no message"
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _line(text: str, longest: int) -> str:
    """One line of bounded length, without characters that are not to be seen."""
    line = "".join(one if one.isprintable() else " " for one in text)
    line = line.strip()
    return line if len(line) <= longest else f"{line[:longest]}…"


def _without_values(message: str) -> str:
    """A message without values of rows, which a failing statement may quote.

    What the compiler says quotes names of columns and tables, and no row has been read by then.
    """
    if "Database Error" not in message or "compilation error" in message.lower():
        return message
    # A value may hold quotes and line ends itself: all goes from the first quote to the last.
    without = re.sub(r"(?s)(Row Values:) .*?(?=\n *compiled code at |\Z)", r"\1 …", message)
    return re.sub(r"(?s)['\"].*['\"]", "'…'", without)
