"""Sources declared in YAML: what is accepted, what is refused, and how that is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from include.ingestion.errors import DeclarationError
from include.ingestion.sources import (
    SCHEMA,
    DatabaseFormat,
    domains,
    json_schema,
    load_domain,
)
from include.project.domains import FOLDER

GOOD = """
domain: sales
sources:
  - name: orders
    load: merge
    key: [id]
    columns:
      - {name: id, type: integer, nullable: false}
      - {name: price, type: "number(12, 2)", checks: {min: 0}}
      - {name: ordered_on, type: date, checks: {min: 2020-01-01}}
      - {name: state, checks: {allowed: [open, done]}, aliases: [status]}
"""


def declare(folder: Path, text: str) -> Path:
    (folder / "sales").mkdir(parents=True, exist_ok=True)
    (folder / "sales" / "sources.yml").write_text(text)
    return folder


def test_the_published_schema_is_that_of_the_models() -> None:
    assert SCHEMA.read_text() == json_schema(), (
        "run: firn schema > include/ingestion/sources.schema.json"
    )


@pytest.mark.parametrize("domain", domains())
def test_every_declared_domain_is_valid_and_names_its_schema(domain: str) -> None:
    assert load_domain(domain).domain == domain
    first = (FOLDER / domain / "sources.yml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../../ingestion/sources.schema.json"


def test_the_schema_knows_every_setting_of_a_source() -> None:
    schema = json.loads(SCHEMA.read_text())
    settings = schema["$defs"]["Source"]["properties"]
    assert {"columns", "load", "key", "redelivery", "archive", "if_missing"} <= set(settings)
    assert "domain" not in settings
    assert schema["$defs"]["Source"]["additionalProperties"] is False


def test_defaults_follow_from_format_and_load(tmp_path: Path) -> None:
    source = load_domain("sales", declare(tmp_path, GOOD)).source("orders")
    assert source.title == "sales.orders"
    assert source.patterns == ["sales/orders/*.csv", "sales/orders/*.csv.gz"]
    assert source.redelivery_rule == "merge"
    assert source.headers["status"] == "state"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("load: merge", "load: upsert"), "sources > 1 (orders) > load: Input should be"),
        (("load: merge", "loads: merge"), "loads: is not a known setting"),
        (("    key: [id]\n", ""), "load: merge needs the columns that identify a row"),
        (("key: [id]", "key: [nr]"), "key nr is not among the columns"),
        (("nullable: false", "nullable: true"), "key column id must have nullable: false"),
        (("type: integer", "type: int"), "columns > 1 (id) > type: String should match"),
        (("number(12, 2)", "number(50, 2)"), "number(50, 2) does not exist"),
        (("min: 0", "pattern: x"), "pattern, min_length and max_length are for text"),
        (("min: 2020-01-01", "min: 3"), "min and max of ordered_on must be"),
        (("allowed: [open, done]", "pattern: '('"), "is not a regular expression"),
        (("aliases: [status]", "aliases: [price]"), "price stands twice"),
        (("name: price", "name: id"), "id stands twice"),
        (("name: price", "name: Price"), "columns > 2 (Price) > name: String should match"),
        (("key: [id]", "key: [id]\n    redelivery: replace_file"), "does not go with load: merge"),
        (("key: [id]", "key: [id]\n    load: append"), "line 7: this is not YAML: 'load' stands"),
        (("key: [id]", "key: [id]\n    files: [../x/*.csv]"), "must be a folder below the landing"),
        (("key: [id]", "key: [id]\n    files: [/etc/*.csv]"), "must be a folder below the landing"),
        (("key: [id]", "key: [id]\n    files: ['a/**/*.csv']"), "must be a folder below"),
        (("key: [id]", "key: [id]\n    format: {type: xml}"), "format: Input tag 'xml'"),
        (("key: [id]", "key: [id]\n    format: {delimiter: ab}"), "format"),
        (
            ("key: [id]", "key: [id]\n    format: {type: csv, delimiter: '\"'}"),
            "format: delimiter and quote must be two characters",
        ),
        (
            ("key: [id]", "key: [id]\n    format: {type: csv, encoding: klingon}"),
            "'klingon' is not an encoding",
        ),
        (("domain: sales", "domain: purchases"), "name the folder purchases."),
        (("sources:", "sources: ["), "this is not YAML"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    assert change[0] in GOOD
    with pytest.raises(DeclarationError) as refused:
        load_domain("sales", declare(tmp_path, GOOD.replace(*change, 1)))
    assert said in str(refused.value)
    assert "sales/sources.yml" in str(refused.value)


def test_every_problem_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    broken = GOOD.replace("type: integer", "type: int").replace("load: merge", "load: upsert")
    with pytest.raises(DeclarationError) as refused:
        load_domain("sales", declare(tmp_path, broken))
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "- a\n", "just words"])
def test_a_file_that_declares_nothing_says_how_to_begin(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeclarationError, match="begin it with domain: sales"):
        load_domain("sales", declare(tmp_path, text))


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    declare(tmp_path, GOOD)
    with pytest.raises(DeclarationError, match="use one of sales"):
        load_domain("../etc/passwd", tmp_path)
    with pytest.raises(DeclarationError, match="use one of orders"):
        load_domain("sales", tmp_path).source("x'; drop table y; --")


def test_the_schema_and_the_models_agree_on_a_good_file(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    content = yaml.safe_load(GOOD.replace("2020-01-01", "'2020-01-01'"))
    jsonschema.validate(content, json.loads(json_schema()))
    content["sources"][0]["loads"] = "merge"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json.loads(json_schema()))


DATABASE = """
domain: sales
sources:
  - name: orders
    load: add
    format: {type: database, table: app.orders, watermark: changed, event_time: happened}
    columns:
      - {name: happened}
      - {name: changed, type: timestamp}
"""


def test_a_database_is_a_source_too(tmp_path: Path) -> None:
    source = load_domain("sales", declare(tmp_path, DATABASE)).source("orders")
    assert isinstance(source.format, DatabaseFormat)
    assert source.format.schema_and_table == ("app", "orders")
    assert source.format.overlap_minutes == 60


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("load: add", "load: append", "load: add and format: {type: database} go together"),
        ("watermark: changed", "watermark: happened", "must be a column of type timestamp"),
        ("event_time: happened", "event_time: day", "event_time day must be a column"),
        ("app.orders", "app.orders; drop table x", "table"),
        ("load: add", "load: add\n    duplicates: drop", "rules of its own"),
        ("load: add", "load: add\n    allow_new_columns: true", "for files, not for a database"),
    ],
)
def test_what_is_wrong_with_a_source_in_a_database_is_said(
    tmp_path: Path, good: str, bad: str, said: str
) -> None:
    with pytest.raises(DeclarationError, match="orders") as refused:
        load_domain("sales", declare(tmp_path, DATABASE.replace(good, bad, 1)))
    assert said in str(refused.value)
