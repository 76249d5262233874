"""``firn new domain``: what it writes, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from include.core.settings import REPOSITORY
from include.ingestion import new_domain
from include.ingestion.errors import DeclarationError
from tests.unit.dbt_project import dbt
from tests.unit.dbt_rules import RULES, Graph

DECLARATION = """\
domain: support
description: Tickets of the help desk.
sources:
  - name: tickets
    description: One ticket a row.
    load: merge
    key: [ticket_id]
    columns:
      - {name: ticket_id, type: integer, nullable: false, description: Number of the ticket.}
      - {name: opened_at, type: timestamp, nullable: false, description: When it was opened.}
      - {name: topic, description: "What it is about: in words."}
  - name: calls
    description: One call a row.
    load: append
    columns:
      - {name: caller, description: Who called.}
"""


@pytest.fixture
def declaration(tmp_path: Path) -> Path:
    file = tmp_path / "declaration.yml"
    file.write_text(DECLARATION)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What the command looks at in the repository."""
    root = tmp_path / "firn"
    for folder in ("include/domains/forex", "include/ingestion", "docs"):
        (root / folder).mkdir(parents=True)
    shutil.copy(REPOSITORY / "docs" / "index.md", root / "docs")
    return root


def content(root: Path) -> dict[str, str]:
    return {str(f.relative_to(root)): f.read_text() if f.is_file() else "" for f in root.rglob("*")}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("select", "reserved"),
        ("platform", "reserved"),
        ("meta", "reserved"),
        ("ingestion", "reserved"),
        ("class", "reserved"),
        ("forex", "exists"),
        ("Support", "cannot name a domain"),
        ("a__b", "cannot name a domain"),
        ("../x", "cannot name a domain"),
        ("tickets", "it declares domain support"),
    ],
)
def test_a_name_is_refused(name: str, said: str, declaration: Path, root: Path) -> None:
    with pytest.raises(DeclarationError, match=said):
        new_domain.files_of(name, declaration, root)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("type: integer", "type: money", "type"),
        ("name: topic", "name: order", "word of SQL"),
        ("Who called.", "''", "needs a description"),
        ("Who called.", "'{% enddocs %}'", "marks of Jinja"),
        (DECLARATION, "just a text", "begin it with domain"),
    ],
)
def test_a_declaration_is_refused(
    old: str, new: str, said: str, declaration: Path, root: Path
) -> None:
    declaration.write_text(DECLARATION.replace(old, new))
    with pytest.raises(DeclarationError, match=said):
        new_domain.files_of("support", declaration, root)


def test_nothing_is_written_over(declaration: Path, root: Path) -> None:
    made = new_domain.files_of("support", declaration, root)
    (root / "docs" / "support.md").write_text("mine")
    before = content(root)
    with pytest.raises(DeclarationError, match=r"docs/support\.md exists"):
        new_domain.write(made, root)
    assert content(root) == before


def test_a_write_that_fails_leaves_nothing(declaration: Path, root: Path) -> None:
    made = new_domain.files_of("support", declaration, root)
    (root / "tests").write_text("a file where a folder has to be")
    before = content(root)
    with pytest.raises((FileExistsError, NotADirectoryError)):
        new_domain.write(made, root)
    assert content(root) == before


def test_what_is_written_keeps_the_rules_of_dbt(
    declaration: Path, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(
        REPOSITORY / "dbt", root / "dbt", ignore=shutil.ignore_patterns("target", "logs")
    )
    # dbt's own asks the warehouse.
    (root / "dbt" / "macros" / "is_incremental.sql").write_text(
        "{% macro is_incremental() %}{{ return(true) }}{% endmacro %}"
    )
    new_domain.write(new_domain.files_of("support", declaration, root), root)
    assert "(support.md)" in (root / "docs" / "index.md").read_text()
    parsed = dbt("compile", root / "dbt", tmp_path / "target", "--no-introspect",
                 "--no-populate-cache", "--vars", "{platform_enabled: true}")  # fmt: skip
    graph = Graph(parsed.manifest)
    assert [one for one in graph.nodes.values() if "support" in one["name"]]
    broken = [(name, one) for name, find in RULES.items() for one in find(graph)]
    assert [one for one in broken if "support" in one[1]] == []
