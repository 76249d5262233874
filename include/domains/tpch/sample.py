"""Snowflake's TPC-H sample, generated: the same database, tables, columns and types, any size.

Every Snowflake account has ``SNOWFLAKE_SAMPLE_DATA`` as a read-only share, so this fills the local
warehouse alone.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console

from include.core.settings import Demo
from include.project.domains import SampleDataError, Say
from include.warehouse.connection import ConnectionSettings, connect, get_settings

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

DATABASE = "SNOWFLAKE_SAMPLE_DATA"
SCHEMA = "TPCH_SF1"
LARGEST_SCALE = 100.0

_KEY = "number(38, 0) not null"
_MONEY = "number(12, 2) not null"

TABLES: dict[str, dict[str, str]] = {
    "REGION": {
        "R_REGIONKEY": _KEY,
        "R_NAME": "varchar(25) not null",
        "R_COMMENT": "varchar(152)",
    },
    "NATION": {
        "N_NATIONKEY": _KEY,
        "N_NAME": "varchar(25) not null",
        "N_REGIONKEY": _KEY,
        "N_COMMENT": "varchar(152)",
    },
    "CUSTOMER": {
        "C_CUSTKEY": _KEY,
        "C_NAME": "varchar(25) not null",
        "C_ADDRESS": "varchar(40) not null",
        "C_NATIONKEY": _KEY,
        "C_PHONE": "varchar(15) not null",
        "C_ACCTBAL": _MONEY,
        "C_MKTSEGMENT": "varchar(10)",
        "C_COMMENT": "varchar(117)",
    },
    "SUPPLIER": {
        "S_SUPPKEY": _KEY,
        "S_NAME": "varchar(25) not null",
        "S_ADDRESS": "varchar(40) not null",
        "S_NATIONKEY": _KEY,
        "S_PHONE": "varchar(15) not null",
        "S_ACCTBAL": _MONEY,
        "S_COMMENT": "varchar(101)",
    },
    "PART": {
        "P_PARTKEY": _KEY,
        "P_NAME": "varchar(55) not null",
        "P_MFGR": "varchar(25) not null",
        "P_BRAND": "varchar(10) not null",
        "P_TYPE": "varchar(25) not null",
        "P_SIZE": _KEY,
        "P_CONTAINER": "varchar(10) not null",
        "P_RETAILPRICE": _MONEY,
        "P_COMMENT": "varchar(23)",
    },
    "PARTSUPP": {
        "PS_PARTKEY": _KEY,
        "PS_SUPPKEY": _KEY,
        "PS_AVAILQTY": _KEY,
        "PS_SUPPLYCOST": _MONEY,
        "PS_COMMENT": "varchar(199)",
    },
    "ORDERS": {
        "O_ORDERKEY": _KEY,
        "O_CUSTKEY": _KEY,
        "O_ORDERSTATUS": "varchar(1) not null",
        "O_TOTALPRICE": _MONEY,
        "O_ORDERDATE": "date not null",
        "O_ORDERPRIORITY": "varchar(15) not null",
        "O_CLERK": "varchar(15) not null",
        "O_SHIPPRIORITY": _KEY,
        "O_COMMENT": "varchar(79) not null",
    },
    "LINEITEM": {
        "L_ORDERKEY": _KEY,
        "L_PARTKEY": _KEY,
        "L_SUPPKEY": _KEY,
        "L_LINENUMBER": _KEY,
        "L_QUANTITY": _MONEY,
        "L_EXTENDEDPRICE": _MONEY,
        "L_DISCOUNT": _MONEY,
        "L_TAX": _MONEY,
        "L_RETURNFLAG": "varchar(1) not null",
        "L_LINESTATUS": "varchar(1) not null",
        "L_SHIPDATE": "date not null",
        "L_COMMITDATE": "date not null",
        "L_RECEIPTDATE": "date not null",
        "L_SHIPINSTRUCT": "varchar(25) not null",
        "L_SHIPMODE": "varchar(10) not null",
        "L_COMMENT": "varchar(44) not null",
    },
}
"""Columns and types of the sample, in Snowflake's order. Parents stand before their children."""


@dataclass(frozen=True)
class LoadedTable:
    """What became of one table.

    Attributes:
        table: its name, in upper case.
        rows: how many rows it holds now.
        loaded: False when it held exactly this data already.
    """

    table: str
    rows: int
    loaded: bool


Progress = Callable[[str], None]
"""Called with a few words, in the present tense, before each step."""


def _silent(_: str) -> None:
    pass


def load(
    scale: float = 0.1,
    *,
    schema: str = SCHEMA,
    settings: ConnectionSettings | None = None,
    progress: Progress = _silent,
) -> list[LoadedTable]:
    """Generate TPC-H and load it into the local warehouse, one table after the other.

    A table is replaced in one step when all of its rows are there; readers never see a part of it.
    A table that holds the same data already is left alone.

    Args:
        scale: TPC-H scale factor; 1 is 6 million order lines and 230 MB.
        schema: the schema in ``SNOWFLAKE_SAMPLE_DATA``, one of the share's such as ``TPCH_SF10``.
        settings: read from the environment if not given.
        progress: told what happens.

    Raises:
        SampleDataError: the target is not local, an argument is out of range, or the generator
            failed.
    """
    settings = settings or get_settings()
    if not settings.is_local:
        raise SampleDataError(
            f"FIRN_TARGET is {settings.target}, and on Snowflake {DATABASE} is a read-only share "
            "that is there already: set FIRN_TARGET=local to fill the local warehouse."
        )
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", schema):
        raise SampleDataError(f"{schema!r} is not a schema name: use a name such as {SCHEMA}.")
    folder = generate(scale, home=settings.home, progress=progress)
    loaded = []
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(f"create database if not exists {DATABASE}")
        cursor.execute(f"create schema if not exists {DATABASE}.{schema}")
        cursor.execute(f"use schema {DATABASE}.{schema}")
        for table in TABLES:
            file = folder / f"{table.lower()}.parquet"
            loaded.append(_load_table(cursor, schema.upper(), table, file, progress))
    return loaded


def is_loaded(settings: ConnectionSettings, *, schema: str = SCHEMA) -> bool:
    """Whether every table of the sample is there, at whatever scale."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(f"create database if not exists {DATABASE}")
        cursor.execute(
            f"select table_name from {DATABASE}.information_schema.tables where table_schema = %s",  # noqa: S608
            (schema.upper(),),
        )
        return set(TABLES) <= {str(row[0]) for row in cast("list[tuple[str]]", cursor.fetchall())}


def generate(scale: float, *, home: Path, progress: Progress = _silent) -> Path:
    """Write TPC-H below ``home``, unless it is there; return the folder of the Parquet files.

    Raises:
        SampleDataError: the scale is out of range or the generator failed.
    """
    if not 0 < scale <= LARGEST_SCALE:
        raise SampleDataError(
            f"{scale:g} is not a scale: use a number above 0 and up to {LARGEST_SCALE:g}."
        )
    folder = home / "sample_data" / "tpch" / f"sf{scale:g}"
    if folder.exists():
        return folder
    progress(f"Generating TPC-H at scale {scale:g}")
    generator = Path(sys.executable).with_name("tpchgen-cli")
    with _new_folder(folder) as unfinished:
        command = [str(generator), "parquet", f"--scale-factor={scale:g}"]
        command += [f"--output-dir={unfinished}", "--quiet"]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            said = made.stderr.strip().splitlines()[-1:] or ["nothing"]
            raise SampleDataError(f"tpchgen-cli failed at scale {scale:g}, it said: {said[0]}")
    return folder


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that appears under its name only when the block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield unfinished
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _load_table(
    cursor: SnowflakeCursor, schema: str, table: str, file: Path, progress: Progress
) -> LoadedTable:
    content = _content(table, file)
    cursor.execute(
        "select comment from information_schema.tables where table_schema = %s and table_name = %s",
        (schema, table),
    )
    existing = cast("tuple[str | None] | None", cursor.fetchone())
    if existing and existing[0] == content:
        return LoadedTable(table, _count(cursor, table), loaded=False)

    progress(f"Loading {table}")
    fresh, stage = f"{table}__FRESH", f"{table}__FILES"
    columns = ", ".join(f"{name} {kind}" for name, kind in TABLES[table].items())
    cursor.execute(f"create or replace temporary stage {stage}")
    cursor.execute(f"put 'file://{file}' @{stage} auto_compress = false overwrite = true")
    cursor.execute(f"create or replace table {fresh} ({columns})")
    cursor.execute(
        f"copy into {fresh} from @{stage} file_format = (type = parquet)"
        " match_by_column_name = case_insensitive"
    )
    if existing:
        cursor.execute(f"alter table {table} swap with {fresh}")
        cursor.execute(f"drop table {fresh}")
    else:
        cursor.execute(f"alter table {fresh} rename to {table}")
    cursor.execute(f"comment on table {table} is '{content}'")
    return LoadedTable(table, _count(cursor, table), loaded=True)


def _content(table: str, file: Path) -> str:
    """What a table is made of, as its comment: equal for equal columns and equal bytes."""
    digest = hashlib.sha256(repr(TABLES[table]).encode())
    with file.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return f"TPC-H {file.parent.name}, content {digest.hexdigest()[:32]}"


def _count(cursor: SnowflakeCursor, table: str) -> int:
    cursor.execute(f"select count(*) from {table}")  # noqa: S608
    row = cast("tuple[int]", cursor.fetchone())
    return int(row[0])


def demo_scale() -> float:
    """TPC-H scale factor of the demo: ``FIRN_DEMO_SCALE``, 0.1 when unset.

    Raises:
        ConfigurationError: the variable is no scale.
    """
    return Demo().firn_demo_scale


def prepare(settings: ConnectionSettings, say: Say) -> None:
    """Load what the DAG reads, if nothing has been loaded yet."""
    if not is_loaded(settings):
        load(demo_scale(), settings=settings, progress=say)


def command(
    scale: Annotated[float, typer.Option(help="Scale factor: 1 is 6 million order lines.")] = 0.1,
    schema: Annotated[str, typer.Option(help="Schema to fill.")] = SCHEMA,
) -> None:
    """Generate TPC-H and load it, under the names and types Snowflake's sample has."""
    tables = load(scale, schema=schema, progress=Console().print)
    for table in tables:
        note = "" if table.loaded else "  (unchanged, not loaded again)"
        Console().print(f"{table.table:<10}{table.rows:>12,} rows{note}", highlight=False)
