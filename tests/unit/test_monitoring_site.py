"""The monitoring site as files: what it says without a warehouse, and how it is replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from threading import Event, Thread

import pytest
from typer.testing import CliRunner

from include.commands.firn import app
from include.monitoring import site
from include.monitoring.history import (
    AddedColumns,
    Compared,
    History,
    Measured,
    PastRun,
    Refused,
    Rejects,
)
from include.monitoring.pipelines import Pipeline
from include.monitoring.run_summary import FAILED, Layer
from include.monitoring.site import (
    Part,
    ReportError,
    build_report,
    elementary_is_off,
    quality_tables,
    render_index,
)
from include.monitoring.view import Artifacts, overview
from include.project.builds import NodeResult, SourceAge
from include.warehouse.connection import ConnectionSettings
from tests.conftest import free_port

NOW = datetime(2025, 1, 2, 8, tzinfo=UTC)
SALES = Pipeline("shop__sales__hourly", "shop", "Sales.", timedelta(hours=1), timedelta(hours=1))
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """What a page is made of: its elements, its text, and what it points to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in {"meta", "link", "br", "wbr", "rect", "polyline", "circle"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"rect", "polyline", "circle"}:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value for one, value in self.attributes if one == name]


@pytest.fixture
def settings(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> ConnectionSettings:
    """Of a warehouse that nobody has started."""
    return ConnectionSettings(firn_home=tmp_path, firn_local_port=free_port(), firn_user="test")


Build = Callable[..., site.Report]


@pytest.fixture
def build(settings: ConnectionSettings, tmp_path: Path) -> Build:
    def build(write: site.WriteElementary = elementary_is_off) -> site.Report:
        return build_report(
            tmp_path / "report", settings, write_elementary=write, pipelines=[SALES], now=NOW
        )

    return build


def leave_build(home: Path, message: str = "Got 2 results") -> None:
    folder = home / "dbt" / "builds" / SALES.dag_id
    folder.mkdir(parents=True)
    timing = [{"started_at": "2025-01-02T07:50:00Z", "completed_at": "2025-01-02T07:51:00Z"}]
    result = {
        "unique_id": "test.firn.unique_orders.1",
        "status": "fail",
        "message": message,
        "failures": 2,
        "timing": timing,
    }
    content = {"metadata": {"generated_at": "2025-01-02T07:52:00Z"}, "results": [result]}
    (folder / "run_results.json").write_text(json.dumps(content))


# -- what it says ----------------------------------------------------------------------------------


def test_without_a_run_it_says_how_to_run_one(build: Build) -> None:
    report = build()
    page = Page(report.index.read_text())
    assert report.headline == "No pipeline has run yet."
    assert "make demo runs all pipelines" in page.text
    assert "make up starts Airflow" in page.text


def test_without_a_warehouse_it_tells_what_dbt_left_and_says_so(
    build: Build, settings: ConnectionSettings
) -> None:
    leave_build(settings.home)
    report = build()
    page = Page(report.index.read_text())
    assert report.warehouse
    assert f"127.0.0.1:{settings.port}" in report.warehouse
    assert f"The warehouse could not be asked. {report.warehouse}" in page.text
    assert "0 of 1 pipelines are well; 1 failed." in page.text
    assert page.text.count("test unique_orders: Got 2 results") == 1
    assert "1 failed, at 2025-01-02 07:52 UTC" in " ".join(page.text.split())


def test_a_build_that_cannot_be_read_does_not_hold_up_the_rest(
    build: Build, settings: ConnectionSettings
) -> None:
    leave_build(settings.home)
    (settings.home / "dbt" / "builds" / SALES.dag_id / "run_results.json").write_text('{"meta')
    assert build().headline == "No pipeline has run yet."


def test_every_other_page_is_linked_or_said_to_be_missing(
    build: Build, settings: ConnectionSettings
) -> None:
    docs = settings.home / "reports" / "spring #1" / "activity_data_docs" / "validations" / "a"
    docs.mkdir(parents=True)
    (docs / "b.html").write_text(
        "<head><title>expectations</title><link href='https://x/a.css'>"
        "<style>.logo {content: url('https://x/b.png')}</style>"
        "<SCRIPT src=https://x/a.js></SCRIPT ><script>\n$()</script></head>"
        "<body><img class=logo src='https://x/a.png'><p onclick=\"$()\">All met.</p>"
        "<a class='home' href='../../index.html'>Home</a></body>"
    )

    def write(file: Path) -> None:
        file.write_text("elementary")

    report = build(write)
    page = Page(report.index.read_text())
    links = [link for link in page.values("href") if not link.startswith(("#", "data:"))]
    assert links == ["style.css", "elementary.html", "data-docs/spring%20%231/index.html"]
    for part in report.parts:
        assert part.title in page.text
        assert part.note in page.text
    folder = report.index.parent
    assert (folder / "elementary.html").read_text() == "elementary"
    copied = Page((folder / "data-docs" / "spring #1" / "index.html").read_text())
    assert "https:" not in (folder / "data-docs" / "spring #1" / "index.html").read_text()
    assert "expectations" in copied.text
    assert "All met." in copied.text
    assert not {"script", "img"} & set(copied.elements)
    assert copied.values("href") == ["data:,", "../../style.css"]
    assert copied.values("onclick") == []
    assert copied.values("class") == ["home"]


@pytest.mark.parametrize("how", ["says", "raises"])
def test_elementary_that_is_off_or_fails_is_a_sentence(build: Build, how: str) -> None:
    def write(file: Path) -> str | None:
        file.write_text("half of it")
        if how == "raises":
            raise RuntimeError("its package is missing")
        return "its package is missing"

    report = build(write)
    assert "its package is missing" in report.index.read_text()
    assert not (report.index.parent / "elementary.html").exists()


# -- whatever comes from data ----------------------------------------------------------------------


def hostile_index() -> str:
    layers = {
        "run": Layer("run", FAILED, NOW, NOW, problems=(HOSTILE,)),
        "source": Layer("source", row_count=3, delivered=3, loaded=2, rejected=1),
    }
    runs = [
        PastRun(SALES.dag_id, HOSTILE, NOW - timedelta(minutes=minutes), layers)
        for minutes in (9, 5)
    ]
    history = History(
        runs={SALES.dag_id: runs},
        rejects={"shop": [Rejects(HOSTILE, HOSTILE, HOSTILE, 1, 1, HOSTILE, NOW)]},
        refused={"shop": [Refused(HOSTILE, HOSTILE, HOSTILE, NOW)]},
        added_columns={"shop": [AddedColumns(HOSTILE, HOSTILE, HOSTILE, NOW)]},
        compared={
            "shop": [
                Compared(HOSTILE, 0, 0, 0, 0, HOSTILE, NOW),
                Compared(HOSTILE, 1234, 1, 0, 1, "", NOW),
            ]
        },
    )
    node = NodeResult(f"test.firn.{HOSTILE}.1", "test", "fail", message=HOSTILE, failures=1)
    artifacts = Artifacts(
        [node], NOW, [SourceAge(f"source.firn.shop.{HOSTILE}", "runtime error", message=HOSTILE)]
    )
    seen = overview([SALES], history, {SALES.dag_id: artifacts}, {}, NOW)
    common = {"now": NOW, "target": "local", "unreachable": HOSTILE, "airflow": [HOSTILE]}
    return render_index(seen, [Part(HOSTILE, "x.html", HOSTILE), Part("b", None, HOSTILE)], common)


def test_what_comes_from_data_is_text_and_nothing_else() -> None:
    page = Page(hostile_index())
    assert page.open == []
    assert not {"script", "img"} & set(page.elements)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    # Files, reasons, sources, columns, tests, problems, run: all of them are there, as they are.
    assert page.text.count(HOSTILE) > 15
    assert "1,234 rows that had come too late, loaded in the last 7 days" in page.text
    assert "1 row of the source not in raw" in page.text
    assert "; 1 day with another count or other times of change" in page.text


def test_the_quality_page_escapes_too() -> None:
    measured = [Measured(NOW, HOSTILE, 5, rate) for rate in (0.0, 0.25)]
    tables = quality_tables(History(quality={HOSTILE: {HOSTILE: measured}}))
    assert (tables[0].columns[0].latest, tables[0].columns[0].before) == (0.25, 0.0)
    template = site._TEMPLATES.get_template("data_quality.html")
    page = Page(template.render(tables=tables, now=NOW, target="local", unreachable=None))
    assert "script" not in page.elements
    assert page.text.count(HOSTILE) >= 3


def test_pages_need_nothing_from_elsewhere_and_no_program(build: Build) -> None:
    folder = build().index.parent
    for html in (hostile_index(), (folder / site.QUALITY).read_text()):
        page = Page(html)
        assert "script" not in page.elements
        for link in page.values("href") + page.values("src"):
            assert link.startswith("#") or link == "data:," or ":" not in link
        assert "width=device-width" in page.values("content")[0]
    css = (folder / "style.css").read_text()
    assert not re.search(r"url\(|@import", css)
    assert "prefers-color-scheme: dark" in css


def test_links_within_the_index_lead_somewhere() -> None:
    page = Page(hostile_index())
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    inner = {link[1:] for link in page.values("href") if link.startswith("#")}
    assert inner <= set(ids)
    assert SALES.dag_id in inner
    assert set(page.values("aria-labelledby")) <= set(ids)


# -- how it is replaced ----------------------------------------------------------------------------


def test_a_site_takes_the_place_of_the_one_before(build: Build, tmp_path: Path) -> None:
    build()
    (tmp_path / "report" / "old.html").write_text("old")
    build()
    assert sorted(file.name for file in (tmp_path / "report").iterdir()) == [
        ".firn-report", "data-quality.html", "index.html", "style.css",
    ]  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] == ["report"]


def test_a_build_that_fails_leaves_the_site_as_it_was(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = build().index
    before = index.read_text()
    monkeypatch.setattr(site, "QUALITY", "no/such/folder.html")
    with pytest.raises(FileNotFoundError):
        build()
    assert index.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["report"]


def test_a_reader_finds_a_whole_site_at_any_moment(build: Build, tmp_path: Path) -> None:
    build()
    looked, missing, done = 0, [], Event()

    def look() -> None:
        nonlocal looked
        while not done.is_set():
            looked += 1
            for name in ("index.html", "style.css", "data-quality.html"):
                try:
                    if not (tmp_path / "report" / name).read_bytes():
                        missing.append(f"{name} is empty")
                except FileNotFoundError:
                    missing.append(name)

    reader = Thread(target=look)
    reader.start()
    for _ in range(10):
        build()
    done.set()
    reader.join()
    assert looked > 10
    assert missing == []


def test_where_folders_cannot_be_exchanged_they_are_renamed(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build()
    (tmp_path / "report" / "old.html").write_text("old")
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    build()
    assert not (tmp_path / "report" / "old.html").exists()
    assert (tmp_path / "report" / "index.html").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["report"]


def test_a_folder_of_something_else_is_left_alone(build: Build, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.txt").write_text("years of work")
    with pytest.raises(ReportError, match="holds something else than a report"):
        build()
    assert (tmp_path / "report" / "thesis.txt").read_text() == "years of work"


# -- the command -----------------------------------------------------------------------------------


def test_the_command_prints_where_the_page_is(
    settings: ConnectionSettings, clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in settings.environment().items():
        clean_environment.setenv(name, value)
    done = CliRunner().invoke(app, ["report", "--no-docs"])
    assert done.exit_code == 0, done.output
    assert "Without Elementary: " in done.output
    assert done.output.splitlines()[-1] == str(tmp_path / "report" / "index.html")


def test_the_command_refuses_a_file_in_one_sentence(
    settings: ConnectionSettings, clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in settings.environment().items():
        clean_environment.setenv(name, value)
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(app, ["report", "--output", str(tmp_path / "file")])
    assert done.exit_code == 2
    assert (
        done.stderr.strip() == f"{tmp_path / 'file'} is not a folder: choose another with --output."
    )
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
