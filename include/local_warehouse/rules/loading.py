"""COPY INTO a table from Parquet files by column name: all files with one insert.

fakesnow inserts file by file, each in a transaction of its own. With hundreds of files DuckDB then
writes its log back to the database again and again, and a file that fails leaves those before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from fakesnow.transforms.options import parse_options
from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr, exp

from . import answers, names, staging

if TYPE_CHECKING:
    from ..session import Session, TableName

ANSWER = (
    "file", "status", "rows_parsed", "rows_loaded", "error_limit", "errors_seen", "first_error",
    "first_error_line", "first_error_character", "first_error_column_name",
)  # fmt: skip


@dataclass(frozen=True)
class Load:
    """Which files go where.

    Attributes:
        table: database, schema and name.
        place: the stage and the beginning of the files' names.
        files: those that are there.
        exact: whether the case of column names counts.
    """

    table: TableName
    place: staging.Location
    files: list[Path]
    exact: bool

    def run(self, session: Session) -> str:
        """Insert the files that were not loaded before; gives the query for the result.

        Raises:
            ProgrammingError: a value does not fit its column.
        """
        history = f"{answers.identifier(self.table[0])}._fs_information_schema._fs_load_history"
        _, schema, name = self.table
        before = session.duck.execute(
            f"SELECT file_name FROM {history} WHERE schema_name = ? AND table_name = ?",
            [schema, name],
        ).fetchall()
        rows: dict[str, int] = {}
        alike: dict[pa.Schema, list[str]] = {}
        new = {str(file) for file in self.files} - {file for (file,) in before}
        for path in sorted(new):
            with pq.ParquetFile(path) as file:
                rows[path] = file.metadata.num_rows
                alike.setdefault(file.schema_arrow.remove_metadata(), []).append(path)
        try:
            for columns, paths in alike.items():
                session.duck.execute(self._insert(session, columns.names, paths))
        except duckdb.ConversionException as error:
            raise ProgrammingError(msg=error.args[0], errno=100038, sqlstate="22018") from None
        session.duck.execute(
            f"INSERT INTO {history} SELECT ?, unnest(?), ?, now(), 'LOADED', unnest(?), unnest(?),"
            " NULL, NULL, NULL, NULL, 0, 1",
            [schema, list(rows), name, list(rows.values()), list(rows.values())],
        )
        return answers.table(ANSWER, [self._told(file, rows.get(str(file))) for file in self.files])

    def _insert(self, session: Session, found: list[str], paths: list[str]) -> str:
        table = ".".join(map(answers.identifier, self.table))
        columns = [row[0] for row in session.duck.execute(f"DESCRIBE {table}").fetchall()]
        delivered = {name if self.exact else name.upper(): name for name in found}
        values = [
            answers.identifier(delivered[key]) if key in delivered else "NULL"
            for key in (name if self.exact else name.upper() for name in columns)
        ]
        files = ", ".join(answers.literal(escape(path)) for path in paths)
        return (
            f"INSERT INTO {table} ({', '.join(map(answers.identifier, columns))})"
            f" SELECT {', '.join(values)} FROM read_parquet([{files}])"
        )

    def _told(self, file: Path, rows: int | None) -> tuple[object, ...]:
        name, nothing = self.place.shown(file), (None, None, None)
        if rows is None:
            return (name, "LOAD_SKIPPED", 0, 0, 1, 1, "File was loaded before.", *nothing)
        return (name, "LOADED", rows, rows, 1, 0, None, *nothing)


def by_column_name(statement: exp.Copy, session: Session) -> Load | None:
    """What such a COPY loads; None for every other COPY, and if there is no file."""
    source: Expr = statement.args["files"][0]
    given = {item.name.upper(): item for item in statement.args.get("params") or []}
    if (
        not isinstance(statement.this, exp.Table)
        or not isinstance(source.this, exp.Var)
        or set(given) != {"FILE_FORMAT", "MATCH_BY_COLUMN_NAME"}
        or statement.this.catalog == names.TEMPORARY_CATALOG
    ):
        return None
    layout = parse_options(given["FILE_FORMAT"].expressions)
    match = given["MATCH_BY_COLUMN_NAME"].expression.name.upper()
    if {key: str(value).upper() for key, value in layout.items()} != {"TYPE": "PARQUET"}:
        return None
    if match not in ("CASE_INSENSITIVE", "CASE_SENSITIVE"):
        return None
    try:
        place = staging.location(source.this.name, session)
    except ProgrammingError:
        # fakesnow knows table stages, and says what is wrong with others.
        return None
    files = place.files()
    table = names.resolve(statement.this, session)
    return Load(table, place, files, match == "CASE_SENSITIVE") if files else None
