"""What the documents say of the project: files, commands, settings and messages that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from include.core.settings import REGISTRY
from include.delivery.account.declaration import declare
from include.warehouse.connection import REPOSITORY
from tests.firn_command import ROOT, command_of

DOCUMENTS = sorted(REPOSITORY.glob("*.md")) + sorted((REPOSITORY / "docs").rglob("*.md"))
DECISIONS = sorted((REPOSITORY / "docs" / "decisions").glob("*.md"))
PICTURES = sorted((REPOSITORY / "docs").rglob("*.svg"))

# Written like a setting, and the name of a database.
_ACCOUNT = declare()
# What an account has, by the same beginnings.
NO_SETTINGS = {
    "SNOWFLAKE_SAMPLE_DATA",
    # Set by a deployment for the dbt that it starts.
    "FIRN_BUILD_STAGING",
    _ACCOUNT.policy,
    *_ACCOUNT.roles,
    *(user.name for user in _ACCOUNT.users),
}
# Said by DuckDB, not by us.
FOREIGN_MESSAGES = {"Overflow in multiplication of DECIMAL(18)"}


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


documents = pytest.mark.parametrize("document", DOCUMENTS, ids=name)


def test_the_documents_are_found() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/operations.md"} <= set(map(name, DOCUMENTS))
    assert DECISIONS
    assert PICTURES


def prose(document: Path) -> str:
    """The text without blocks of code."""
    return re.sub(r"(?ms)^```.*?^```$", "", document.read_text(encoding="utf-8"))


def code(document: Path) -> list[str]:
    """Blocks of code, and code within a line."""
    blocks = re.findall(r"(?ms)^```[^\n]*\n(.*?)^```$", document.read_text(encoding="utf-8"))
    return blocks + spans(prose(document))


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


# -- links -----------------------------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """What a link can point to in a document: its headings, as Git hosts name them."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose(document))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@documents
def test_links_and_pictures_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{name(document)} links to {target}"
        assert file.is_relative_to(REPOSITORY), target
        assert not anchor or anchor in anchors(file), f"{name(document)} links to {target}"


def test_every_document_is_linked_from_the_index() -> None:
    index = REPOSITORY / "docs" / "index.md"
    assert "(docs/index.md)" in prose(REPOSITORY / "README.md")
    linked = {
        (index.parent / path).resolve()
        for path in re.findall(r"\]\(([^)\s#]+)", prose(index))
        if "://" not in path
    }
    assert {*DOCUMENTS} - {*DECISIONS, index, REPOSITORY / "README.md"} <= linked


@documents
def test_files_that_are_named_exist(document: Path) -> None:
    for span in code(document):
        for path in re.findall(r"(?<![\w./<-])((?:include|dbt|dags|tests|docs)/[\w./-]*)", span):
            if span.strip() == path:
                assert (REPOSITORY / path).exists(), f"{name(document)} names {path}"


# -- commands --------------------------------------------------------------------------------------


@documents
def test_make_knows_every_target_that_is_named(document: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"(?m)^([a-z-]+):.*##", makefile))
    for span in code(document):
        for target in re.findall(r"(?<![\w./-])make ([a-z][a-z-]*)", span):
            assert target in known, f"{name(document)} has make {target}"


@documents
def test_commands_exist(document: Path) -> None:
    for span in code(document):
        for line in re.findall(r"(?m)(?:^|[`]|venv/bin/)firn ([a-z][^`#|\n]*)", span):
            command, _ = command_of(line.split())
            assert command is not ROOT, f"{name(document)}: firn {line}"


def test_commands_are_named_at_all() -> None:
    named = [
        command
        for document in DOCUMENTS
        for command in re.findall("firn [a-z]", "\n".join(code(document)))
    ]
    assert len(named) > 5


# -- settings --------------------------------------------------------------------------------------


@documents
def test_settings_that_are_named_are_settings(document: Path) -> None:
    known = REGISTRY.keys() | NO_SETTINGS
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"\b((?:FIRN|SNOWFLAKE)_[A-Z_]*[A-Z])\b", text))
    assert named <= known


# -- messages --------------------------------------------------------------------------------------


@cache
def said() -> str:
    """Every text that the project's programs can print, with a gap for each value in it."""
    texts = []
    for file in (REPOSITORY / "include").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                )
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    texts.append(re.sub(r'"\s*\\\n\s*"', " ", makefile))
    for file in (REPOSITORY / "dbt" / "macros").glob("*.sql"):
        texts.append(re.sub(r"'\s*~\s*'", "", file.read_text(encoding="utf-8")))
    return "\n".join(texts)


def messages(document: Path) -> list[str]:
    """The messages in the first column of the tables that explain messages."""
    found: list[str] = []
    explaining = False
    for line in prose(document).splitlines():
        if not line.startswith("|"):
            explaining = False
        elif line.startswith(("| message |", "| what you see |")):
            explaining = True
        elif explaining:
            found += spans(line.split(" | ")[0])
    # One word is the name of a task or a file.
    return [one for one in found if " " in one and one not in FOREIGN_MESSAGES]


@documents
def test_messages_that_are_explained_are_messages_of_ours(document: Path) -> None:
    for message in messages(document):
        for part in re.split(r"…|\b(?:8080|8480|127\.0\.0\.1)\b", message):
            assert part.strip() in said(), f"{name(document)} explains {message!r}"


def test_messages_are_explained_at_all() -> None:
    for document in ("docs/operations.md", "docs/deployment.md", "docs/images.md"):
        assert len(messages(REPOSITORY / document)) >= 3, document


# -- pictures and decisions ------------------------------------------------------------------------


@pytest.mark.parametrize("picture", PICTURES, ids=name)
def test_a_picture_is_whole_and_needs_nothing_from_elsewhere(picture: Path) -> None:
    root = ElementTree.parse(picture).getroot()  # noqa: S314
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("viewBox")
    assert root.find("{*}title") is not None
    for element in root.iter():
        assert not element.tag.endswith(("}script", "}image", "}foreignObject"))
        assert not any(key.endswith("href") for key in element.attrib)


@pytest.mark.parametrize("document", DECISIONS, ids=name)
def test_a_decision_says_when_why_what_and_what_follows(document: Path) -> None:
    number = 1 + DECISIONS.index(document)
    text = document.read_text(encoding="utf-8")
    assert document.name.startswith(f"{number:04}-")
    assert text.startswith(f"# {number}. ")
    assert re.search(r"(?m)^Status: \w+\. Date: \d{4}-\d\d-\d\d\.$", text)
    headings = re.findall(r"(?m)^## (.+)$", text)
    assert headings == ["Context", "Decision", "Consequences"]
