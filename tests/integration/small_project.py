"""A dbt project of one domain with Firn's own profile and macros, small enough to deploy often."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dbt.cli.main import dbtRunner

from include.delivery.deployment import dbt as deployment_dbt

PARSED = "partial_parse.msgpack"
FIRN = Path(__file__).parents[2] / "dbt"
SHAS = tuple(digit * 40 for digit in "abcdef123456")

PROJECT = """
name: firn
version: 1.0.0
config-version: 2
profile: firn
flags: {send_anonymous_usage_stats: false}
models: {firn: {staging: {+schema: staging, +materialized: view},
  intermediate: {+schema: intermediate}, mart: {+schema: mart}}}
snapshots: {firn: {+schema: snapshots}}
"""
FILES = {
    "dbt_project.yml": PROJECT,
    "models/staging/small/_sources.yml": """
sources:
  - name: small
    database: RAW
    schema: SMALL
    config:
      freshness: {warn_after: {count: 3650, period: day}}
      loaded_at_field: loaded_at
    tables: [{name: events}]
""",
    "models/staging/small/stg_small.sql": (
        "select id, loaded_at, {version} as version from {{ source('small', 'events') }}"
    ),
    "models/intermediate/small/int_small.sql": """
{{ config(materialized='incremental', unique_key='id') }}
select * from {{ ref('stg_small') }}
{% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}
""",
    "models/mart/small/mart_small.sql": (
        "{{ config(materialized='table') }} select * from {{ ref('int_small') }} where {where}"
    ),
    "models/mart/small/mart_small_view.sql": (
        "{{ config(materialized='view') }} select id, version from {{ ref('stg_small') }}"
    ),
    "models/mart/small/_marts.yml": """
models:
  - name: mart_small
    columns: [{name: id, data_tests: [unique, not_null]}]
""",
    "snapshots/small/snap_small.yml": """
snapshots:
  - name: snap_small
    relation: ref('stg_small')
    config: {strategy: check, check_cols: [version], unique_key: id}
""",
}


def write(folder: Path, version: int = 1, where: str = "true") -> Path:
    """The project's files; `version` is in every row, `where` thins the mart out."""
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("{version}", str(version)).replace("{where}", where))
    (folder / "macros").mkdir(exist_ok=True)
    for name in ("generate_schema_name", "ref", "query_tag"):
        shutil.copyfile(FIRN / "macros" / f"{name}.sql", folder / "macros" / f"{name}.sql")
    shutil.copyfile(FIRN / "profiles.yml", folder / "profiles.yml")
    return folder


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables of this process, taken back at the end."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_in_process(self: deployment_dbt.DeployedProject, target: Path, *command: str) -> int:
    """In place of `DeployedProject._run`: the same command without a new process.

    What was parsed for an earlier deployment is parsed again only where a file has changed.
    """
    target.mkdir(parents=True, exist_ok=True)
    project = os.environ["DBT_PROJECT_DIR"]
    parsed, kept = target / PARSED, Path(project) / f"{target.name}.{PARSED}"
    if kept.exists() and not parsed.exists():
        shutil.copyfile(kept, parsed)
    own = {deployment_dbt.IN_STAGING: "1" if target == self.staging else "0"}
    with environment({**self.settings.environment(), **self.switch.environment(), **own}):
        options = ("--target", "prod", "--project-dir", project, "--profiles-dir", project)
        files = ("--target-path", str(target), "--log-path", str(target))
        done = dbtRunner().invoke(["--quiet", *command, *options, *files])
    if parsed.exists():
        shutil.copyfile(parsed, kept)
    return 0 if done.success else 1
