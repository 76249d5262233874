"""The comment on a pull request: what it says, and that nothing of the change can speak in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from markdown_it import MarkdownIt

from include.delivery.pull_requests import text
from include.delivery.pull_requests.slim import Outcome, Plan, Rows, Share
from include.delivery.pull_requests.state import Base, Silent
from include.project.builds import NodeResult

MODELS = ("stg_shop", "int_shop", "mart_shop", "mart_other")
EVIL = "a`|<img src=x>@octocat ![x](http://evil) [y](http://evil)\n# huge\r\n<!-- "


def manifest(**names: str) -> dict[str, Any]:
    nodes = {
        f"model.firn.{name}": {"name": name, "config": {"materialized": "table"}} for name in MODELS
    }
    nodes["test.firn.unique_a"] = {"name": "unique_a", "config": {"materialized": "test"}}
    nodes["test.firn.unique_b"] = {"name": "unique_b", "config": {"materialized": "test"}}
    exposure = {"name": "board", "type": "dashboard", "owner": {"name": "Analytics"}} | names
    return {
        "nodes": nodes,
        "unit_tests": {"unit_test.firn.mart_shop.adds_up": {}},
        "exposures": {"exposure.firn.board": exposure},
    }


BASE = Base(
    "a" * 40,
    "The artifacts of aaaaaaaaaaaa, which production was built from.",
    {},
    {"model.firn.stg_shop": 3.0, "model.firn.mart_other": 9.0},
)
PLAN = Plan(
    BASE,
    manifest(),
    {},
    Silent(),
    [
        "model.firn.stg_shop",
        "model.firn.int_shop",
        "test.firn.unique_a",
        "exposure.firn.board",
    ],
)
PASSED = Outcome(
    PLAN,
    [
        NodeResult("model.firn.stg_shop", "model", "success", 1.25),
        NodeResult("model.firn.int_shop", "model", "success", 2.0),
        NodeResult("test.firn.unique_a", "test", "pass", 0.1),
    ],
    ["int_shop"],
    {"model.firn.stg_shop": Rows(12_340, 12_345), "model.firn.int_shop": Rows(7, None)},
)


def test_the_comment_says_what_was_built_and_how_much_was_saved() -> None:
    said = text.comment(PASSED)
    assert said.startswith(f"{text.MARKER}\n\n### Slim build: passed\n")
    assert (
        "**2 of 4** models, seeds and snapshots and **1 of 3** tests were needed: 50% of the "
        "building and 67% of the testing saved, 75% of the 12 s that production's last build took."
    ) in said
    assert f"Compared with: {BASE.how}" in said
    assert "| `stg_shop` | `table` | success | 1.2 | 12,340 | 12,345 | -5 |" in said
    assert "| `int_shop` | `table` | success | 2.0 | 7 | - | new |" in said
    assert "Began as a clone of production's: `int_shop`." in said
    assert "**Tests:** 1 passed." in said
    assert "- `board` (`dashboard`), of `Analytics`" in said


def test_a_failure_stands_first_and_in_full() -> None:
    failed = NodeResult("test.firn.unique_a", "test", "fail", 0.1, message="Got 3 results")
    outcome = replace(PASSED, nodes=[*PASSED.nodes[:2], failed])
    said = text.comment(outcome)
    assert outcome.failed
    assert "### Slim build: failed (1 node)" in said
    assert "#### Failures\n\n`unique_a` (test):\n\n```text\nGot 3 results\n```" in said
    assert said.index("Got 3 results") < said.index("#### Built")
    assert "**Tests:** 0 passed, 1 failed." in said


def test_nothing_to_build_says_what_changed_and_why_not() -> None:
    silent = Silent(comments=["stg_shop"], descriptions=["mart_shop"], freshness=["shop.orders"])
    plan = replace(PLAN, selected=["exposure.firn.board"], silent=silent, removed=["mart_gone"])
    said = text.comment(Outcome(plan))
    assert "### Slim build: nothing to build" in said
    assert "100% of the building and 100% of the testing saved" in said
    assert "- Comments and blanks only, so not built: `stg_shop`." in said
    assert (
        "- Descriptions only, so not built; the next deployment writes them: `mart_shop`." in said
    )
    assert "- Allowed age of the source only, so nothing is built: `shop.orders`." in said
    assert "production keeps the table until it is dropped: `mart_gone`." in said
    assert "#### Built" not in said


def test_where_production_was_never_timed_no_seconds_are_claimed() -> None:
    plan = replace(PLAN, base=replace(BASE, seconds={}))
    assert plan.share() == Share(2, 4, 1, 3)
    assert "production's last build" not in text.comment(replace(PASSED, plan=plan))


@pytest.mark.parametrize(
    ("part", "said"),
    [(0, "0%"), (0.001, "under 1%"), (0.5, "50%"), (0.9989, "over 99%"), (1, "100%")],
)
def test_a_share_is_all_or_nothing_only_if_it_is(part: float, said: str) -> None:
    assert text.percent(part) == said


# -- text of others --------------------------------------------------------------------------------


def test_a_name_stays_within_its_code_and_its_cell() -> None:
    said = text.code(EVIL)
    assert said.startswith("`")
    assert said.endswith("`")
    assert said.count("`") == 2
    assert "|" not in said
    assert "\n" not in said


def test_a_message_cannot_end_its_block() -> None:
    said = text.block("a\n```\n@octocat\n````\n<b>")
    assert said.startswith("`````text\n")
    assert said.endswith("\n`````")
    assert len(text.block("x" * 100_000)) < 1_000


def test_the_whole_comment_holds_nothing_of_the_changes_own() -> None:
    nodes = [NodeResult(f"model.firn.{MODELS[0]}", "model", "error", 1, message=EVIL)]
    plan = replace(
        PLAN,
        manifest=manifest(name=EVIL, type=EVIL, owner={"name": EVIL}),  # type: ignore[arg-type]
        silent=Silent(comments=[EVIL]),
        removed=[EVIL],
    )
    said = text.comment(Outcome(plan, nodes))
    tokens = [
        token
        for outer in MarkdownIt("commonmark").enable("table").parse(said)
        for token in [outer, *(outer.children or ())]
    ]
    assert {token.content.strip() for token in tokens if token.type.startswith("html")} == {
        text.MARKER
    }
    kinds = {token.type for token in tokens}
    assert not kinds & {"image", "link_open"}
    assert {"code_inline", "fence", "table_open", "bullet_list_open"} <= kinds
    words = " ".join(token.content for token in tokens if token.type == "text")
    # GitHub looks for mentions and addresses in what is left besides code.
    for evil in ("@", "http", "huge", "img"):
        assert evil not in words
    assert sum("@octocat" in token.content for token in tokens if token.type != "inline") > 5


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "Database Error in model a\n  100038 (22018): Numeric value 'ada@example.com' is not",
            "'…'",
        ),
        (
            "Database Error in model a\n  100090 (42P18): Duplicate row detected during DML "
            'action\n  Row Values: ["ada@example.com", 12345]\n  compiled code at target/a.sql',
            "Row Values: …\ncompiled code at target/a.sql",
        ),
        (
            "Database Error in model a\n  100071 (22000): Failed to cast variant value "
            '"12345 \\"ada@example.com\\"" to DATE',
            "variant value '…' to DATE",
        ),
        (
            "Database Error in model a\n  100038 (22018): Numeric value 'it's 12345\n"
            "ada@example.com' is not recognized",
            "Numeric value '…' is not recognized",
        ),
        (
            "Database Error in model a\n  000904 (42000): SQL compilation error: invalid "
            "identifier 'AMOUNTT'",
            "'AMOUNTT'",
        ),
    ],
)
def test_values_of_rows_are_left_out_and_names_of_columns_are_not(message: str, said: str) -> None:
    block = text.block(message)
    assert said in block
    assert "ada@example.com" not in block
    assert "12345" not in block


def test_a_comment_fits_into_a_variable_of_the_environment() -> None:
    many = [
        NodeResult(f"model.firn.{MODELS[0]}", "model", "error", 1, message="𐍈" * 2_000)
        for _ in range(50)
    ]
    said = text.comment(replace(PASSED, nodes=many))
    assert len(said.encode()) <= text.LONGEST_COMMENT
    assert "The rest is too long for a comment" in said


def test_a_comment_that_github_would_refuse_is_cut_between_its_parts() -> None:
    many = [
        NodeResult(f"model.firn.{MODELS[0]}", "model", "error", 1, message="x y " * 2_000)
        for _ in range(400)
    ]
    outcome = replace(PASSED, nodes=many)
    said = text.comment(outcome)
    assert len(said) < text.LONGEST_COMMENT
    assert said.count("```") % 2 == 0
    names = [f"n{number:03}" + "x" * 2_000 for number in range(400)]
    said = text.comment(replace(PASSED, plan=replace(PLAN, silent=Silent(names, names, names))))
    assert len(said) < text.LONGEST_COMMENT
    assert "350 more" in said
