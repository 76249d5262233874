"""No name, path or link leads a statement or a request out of the data folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import campaign
from tests.integration.warehouse_requests import Client, rows, served

pytestmark = pytest.mark.integration

WORD = f"canary{secrets.token_hex(8)}"
"""The content or the name of files outside the data folder; no client ever sends it."""


COMES_AND_GOES = {"spill", "account.db.wal"}


@dataclass
class Place:
    """A served data folder, with other files around it and links to those inside it."""

    client: Client
    outside: Path

    def plant(self) -> None:
        """Make the links that are missing: a statement may delete a link, but not its target."""
        stages = self.client.home / "warehouse" / "stages" / "RAW"
        stage = stages / "PUBLIC" / "S"
        stage.mkdir(parents=True, exist_ok=True)
        for link, target in (
            (stage / "link", self.outside / "folder"),
            (stage / "link.csv", self.outside / "folder" / "canary.csv"),
            (stage / "loop", stage / "loop"),
            (stages / "LINKED", self.outside / "linked"),
        ):
            if not link.is_symlink():
                link.symlink_to(target)

    @property
    def around(self) -> dict[str, tuple[str, int]]:
        """Everything beside the data folder, and those parts of it that no statement may touch."""
        found = {}
        for root in (self.outside, self.client.home):
            for folder, folders, files in os.walk(root):
                if folder == str(self.client.home):
                    folders.remove("warehouse")
                for file in (Path(folder, name) for name in files):
                    found[str(file)] = (file.read_text(errors="replace"), file.stat().st_mtime_ns)
                found |= {str(Path(folder, name)): ("a folder", 0) for name in folders}
        warehouse = self.client.home / "warehouse"
        found["format"] = ((warehouse / "format").read_text(), 0)
        found["top"] = (str(sorted({one.name for one in warehouse.iterdir()} - COMES_AND_GOES)), 0)
        return found


@contextmanager
def made(top: Path) -> Iterator[Place]:
    outside = top / "outside"
    for folder in (outside / "folder", outside / "linked" / "S", top / "home" / "RAW" / "PUBLIC"):
        folder.mkdir(parents=True)
        (folder / "canary.csv").write_text(f"{WORD}\n")
        (folder / f"{WORD}.csv").touch()
    with served(top / "home") as client:
        client.done("create database RAW")
        client.done("create table RAW.PUBLIC.T (word varchar)")
        client.done("create schema RAW.LINKED")
        client.done("create stage RAW.PUBLIC.S")
        assert client.put("put 'file:///x/a.csv' @RAW.PUBLIC.S/in", b"a\n").status_code == 200
        found = Place(client, outside)
        found.plant()
        yield found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with made(tmp_path_factory.mktemp("top")) as place:
        yield place


@pytest.fixture(scope="module")
def roamed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Another one, for tests that may leave anything in it."""
    with made(tmp_path_factory.mktemp("top")) as place:
        yield place


# -- statements and addresses that lead out --------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        'drop stage if exists RAW.PUBLIC."../../../../outside/folder"',
        'drop stage if exists "..".".."."../outside"',
        'create stage "..".".".".."',
        'create stage RAW."..".PUBLIC',
        'create or replace stage RAW.PUBLIC."../../../../outside/folder"',
        "create stage RAW.LINKED.S",
        "drop stage if exists RAW.LINKED.S",
        'copy files into @RAW.PUBLIC.S/link/ from @RAW.PUBLIC.S/in/',
        "copy into @RAW.PUBLIC.S/link/x from (select 1)",
        "copy into RAW.PUBLIC.T from @RAW.PUBLIC.S/link/",
        "copy into RAW.PUBLIC.T from @RAW.PUBLIC.S/link.csv",
        "get @RAW.PUBLIC.S/link.csv file:///tmp",
        "list @RAW.PUBLIC.S/link/",
        "list @RAW.PUBLIC.S/loop",
        "list @RAW.PUBLIC.S/in/../../S",
        "put 'file:///x/..' @RAW.PUBLIC.S",
        "put 'file:///x/a' '@RAW.PUBLIC.S/../../x'",
        "put 'file:///x/a' '@RAW.LINKED.%T'",
        "copy into RAW.PUBLIC.T from 'file:///etc/passwd'",
        "copy into RAW.PUBLIC.T from (select $1 from 'file:///etc/passwd')",
        "create database \"../../outside\" clone RAW",
        'create database "../../outside/new"',
        f'create stage RAW.PUBLIC."{"x" * 300}"',
        "create stage RAW.PUBLIC.\"a'b\"",
        'create stage RAW.PUBLIC."\uff0e\uff0e"',
        'create stage RAW.PUBLIC."a.b"',
        'create stage RAW.PUBLIC."s"',
        f"list @RAW.PUBLIC.S/{'x' * 300}",
        "put 'file:///x/.name' @RAW.PUBLIC.S",
        "put 'file:///x/a' @RAW.PUBLIC.S/.unload-1/in",
        "copy files into @RAW.PUBLIC.S/.unload-1/ from @RAW.PUBLIC.S/in/",
        "copy into @RAW.PUBLIC.S/in/.x from (select 1)",
        "copy into @RAW.PUBLIC.S/in/.x from (select 1) single = true",
    ],
)  # fmt: skip
def test_what_leads_out_is_refused_in_a_sentence(place: Place, statement: str) -> None:
    before = place.around
    reason = place.client.refused(statement)
    assert place.around == before
    lines = reason.removeprefix("SQL compilation error:\n")
    assert lines.endswith(".")
    assert "\n" not in lines
    assert WORD not in reason


def test_a_link_in_a_stage_is_no_file_of_it(place: Place) -> None:
    listed = rows(place.client.done("list @RAW.PUBLIC.S"))
    assert b"s/in/a.csv" in listed
    assert b"link" not in listed
    fetched = place.client.done("get @RAW.PUBLIC.S file:///tmp")
    assert fetched["src_locations"] == ["in/a.csv"]
    address = place.client.address(fetched["presignedUrls"][0])
    assert place.client.http.get(address).content == b"a\n"


def test_an_address_holds_for_its_file_alone_and_not_once_it_leads_out(place: Place) -> None:
    client = place.client
    info = client.done("put 'file:///x/b.csv' @RAW.PUBLIC.S/later")["stageInfo"]
    address = client.address(info["presignedUrl"])
    for wrong in (
        address.replace("b.csv", "c.csv"),
        address.replace("later/", "later/../../"),
        address[:-1] + "é",
        address.partition("?")[0],
    ):
        assert client.http.put(wrong, content=b"x").status_code == 403
    folder = client.home / "warehouse" / "stages" / "RAW" / "PUBLIC" / "S" / "later"
    folder.symlink_to(place.outside)
    before = place.around
    assert client.http.put(address, content=b"x").status_code == 403
    assert client.http.get(address).status_code == 403
    assert place.around == before
    folder.unlink()


def test_stages_go_with_their_schema_and_their_database(place: Place) -> None:
    client = place.client
    for container, stage in (("schema", "RAW.GONE.S"), ("database", "OTHER.PUBLIC.S")):
        name = stage.rpartition(".")[0] if container == "schema" else "OTHER"
        client.done(f"create {container} {name}")
        client.done(f"create stage {stage}")
        client.put(f"put 'file:///x/a.csv' @{stage}", b"a")
        client.done(f"drop {container} {name}")
        client.done(f"create {container} {name}")
        assert "does not exist" in client.refused(f"list @{stage}")
        client.done(f"create stage {stage}")
        assert b"a.csv" not in rows(client.done(f"list @{stage}"))
        client.done(f"drop {container} {name}")


def test_a_failed_unload_leaves_the_files_that_it_would_have_replaced(place: Place) -> None:
    client = place.client
    prefix = f"@RAW.PUBLIC.S/kept/{'x' * 250}"
    assert client.put(f"put 'file:///x/{'x' * 250}.a' @RAW.PUBLIC.S/kept", b"a").status_code == 200
    assert "too long" in client.refused(
        f"copy into {prefix} from (select 1) file_format = (type = parquet) overwrite = true"
    )
    assert b"xxx.a" in rows(client.done("list @RAW.PUBLIC.S/kept"))
    client.done("remove @RAW.PUBLIC.S/kept")


# -- random statements and addresses ---------------------------------------------------------------

HOSTILE = st.sampled_from(
    [
        "..", ".", "", "/", "//", "a/b", "../..", "../../../../outside",
        "../../../../outside/folder", "\0", "a\0b", "\uff0e\uff0e", "\u2025", "x" * 300, "é" * 200,
        "s", "S", "%", "%T", "%../..", "~", "a.b", "'", "''", '"', "a'b", "*", "**", "[x]", "?",
        "..\\..", "%2e%2e", "..%2f..", "link", "link.csv", "loop", "LINKED", " ", "\n", "in", "$1",
        "@", "RAW", "PUBLIC", "databases", "canary.csv",
    ]
)  # fmt: skip
PART = HOSTILE | st.text(max_size=8)
PATH = st.lists(PART, max_size=4).map("/".join)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def mostly(name: str) -> st.SearchStrategy[str]:
    return st.just(name) | st.just(name) | PART


STAGE = st.tuples(mostly("RAW"), mostly("PUBLIC"), mostly("S")).map(
    lambda parts: ".".join(map(quoted, parts))
)
PLACE = st.builds(
    lambda stage, path, whole: f"'@{stage}/{path}'" if whole else f"@{stage}/{path}",
    STAGE, PATH, st.booleans(),
)  # fmt: skip


def literal(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return text.map(lambda found: found.replace("'", "''"))


STATEMENTS = st.one_of(
    st.builds("create {} stage {}".format, st.sampled_from(["", "or replace", "temporary"]), STAGE),
    st.builds("create stage {} url = 'file:///{}'".format, STAGE, literal(PATH)),
    st.builds("drop stage if exists {}".format, STAGE.filter(lambda name: '"S"' not in name)),
    st.builds("list {}".format, PLACE),
    st.builds("list {} pattern = '{}'".format, PLACE, literal(PATH)),
    st.builds("put 'file:///{}' {}".format, literal(PATH), PLACE),
    st.builds("get {} 'file:///tmp'".format, PLACE),
    st.builds("remove {}".format, PLACE),
    st.builds("remove {} pattern = '{}'".format, PLACE, literal(PATH)),
    st.builds("copy files into {} from {}".format, PLACE, PLACE),
    st.builds("copy files into {} from {} files = ('{}')".format, PLACE, PLACE, literal(PATH)),
    st.builds("copy into RAW.PUBLIC.T from {} purge = true".format, PLACE),
    st.builds("copy into RAW.PUBLIC.T from {} files = ('{}')".format, PLACE, literal(PATH)),
    st.builds("copy into RAW.PUBLIC.T from (select $1 from {})".format, PLACE),
    st.builds("copy into RAW.PUBLIC.T from 'file:///{}'".format, literal(PATH)),
    st.builds("copy into {} from (select 1 as a) overwrite = true".format, PLACE),
    st.builds("copy into {} from (select 1 as a) single = true".format, PLACE),
    st.builds("create schema {}.{}".format, mostly("RAW").map(quoted), PART.map(quoted)),
    st.builds(
        "drop schema if exists {}.{}".format,
        PART.map(quoted),
        PART.filter(lambda name: name.upper() != "PUBLIC").map(quoted),
    ),
    st.builds("create database {}".format, PART.map(quoted)),
    st.builds("create database {} clone {}".format, PART.map(quoted), mostly("RAW").map(quoted)),
    st.builds("alter database {} swap with {}".format, PART.map(quoted), PART.map(quoted)),
    st.builds(
        "drop database if exists {}".format,
        PART.filter(lambda name: name.upper() != "RAW").map(quoted),
    ),
)


@pytest.mark.campaign
@example(statement='drop stage if exists RAW.PUBLIC."../../../../outside/folder"')
@example(statement='drop schema if exists RAW."../../outside"')
@given(statement=STATEMENTS)
@campaign.examples(200, 20_000)
def test_no_statement_reads_makes_changes_or_deletes_anything_outside(
    roamed: Place, statement: str
) -> None:
    place = roamed
    place.plant()
    client, before = place.client, place.around
    answer = client.sql(statement)
    assert answer["success"] or answer["code"] != "000603", answer["message"]
    if answer["success"]:
        data = answer["data"]
        assert WORD.encode() not in rows(data).replace(statement.encode(), b"")
        if data.get("stageInfo"):
            of_put = data["stageInfo"].get("presignedUrl")
            for url in [of_put] if of_put else data["presignedUrls"]:
                address = client.address(url)
                assert WORD.encode() not in client.http.get(address).content
                if of_put:
                    client.http.put(address, content=b"made by a client\n")
    assert place.around == before
    assert client.done(f"select 1 from RAW.PUBLIC.T where word like '{WORD}%'")["total"] == 0


@pytest.mark.campaign
@given(path=PATH, signed=st.booleans())
@campaign.examples(100, 10_000)
def test_no_address_reads_or_writes_anything_outside(
    roamed: Place, path: str, signed: bool
) -> None:
    place = roamed
    client, before = place.client, place.around
    # Also a path with a valid signature, as if the server had signed it by mistake.
    signature = client.server.signature(path) if signed and path.isprintable() else "0" * 64
    query = {"signature": signature}
    for response in (
        client.http.get(f"/fs_bucket/{_escaped(path)}", params=query),
        client.http.put(f"/fs_bucket/{_escaped(path)}", params=query, content=b"x"),
    ):
        assert response.status_code < 500
        assert WORD.encode() not in response.content
    assert place.around == before


def _escaped(path: str) -> str:
    return "".join(f"%{byte:02X}" for byte in path.encode("utf-8", "replace"))
