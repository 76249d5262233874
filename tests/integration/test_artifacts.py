"""dbt's artifacts by commit: stored, replaced, fetched, listed, never half."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest

from include.delivery.deployment import artifacts
from include.delivery.deployment.artifacts import ArtifactsError, fetch, known, remove, store
from include.delivery.deployment.databases import Build
from include.retention import artifacts as maintenance
from include.retention.artifacts import remove_artifacts
from include.warehouse.connection import connect

pytestmark = pytest.mark.integration

ONE, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40


@pytest.fixture
def settings(warehouse):
    """The settings of a warehouse without the stage."""
    with warehouse.connect() as connection:
        connection.cursor().execute("create schema if not exists RAW.META")
        connection.cursor().execute(f"drop stage if exists {artifacts.STAGE}")
    return warehouse.settings()


@pytest.fixture
def target(tmp_path):
    """Makes a folder such as dbt leaves, with files of this content."""

    def make(**content):
        folder = tmp_path / "it's a target"
        folder.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.unlink()
        for name, text in content.items():
            (folder / f"{name}.json").write_text(text)
        (folder / "partial_parse.msgpack").write_text("not kept")
        return folder

    return make


def content(folder):
    return {file.name: file.read_text() for file in folder.iterdir()}


def listed(settings, path=""):
    with connect(settings, database="RAW") as connection, connection.cursor() as cursor:
        cursor.execute(f"list @{artifacts.STAGE}/{path}")
        return cursor.fetchall()


def test_stored_and_fetched(settings, target, tmp_path):
    stored = store(settings, ONE, target(manifest="m", run_results="r", catalog="c"))
    assert stored == ["run_results.json", "catalog.json", "manifest.json"]
    assert fetch(settings, ONE.upper(), tmp_path / "a" / "b")
    assert content(tmp_path / "a" / "b") == {
        "manifest.json": "m", "run_results.json": "r", "catalog.json": "c",
    }  # fmt: skip


def test_storing_again_replaces_all_of_it(settings, target, tmp_path):
    store(settings, ONE, target(manifest="old", run_results="r", catalog="c"))
    fetch(settings, ONE, tmp_path / "got")
    store(settings, ONE, target(manifest="new"))
    assert fetch(settings, ONE, tmp_path / "got")
    assert content(tmp_path / "got") == {"manifest.json": "new"}
    assert [one.sha for one in known(settings)] == [ONE]


def test_nothing_stored(settings, target, tmp_path):
    assert not fetch(settings, ONE, tmp_path / "got")
    assert known(settings) == []
    remove(settings, ONE)
    store(settings, ONE, target(manifest="m"))
    assert not fetch(settings, OTHER, tmp_path / "got")
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("kept_of_it_before", [False, True])
def test_half_a_store_is_none(settings, target, tmp_path, monkeypatch, kept_of_it_before):
    if kept_of_it_before:
        store(settings, ONE, target(manifest="old", run_results="old"))
    store(settings, OTHER, target(manifest="m"))
    folder = target(manifest="new", run_results="new")
    real = type(folder).open

    def killed(self, *arguments, **named):
        if self == folder / "manifest.json":
            raise OSError("killed here")
        return real(self, *arguments, **named)

    monkeypatch.setattr(type(folder), "open", killed)
    with pytest.raises(OSError, match="killed here"):
        store(settings, ONE, folder)
    monkeypatch.undo()
    assert len(listed(settings, ONE)) == 1
    assert not fetch(settings, ONE, tmp_path / "got")
    assert [one.sha for one in known(settings)] == [OTHER]


def test_known_newest_first(settings, target, monkeypatch):
    store(settings, OTHER, target(manifest="m"))
    ((_, _, _, modified),) = listed(settings)
    assert known(settings)[0].stored_at == parsedate_to_datetime(modified)
    store(settings, ONE, target(manifest="m"))
    # A stage tells seconds: within one the order is that of the names.
    times = [one.stored_at for one in known(settings)]
    assert times == sorted(times, reverse=True)
    remove(settings, OTHER)
    assert [one.sha for one in known(settings)] == [ONE]


@pytest.mark.parametrize("sha", ["", "abc", "g" * 40, ONE[:-1], ONE + "0", "../" + ONE[3:]])
def test_only_commits(settings, target, tmp_path, sha):
    for use in (
        lambda: store(settings, sha, target(manifest="m")),
        lambda: fetch(settings, sha, tmp_path),
        lambda: remove(settings, sha),
    ):
        with pytest.raises(ArtifactsError, match="40 hexadecimal digits"):
            use()


def test_a_folder_without_a_manifest(settings, target):
    with pytest.raises(ArtifactsError, match="holds no manifest"):
        store(settings, ONE, target(run_results="r"))


def test_old_ones_go_but_not_the_newest(settings, target, monkeypatch):
    for sha in (ONE, OTHER):
        store(settings, sha, target(manifest="m"))
    newest, oldest = (one.sha for one in known(settings))
    assert remove_artifacts(settings, 0, dry_run=False).count == 0, "there are few"
    monkeypatch.setattr(maintenance, "NEWEST", 1)
    assert remove_artifacts(settings, 7, dry_run=False).count == 0, "they are not old"
    assert remove_artifacts(settings, 0, dry_run=True).count == 1
    assert len(known(settings)) == 2
    built = Build("20260101", oldest, is_complete=True)
    monkeypatch.setattr(maintenance, "build_of", lambda *_: built)
    assert remove_artifacts(settings, 0, dry_run=False).count == 0, "production is built from it"
    monkeypatch.undo()
    monkeypatch.setattr(maintenance, "NEWEST", 1)
    time.sleep(1)
    assert remove_artifacts(settings, 0, dry_run=False).count == 1
    assert [one.sha for one in known(settings)] == [newest]
