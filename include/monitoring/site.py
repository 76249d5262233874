"""The monitoring site: plain files in one folder, replaced as a whole."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from snowflake.connector.errors import Error as SnowflakeError

from include.airflow.supervisor import how_it_is
from include.core.errors import UserError
from include.monitoring import view
from include.monitoring.charts import BAR, HEIGHT, WIDTH, Line, line
from include.monitoring.history import DAYS, History, Measured, read_history
from include.monitoring.pipelines import Pipeline, find_pipelines
from include.monitoring.view import Artifacts, Overview, overview
from include.project.builds import (
    builds_folder,
    built_at,
    read_freshness,
    read_run_results,
)
from include.project.dbt import Dbt, last_lines
from include.project.manifest import manifest_path, read_manifest
from include.project.monitoring_switch import monitoring_switch
from include.project.paths import dbt_project, target
from include.warehouse.connection import ConnectionSettings, WarehouseUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

WriteElementary = Callable[[Path], "str | None"]
"""Writes Elementary's report into a file and returns None, or says in one sentence why not."""

ELEMENTARY, DBT_DOCS, QUALITY = "elementary.html", "dbt-docs.html", "data-quality.html"
DATA_DOCS = "data-docs"
_MARKER = ".firn-report"
_TEMPLATES = Environment(
    loader=PackageLoader("include.monitoring"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "moment": view.moment,
    "duration": view.duration,
    "plural": view.plural,
    "count": lambda number: f"{number:,}",
    "signed": lambda number: f"{number:+,}",
    "percent": lambda rate: f"{100 * rate:.2f} %",
}
_TEMPLATES.globals |= {
    "chart_width": WIDTH,
    "chart_height": HEIGHT,
    "bar_width": BAR,
    "State": view.State,
}


class ReportError(UserError):
    """The site cannot be written; the message says why and what to do."""


@dataclass(frozen=True)
class Part:
    """A page besides the index.

    Attributes:
        title: what it is.
        href: where it is within the site; None if there is none.
        note: a sentence about it, or why it is not there.
    """

    title: str
    href: str | None
    note: str


@dataclass(frozen=True)
class Report:
    """A site that was written.

    Attributes:
        index: the page to open.
        headline: the state of everything, in a sentence.
        warehouse: why the warehouse could not be asked; None if it was.
        airflow: what is wrong with the Airflow of `make up`, one sentence each.
        parts: the other pages.
    """

    index: Path
    headline: str
    warehouse: str | None
    airflow: Sequence[str]
    parts: Sequence[Part]


@dataclass(frozen=True)
class QualityColumn:
    """A column of the data-quality page.

    Attributes:
        before: what was missing in the delivery before the last; None if there is none.
    """

    name: str
    latest: float
    before: float | None
    most: float
    chart: Line | None


@dataclass(frozen=True)
class QualityTable:
    """A table of the data-quality page, the emptiest columns first."""

    name: str
    deliveries: Sequence[Measured]
    columns: Sequence[QualityColumn]


def elementary_is_off(_: Path) -> str | None:
    """In place of Elementary's report where there is none."""
    return "Elementary is off."


def build_report(
    output: Path,
    settings: ConnectionSettings,
    *,
    write_elementary: WriteElementary = elementary_is_off,
    with_dbt_docs: bool = True,
    pipelines: Sequence[Pipeline] | None = None,
    now: datetime | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Write the site, in place of the one that stands there.

    It is made in a folder beside and moved when it is complete: a reader finds the old site or the
    new one, and if anything fails the old one stays.

    Args:
        output: the folder; it must not hold anything else.
        settings: which warehouse is asked, and where dbt's results are.
        write_elementary: writes Elementary's report, or says why not.
        with_dbt_docs: whether dbt's documentation is made anew, which takes a while; otherwise that
            of the site before is kept.
        pipelines: those of the DAG folder if not given.
        now: the present if not given; with a time zone.
        say: is told what is going on.

    Raises:
        ReportError: the folder cannot be written, or holds something else.
        ConfigurationError: the settings of Elementary cannot be used.
    """
    output = output.expanduser().absolute()
    now = now or datetime.now(UTC)
    pipelines = find_pipelines() if pipelines is None else pipelines
    switch = monitoring_switch()
    variables = {**os.environ, **settings.environment(), **switch.environment()}
    with _replacing(output) as site:
        say("Asking the warehouse")
        incremental = _incremental(variables)
        history, unreachable = _history(settings, incremental)
        artifacts = {one.dag_id: _artifacts(one.dag_id, variables) for one in pipelines}
        seen = overview(pipelines, history, artifacts, incremental, now)
        tables = quality_tables(history)
        parts = [
            _elementary(site, write_elementary, say),
            _dbt_docs(
                site, output, variables, say, wanted=with_dbt_docs, reachable=not unreachable
            ),
            *_data_docs(site, settings.home / "reports"),
            _quality_part(tables, unreachable),
        ]
        airflow = [text for level, text in how_it_is(settings) if level != "good"]
        common = {
            "now": now,
            "target": settings.target,
            "unreachable": unreachable,
            "airflow": airflow,
        }
        (site / "index.html").write_text(render_index(seen, parts, common), encoding="utf-8")
        (site / QUALITY).write_text(
            _TEMPLATES.get_template("data_quality.html").render(tables=tables, **common),
            encoding="utf-8",
        )
        source = Path(__file__).with_name("templates") / "style.css"
        shutil.copyfile(source, site / "style.css")
    return Report(output / "index.html", seen.headline, unreachable, airflow, parts)


def render_index(seen: Overview, parts: Sequence[Part], common: Mapping[str, object]) -> str:
    """The index as HTML; whatever comes from data is escaped."""
    template = _TEMPLATES.get_template("index.html")
    return template.render(overview=seen, parts=parts, days=DAYS, **common)


# -- what is read ----------------------------------------------------------------------------------


def _history(
    settings: ConnectionSettings, incremental: Mapping[str, str]
) -> tuple[History, str | None]:
    try:
        return read_history(settings, incremental.values()), None
    except WarehouseUnreachableError as error:
        return History(), str(error)
    except SnowflakeError as error:
        return History(), " ".join(str(error.raw_msg or error).split())


def _artifacts(dag_id: str, variables: Mapping[str, str]) -> Artifacts:
    folder = builds_folder(dag_id, variables)
    try:
        return Artifacts(read_run_results(folder), built_at(folder), read_freshness(folder))
    except (ValueError, KeyError, OSError):
        # Cut off by a full disk, say: the rest of the page is worth more than this build.
        return Artifacts()


def _incremental(variables: Mapping[str, str]) -> dict[str, str]:
    """The tables of the models that are merged into, by unique id; none before the first parse."""
    try:
        manifest = read_manifest(manifest_path(variables))
    except (FileNotFoundError, ValueError):
        return {}
    return {
        unique_id: str(node["relation_name"]).upper()
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model"
        and node["config"]["materialized"] == "incremental"
        and node["package_name"] == "firn"
    }


def quality_tables(history: History) -> list[QualityTable]:
    """The data-quality page's tables, by name."""
    found = []
    for name, columns in sorted(history.quality.items()):
        shown = []
        for column, measured in columns.items():
            rates = [one.null_rate for one in measured]
            chart = line(
                rates,
                f"Missing in {column} over {view.plural(len(rates), 'load')}: "
                f"from {100 * rates[0]:.2f} % to {100 * rates[-1]:.2f} %, at most "
                f"{100 * max(rates):.2f} %.",
                from_zero=True,
            )
            before = rates[-2] if len(rates) > 1 else None
            shown.append(QualityColumn(column, rates[-1], before, max(rates), chart))
        shown.sort(key=lambda one: (-one.latest, one.name))
        deliveries = max(columns.values(), key=len)
        found.append(QualityTable(name, deliveries, shown))
    return found


# -- the other pages -------------------------------------------------------------------------------


def _quality_part(tables: Sequence[QualityTable], unreachable: str | None) -> Part:
    title = "Data quality of retail"
    if tables:
        return Part(title, QUALITY, "What was missing in each delivery, column by column.")
    if unreachable:
        return Part(title, None, "Not to be told while the warehouse cannot be asked.")
    return Part(title, None, "Nothing is measured yet: run retail__sales__daily.")


def _elementary(site: Path, write: WriteElementary, say: Callable[[str], None]) -> Part:
    say("Writing Elementary's report")
    title = "Elementary"
    try:
        reason = write(site / ELEMENTARY)
    except Exception as error:
        # Whatever it is, the rest of the site is written.
        reason = f"Its report failed: {error}"
    if reason is not None:
        (site / ELEMENTARY).unlink(missing_ok=True)
        return Part(title, None, reason)
    return Part(title, ELEMENTARY, "Tests and models over time, anomalies, lineage.")


def _dbt_docs(
    site: Path,
    output: Path,
    variables: Mapping[str, str],
    say: Callable[[str], None],
    *,
    wanted: bool,
    reachable: bool,
) -> Part:
    title = "dbt docs"
    why = (
        "It was not asked for." if not wanted else "The warehouse cannot be asked for its columns."
    )
    if wanted and reachable:
        say("Writing dbt's documentation")
        if (failure := _generate_docs(site / DBT_DOCS, variables)) is None:
            return Part(title, DBT_DOCS, "Every model, column and test, and the lineage.")
        why = f"dbt could not write it: {failure}"
    before = output / DBT_DOCS
    if before.exists():
        shutil.copy2(before, site / DBT_DOCS)
        at = datetime.fromtimestamp(before.stat().st_mtime, UTC)
        return Part(title, DBT_DOCS, f"As of {view.moment(at)}. {why}")
    return Part(title, None, why)


def _generate_docs(file: Path, variables: Mapping[str, str]) -> str | None:
    """All of dbt's documentation in one page; the end of what dbt said if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        dbt = Dbt(dbt_project(variables), target(variables), Path(folder))
        done = dbt.call("docs", "generate", "--static", variables=variables)
        page = Path(folder, "static_index.html")
        if done.returncode != 0 or not page.exists():
            return last_lines(done.stdout, 1) or f"exit code {done.returncode}"
        shutil.move(page, file)
    return None


def _data_docs(site: Path, reports: Path) -> list[Part]:
    """The pages of Great Expectations about workbooks; the index of these is left out.

    They load scripts and styles from several hosts. A copy without these has the same tables.
    """
    parts = []
    for docs in sorted(reports.glob("*/*_data_docs")):
        pages = sorted(docs.glob("validations/**/*.html"))
        if not pages:
            continue
        name = docs.parent.name
        folder = site / DATA_DOCS / name
        folder.mkdir(parents=True, exist_ok=True)
        text = pages[-1].read_text(encoding="utf-8")
        (folder / "index.html").write_text(without_programs(text), encoding="utf-8")
        at = datetime.fromtimestamp(pages[-1].stat().st_mtime, UTC)
        parts.append(
            Part(
                f"Data Docs of {name}",
                quote(f"{DATA_DOCS}/{name}/index.html"),
                f"What Great Expectations found in this workbook, as of {view.moment(at)}.",
            )
        )
    if parts:
        return parts
    return [Part("Data Docs", None, "No workbook has been checked: make workbook FILE=path.xlsx.")]


_PROGRAMS = re.compile(
    r"<script\b.*?</script\s*>|<noscript\b.*?</noscript\s*>|<link\b[^>]*>"
    r"|<source\b[^>]*>|<img\b[^>]*\bsrc\s*=\s*[\"']?https?:[^>]*>|<meta\b[^>]*http-equiv[^>]*>",
    re.IGNORECASE | re.DOTALL,
)
_OURS = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:;'
    " style-src 'unsafe-inline' file: 'self'\">\n"
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    '<link rel="icon" href="data:,">\n<link rel="stylesheet" href="../../style.css">\n'
)


_TAG = re.compile(r"<[a-z][^>]*>", re.IGNORECASE)
_HANDLER = re.compile(r"""\s(?:on\w+|href(?=\s*=\s*["']?\.\./))\s*=\s*(?:"[^"]*"|'[^']*')""", re.I)


def without_programs(html: str) -> str:
    """A page without its scripts and what it loads from elsewhere, in the style of the site.

    Links to pages that are not copied with it become text.
    """
    html = _PROGRAMS.sub("", html)
    html = re.sub(r"url\(\s*[\"']?https?:[^)]*\)", "none", html, flags=re.IGNORECASE)
    html = _TAG.sub(lambda tag: _HANDLER.sub("", tag[0]), html)
    return re.sub(r"<head\b[^>]*>", lambda head: head[0] + _OURS, html, count=1, flags=re.I)


# -- replacing a folder ----------------------------------------------------------------------------


@contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """A new folder that takes the place of another one, if nothing fails.

    Raises:
        ReportError: the folder cannot be written, or holds something else.
    """
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise ReportError(f"{output} is not a folder: choose another with --output.")
    try:
        if output.exists() and any(output.iterdir()) and not (output / _MARKER).exists():
            raise ReportError(
                f"{output} holds something else than a report: choose another folder with --output."
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise ReportError(
            f"{output} cannot be written ({error.strerror}): choose another folder with --output."
        ) from error
    try:
        site = work / "site"
        site.mkdir()
        (site / _MARKER).write_text(json.dumps({"made_at": datetime.now(UTC).isoformat()}))
        yield site
        try:
            _swap(site, output, work / "old")
        except OSError as error:
            raise ReportError(
                f"{output} cannot be replaced ({error.strerror}): close what uses it, or choose "
                "another folder with --output."
            ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def _swap(new: Path, place: Path, aside: Path) -> None:
    """Put a folder into a place; what stood there goes aside."""
    if not place.exists():
        new.rename(place)
        return
    # Linux can exchange two folders in one step; Python does not offer it.
    exchange: Any = getattr(ctypes.CDLL(None), "renameat2", None)
    if exchange and not exchange(
        _AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(place), _RENAME_EXCHANGE
    ):
        return
    place.rename(aside)
    try:
        new.rename(place)
    except OSError:
        aside.rename(place)
        raise
