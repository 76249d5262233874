"""The files of a new domain, made from the declaration of what is delivered.

Everything is made in memory and checked before the first file is written.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Any

import yaml

from include.core.settings import REPOSITORY
from include.ingestion.errors import DeclarationError, shown
from include.ingestion.sources import Domain, Source, read_domain

INDEX = "docs/index.md"
BEFORE = "- [Adding a domain](adding-a-domain.md)\n"
SCHEMA_LINE = "# yaml-language-server: $schema=../../ingestion/sources.schema.json\n"
DELIVERY = ("_source_file", "_row_number", "_loaded_at", "_load_id", "_row_hash")
STAGED = ("_load_id", "_row_number", "_loaded_at")

# As Snowflake's documentation lists them: words that are no name without quotes.
SQL_WORDS = frozenset(
    """
    account all alter and any as between by case cast check column connect connection
    constraint create cross current current_date current_time current_timestamp current_user
    database delete distinct drop else exists false following for from full grant group
    gscluster having ilike in increment inner insert intersect into is issue join lateral
    left like localtime localtimestamp minus natural not null of on or order organization
    qualify regexp revoke right rlike row rows sample schema select set some start table
    tablesample then to trigger true try_cast union unique update using values view when
    whenever where with
    """.split()  # noqa: SIM905 - one word a line would be ninety lines
)
OTHERS = frozenset({"information_schema", "intermediate", "mart", "meta", "platform", "public"})


def files_of(name: str, declaration: Path, root: Path = REPOSITORY) -> dict[str, str]:
    """What each file of a new domain holds, by its path in the repository.

    Raises:
        DeclarationError: the name cannot be used, or the declaration is wrong.
    """
    _check_name(name, root)
    domain = read_domain(name, declaration)
    _check_texts(domain)
    text = declaration.read_text("utf-8")
    text = re.sub(r"\A# yaml-language-server:.*\n", "", text)
    models = f"dbt/models/staging/{name}"
    first = domain.sources[0]
    mart = f"mart_{name}__{first.name}_per_day"
    made = {
        f"include/domains/{name}/sources.yml": SCHEMA_LINE + text,
        f"{models}/_{name}__docs.md": _doc_blocks(domain),
        f"{models}/_{name}__sources.yml": _yaml(_sources(domain)),
    }
    for source in domain.sources:
        staged = f"{models}/stg_{name}__{source.name}"
        made[f"{staged}.sql"] = _staging_sql(source)
        made[f"{staged}.yml"] = _yaml(_staging(source))
    made[f"dbt/models/mart/{name}/{mart}.sql"] = _mart_sql(first)
    made[f"dbt/models/mart/{name}/{mart}.yml"] = _yaml(_mart(first, mart))
    made[f"dags/{name}__{first.name}__daily.py"] = _dag(first)
    made[f"docs/{name}.md"] = _page(domain, mart)
    made[f"tests/integration/test_dbt_{name}.py"] = _test(name)
    return made


def write(made: dict[str, str], root: Path = REPOSITORY) -> list[str]:
    """Write all files and link the page from the index, or leave everything as it was.

    Raises:
        DeclarationError: one of the files exists.
    """
    if there := [file for file in made if (root / file).exists()]:
        raise DeclarationError(f"{there[0]} exists: move it away or choose another name.")
    index = root / INDEX
    before = index.read_text("utf-8")
    page = next(Path(file).name for file in made if file.startswith("docs/"))
    line = f"- [The `{Path(page).stem}` domain]({page})\n"
    if BEFORE not in before:
        raise DeclarationError(f"{INDEX} has no line {BEFORE.strip()!r}: put it back.")
    files: list[Path] = []
    folders: list[Path] = []
    try:
        for file, text in made.items():
            path = root / file
            folders += [one for one in reversed(path.parents) if not one.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            files.append(path)
            path.write_text(text, "utf-8")
        index.write_text(before.replace(BEFORE, BEFORE + line), "utf-8")
    except BaseException:
        for path in files:
            path.unlink(missing_ok=True)
        for folder in reversed(folders):
            if folder.exists():
                folder.rmdir()
        index.write_text(before, "utf-8")
        raise
    return [*made, INDEX]


def _check_name(name: str, root: Path) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > 40:
        raise DeclarationError(
            f"{shown(name)!r} cannot name a domain: use at most 40 lower-case letters, digits and "
            "single underscores, a letter first."
        )
    packages = {path.name for path in (root / "include").iterdir() if path.is_dir()}
    if name in SQL_WORDS | OTHERS | packages or keyword.iskeyword(name):
        raise DeclarationError(f"{name} is reserved: choose another name for the domain.")
    for folder in ("include/domains", "dbt/models/staging", "dbt/models/mart"):
        if (root / folder / name).exists():
            raise DeclarationError(f"Domain {name} exists in {folder}: choose another name.")


def _check_texts(domain: Domain) -> None:
    texts = {f"domain {domain.domain}": domain.description}
    for source in domain.sources:
        texts[f"source {source.name}"] = source.description
        for column in source.columns:
            texts[f"column {source.name}.{column.name}"] = column.description
        for word in [source.name, *(column.name for column in source.columns)]:
            if word in SQL_WORDS:
                raise DeclarationError(
                    f"{source.title}: {word} is a word of SQL: give it another name."
                )
    for what, text in texts.items():
        if not text.strip() or re.search(r"{[{%#]", text):
            raise DeclarationError(
                f"The {what} needs a description without the marks of Jinja: the models take it."
            )


class _Dumper(yaml.SafeDumper):
    """Lists stand one step inside what they belong to."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def _yaml(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96)


def _doc(source: Source, column: str = "") -> str:
    name = f"raw{column}" if column.startswith("_") else f"{source.domain}__{source.name}"
    name += f"__{column}" if column and not column.startswith("_") else ""
    return f"{{{{ doc('{name}') }}}}"


def _doc_blocks(domain: Domain) -> str:
    texts: dict[str, str] = {}
    for source in domain.sources:
        name = f"{domain.domain}__{source.name}"
        texts[name] = source.description
        texts |= {f"{name}__{column.name}": column.description for column in source.columns}
    return "\n".join(
        f"{{% docs {name} %}}\n{text.strip()}\n{{% enddocs %}}\n" for name, text in texts.items()
    )


def _sources(domain: Domain) -> dict[str, Any]:
    tables = [
        {
            "name": source.name,
            "description": _doc(source),
            "config": {
                "freshness": {
                    "warn_after": {"count": 2, "period": "day"},
                    "error_after": {"count": 4, "period": "day"},
                }
            },
            "data_tests": ["accounts_add_up"],
            "columns": [
                {"name": name, "description": _doc(source, name)}
                for name in [*(column.name for column in source.columns), *DELIVERY]
            ],
        }
        for source in domain.sources
    ]
    source = {
        "name": domain.domain,
        "description": domain.description,
        "database": "RAW",
        "schema": domain.domain.upper(),
        "config": {"loaded_at_field": "_loaded_at"},
        "tables": tables,
    }
    return {"sources": [source]}


def _key(source: Source) -> list[str]:
    """What is unique in the raw table: only a merge keeps one row of a key."""
    return source.key if source.load == "merge" else ["_load_id", "_row_number"]


def _staging_sql(source: Source) -> str:
    names = [*(column.name for column in source.columns), *STAGED]
    columns = ",\n".join(f"        {name}" for name in names)
    # Names that are written into SQL here have been checked.
    return f"""with

source as (
    select * from {{{{ source('{source.domain}', '{source.name}') }}}}
),

staged as (
    select
{columns}
    from source
)

select * from staged
"""  # noqa: S608


def _staging(source: Source) -> dict[str, Any]:
    key = _key(source)
    model: dict[str, Any] = {
        "name": f"stg_{source.domain}__{source.name}",
        "description": f"Staged rows of `{source.title}`, one row per {', '.join(key)}.",
    }
    if len(key) > 1:
        model["data_tests"] = [{"unique_combination": {"arguments": {"columns": list(key)}}}]
    model["columns"] = []
    for name in [*(column.name for column in source.columns), *STAGED]:
        column: dict[str, Any] = {"name": name, "description": _doc(source, name)}
        if name in key:
            column["data_tests"] = [*(["unique"] if len(key) == 1 else []), "not_null"]
        model["columns"].append(column)
    return {"models": [model]}


def _day(source: Source) -> str:
    """The first time that no row is without."""
    times = (c.name for c in source.columns if c.type in ("date", "timestamp") and not c.nullable)
    return next(times, "_loaded_at")


def _mart_sql(source: Source) -> str:
    return f"""with

staged as (
    select * from {{{{ ref('stg_{source.domain}__{source.name}') }}}}
),

final as (
    select
        {_day(source)}::date as day,
        count(*) as row_count
    from staged
    group by 1
)

select * from final
"""  # noqa: S608


def _mart(source: Source, mart: str) -> dict[str, Any]:
    required = [{"type": "not_null"}]
    day, staged = _day(source), f"ref('stg_{source.domain}__{source.name}')"
    model = {
        "name": mart,
        "description": f"One row per day of `{day}` in `{source.title}`.\n\n"
        f"Question it answers: how many rows of `{source.title}` are there per day?\n",
        "columns": [
            {
                "name": "day",
                "data_type": "date",
                "description": f"Day of `{day}` in `{source.title}`.",
                "constraints": required,
                "data_tests": ["unique"],
            },
            {
                "name": "row_count",
                "data_type": "number(38, 0)",
                "description": f"Number of rows of `{source.title}`.",
                "constraints": [dict(required[0])],
            },
        ],
    }
    test = {
        "name": f"{mart}_counts_each_day",
        "description": f"Two rows of `{source.title}` on one day and one on the next.",
        "model": mart,
        "given": [
            {"input": staged, "rows": [{day: f"2026-03-0{n}"} for n in (1, 1, 2)]},
        ],
        "expect": {
            "rows": [{"day": "2026-03-01", "row_count": 2}, {"day": "2026-03-02", "row_count": 1}]
        },
    }
    return {"models": [model], "unit_tests": [test]}


def _dag(source: Source) -> str:
    domain = source.domain
    return f'''"""The `{domain}` domain, every day at seven.

Loads what has been delivered, then builds and tests the models of the domain. When all of it is
green, the asset `{domain}` is published, and DAGs that are scheduled on it start.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration.dbt_tasks import dbt_task_group
from include.orchestration.ingestion_tasks import ingest
from include.orchestration.pipeline import pipeline, run

with DAG(
    **pipeline(
        "{domain}__{source.name}__daily",
        "0 7 * * *",
        __doc__,
        late_after=timedelta(hours=1),
    )
):
    run(ingest("{domain}"), dbt_task_group("{domain}"), publishes="{domain}")
'''


def _page(domain: Domain, mart: str) -> str:
    return (
        f"# The `{domain.domain}` domain\n\n{domain.description.strip()}\n\n"
        "| question | mart | one row per |\n|---|---|---|\n"
        f"| How many rows of `{domain.sources[0].title}` are there? | `{mart}` | day |\n"
    )


def _test(name: str) -> str:
    return f'''"""The models of `{name}`: what is declared, and what the models make of it."""

from __future__ import annotations

import yaml

from include.core.settings import REPOSITORY
from include.ingestion.sources import load_domain


def test_staging_has_every_declared_column() -> None:
    folder = REPOSITORY / "dbt" / "models" / "staging" / "{name}"
    for source in load_domain("{name}").sources:
        file = folder / f"stg_{name}__{{source.name}}.yml"
        (model,) = yaml.safe_load(file.read_text("utf-8"))["models"]
        staged = {{column["name"] for column in model["columns"]}}
        assert {{column.name for column in source.columns}} <= staged
'''
