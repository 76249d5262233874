"""Files in stages: listed, removed, unloaded to and handed out.

PUT and COPY INTO a table are fakesnow's. A stage is a folder of the store; what a client calls
`@database.schema.stage/path` is a file below it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakesnow.transforms.file_format import lookup_file_format
from fakesnow.transforms.options import parse_options
from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr, exp

from .. import places
from ..errors import compilation_error, not_found, unsupported
from . import answers, names
from .session_state import command_words

if TYPE_CHECKING:
    from ..session import Session

STAGES = "_fs_global._fs_information_schema._fs_stages"
FILE_BYTES = 16_777_216
"""How large an unloaded file gets unless MAX_FILE_SIZE says otherwise, as on Snowflake."""
UNLOADED_COLUMNS = ("rows_unloaded", "input_bytes", "output_bytes")
COMPRESSIONS = {
    ("PARQUET", "AUTO"): ("snappy", ".snappy.parquet"),
    ("PARQUET", "SNAPPY"): ("snappy", ".snappy.parquet"),
    ("PARQUET", "NONE"): ("uncompressed", ".parquet"),
    ("CSV", "AUTO"): ("gzip", ".csv.gz"),
    ("CSV", "GZIP"): ("gzip", ".csv.gz"),
    ("CSV", "NONE"): ("none", ".csv"),
}


@dataclass(frozen=True)
class Location:
    """A place in an internal stage.

    Attributes:
        stages: the folder of all stages.
        stage: database, schema and name of the stage.
        path: what stands behind the stage's name, a file or the beginning of file names.
    """

    stages: Path
    stage: tuple[str, str, str]
    path: str

    @property
    def folder(self) -> Path:
        """The stage's folder."""
        return places.inside(self.stages, *self.stage)

    def files(self, pattern: str | None = None) -> list[Path]:
        """Files whose path in the stage begins with `path` and matches the pattern whole."""
        return places.files(self.stages, *self.stage, path=self.path, pattern=pattern)

    def file(self, path: str) -> Path:
        """The file at that path in the stage; it need not exist."""
        return places.inside(self.stages, *self.stage, path=path)

    def name(self, file: Path) -> str:
        """The file's path in the stage."""
        return file.relative_to(self.folder).as_posix()

    def shown(self, file: Path) -> str:
        """The file as LIST and REMOVE print it."""
        return f"{self.stage[2].lower()}/{self.name(file)}"


def location(reference: str, session: Session) -> Location:
    """What `@stage/path` means in a session.

    Raises:
        ProgrammingError: there is no such stage, it is external, or the path leaves it.
    """
    text = reference.strip("'")
    if not text.startswith("@"):
        raise compilation_error(f"'{text}' is not a stage: it must begin with @.")
    name, _, path = text[1:].partition("/")
    if name == "~" or name.startswith("%"):
        raise unsupported("Listing, removing and unloading in user and table stages are")
    table = exp.to_table(name, dialect="snowflake")
    stage = names.resolve(table, session)
    row = session.duck.execute(
        f"SELECT url FROM {STAGES} WHERE database_name = ? AND schema_name = ? AND name = ?", stage
    ).fetchone()
    if row is None:
        raise not_found("Stage", ".".join(stage))
    if row[0]:
        raise unsupported("External stages are")
    path = re.sub("/+", "/", path).removeprefix("/")
    places.inside(session.store.stages, *stage, path=path)
    return Location(session.store.stages, stage, path)


def list_files(statement: Expr, session: Session) -> str | None:
    """LIST @stage/path PATTERN = '…'."""
    if not isinstance(statement, exp.ListStage):
        return None
    pattern = statement.args.get("pattern")
    place = location(statement.this.name, session)
    rows = [
        (place.shown(file), file.stat().st_size, _md5(file), _modified(file))
        for file in place.files(pattern.name if pattern else None)
    ]
    return answers.table(("name", "size", "md5", "last_modified"), rows)


def _md5(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _modified(file: Path) -> str:
    return formatdate(file.stat().st_mtime, usegmt=True)


def remove_files(statement: Expr, session: Session) -> str | None:
    """REMOVE @stage/path PATTERN = '…', also RM."""
    if command_words(statement)[:1] not in (["REMOVE"], ["RM"]):
        return None
    reference, pattern, _ = _arguments(_text(statement))
    place = location(reference, session)
    removed = []
    for file in place.files(pattern):
        file.unlink(missing_ok=True)
        removed.append((place.shown(file), "removed"))
    return answers.table(("name", "result"), removed)


def copy_files(statement: Expr, session: Session) -> str | None:
    """COPY FILES INTO @stage/path/ FROM @stage/path/ FILES = ('…', …)."""
    if command_words(statement)[:2] != ["COPY", "FILES"]:
        return None
    found = re.fullmatch(
        r"\s*files\s+into\s+(?P<target>'@[^']+'|@\S+)\s+from\s+(?P<source>'@[^']+'|@\S+)"
        r"(?:\s+files\s*=\s*\((?P<files>\s*'[^']+'(?:\s*,\s*'[^']+')*\s*)\))?\s*;?\s*",
        _text(statement),
        re.IGNORECASE,
    )
    if found is None:
        raise compilation_error(f"syntax error near '{_text(statement).strip()[:80]}'.")
    target, source = (location(found[name], session) for name in ("target", "source"))
    if found["files"] is None:
        files = source.files()
    else:
        files = [
            source.file(f"{source.path.rstrip('/')}/{name}")
            for name in re.findall(r"'([^']+)'", found["files"])
        ]
    if missing := [file for file in files if not file.is_file()]:
        raise not_found("File", source.name(missing[0]))
    copied: list[tuple[str]] = []
    for file in files:
        name = source.name(file).removeprefix(source.path).lstrip("/") or file.name
        path = f"{target.path.rstrip('/')}/{name}".lstrip("/")
        copy = target.file(places.seen(path))
        copy.parent.mkdir(parents=True, exist_ok=True)
        # Readers see the file whole or not at all.
        spare = copy.with_name(f".{secrets.token_hex(8)}")
        shutil.copy2(file, spare)
        spare.replace(copy)
        copied.append((path,))
    return answers.table(("file",), copied)


def drop_stage(statement: Expr, session: Session) -> Callable[[], str] | None:
    """DROP STAGE, with the files in it."""
    if not isinstance(statement, exp.Drop) or str(statement.args.get("kind")).upper() != "STAGE":
        return None
    table = names.target(statement)
    if table is None:
        raise compilation_error("DROP STAGE needs a name")
    stage = names.resolve(table, session)
    places.inside(session.store.stages, *stage)

    def run() -> str:
        if not statement.args.get("exists"):
            location(f"@{'.'.join(answers.identifier(part) for part in stage)}", session)
        session.store.drop_stages([stage])
        return answers.status(f"{stage[2]} successfully dropped.")

    return run


def new_stage(statement: Expr, session: Session) -> Expr:
    """CREATE STAGE: check the name, and remember a temporary stage to drop it with its session.

    Raises:
        ProgrammingError: the name is not allowed for a folder, or the name of another stage
            differs from it only in case: on some disks both would be the same folder.
    """
    if not isinstance(statement, exp.Create) or str(statement.kind).upper() != "STAGE":
        return statement
    table = names.target(statement)
    if table is None:
        raise compilation_error("CREATE STAGE needs a name")
    stage = names.resolve(table, session)
    places.inside(session.store.stages, *stage)
    if any("'" in one.name for one in statement.find_all(exp.Literal) if one.is_string):
        # fakesnow puts the value into a statement without escaping it.
        raise unsupported("A quote in a property of a stage is")
    folder = "lower(concat_ws('/', database_name, schema_name, name))"
    alike = session.duck.execute(
        f"SELECT concat_ws('.', database_name, schema_name, name) FROM {STAGES} "
        f"WHERE {folder} = ? AND (database_name, schema_name, name) <> (?, ?, ?)",
        ("/".join(stage).lower(), *stage),
    ).fetchone()
    if alike is not None:
        raise unsupported(f"A second stage whose name differs from {alike[0]} only in case is")
    if statement.find(exp.TemporaryProperty):
        session.temporary_stages.add(stage)
    return statement


def put_target(statement: Expr, session: Session) -> Expr:
    """PUT … '@stage/path': remove the quotes, which paths with spaces need."""
    if isinstance(statement, exp.Put):
        statement.set("target", exp.var(statement.args["target"].name.strip("'")))
    return statement


def loaded_stage(statement: Expr, session: Session) -> Expr:
    """COPY INTO a table: allow internal stages, and no other address of files.

    Raises:
        ProgrammingError: the files are somewhere else.
    """
    if not isinstance(statement, exp.Copy):
        return statement
    for table in statement.args["files"][0].find_all(exp.Table):
        reference = table.this.name
        if not isinstance(table.this, exp.Var | exp.Literal) or reference.strip("'")[:1] != "@":
            raise unsupported("COPY INTO a table from anything but a stage is")
        if not re.search(r"(^'?@|\.)[~%]", reference.partition("/")[0]):
            location(reference, session)
    for column in statement.find_all(exp.Parameter):
        if isinstance(column.this, exp.Literal) and not isinstance(column.parent, exp.JSONExtract):
            raise unsupported("A whole column of a staged file in COPY is")
    return statement


def download(statement: Expr, session: Session) -> dict[str, Any] | None:
    """GET @stage/path file:///folder: where the client fetches each file.

    `presignedUrls` holds paths in the store's stages; the server makes addresses of them.
    """
    if isinstance(statement, exp.Get):
        reference, target, pattern = statement.args["target"].name, statement.this.name, None
    elif command_words(statement)[:1] == ["GET"]:
        reference, pattern, target = _arguments(_text(statement))
    else:
        return None
    if not target.startswith("file://"):
        raise compilation_error(
            f"GET writes to a local folder such as file:///tmp, not '{target}'."
        )
    place = location(reference, session)
    files = place.files(pattern)
    root = session.store.stages
    return {
        "command": "DOWNLOAD",
        "src_locations": [place.name(file) for file in files],
        "localLocation": target.removeprefix("file://"),
        "presignedUrls": [str(file.relative_to(root)) for file in files],
        "encryptionMaterial": [None] * len(files),
        "parallel": 4,
        "autoCompress": False,
        "overwrite": True,
        "sourceCompression": "none",
        "operation": "Node",
        "stageInfo": {
            "locationType": "GCS",
            "location": f"{'.'.join(place.stage)}/",
            "path": f"{place.path}/",
            "creds": {},
        },
    }


def _text(statement: Expr) -> str:
    rest = statement.expression
    return rest.name if isinstance(rest, Expr) else str(rest or "")


def _arguments(text: str) -> tuple[str, str | None, str]:
    """Stage, pattern and local folder of a REMOVE or GET that sqlglot keeps as text."""
    found = re.fullmatch(
        r"\s*(?P<stage>'@[^']+'|@\S+)(?:\s+(?P<target>'file://[^']*'|file://\S+))?"
        r"(?:\s+pattern\s*=\s*'(?P<pattern>(?:[^']|'')*)')?(?:\s+parallel\s*=\s*\d+)?\s*;?\s*",
        text,
        re.IGNORECASE,
    )
    if found is None:
        raise compilation_error(f"syntax error near '{text.strip()[:80]}'.")
    pattern = found["pattern"]
    return (
        found["stage"].strip("'"),
        pattern.replace("''", "'").replace("\\\\", "\\") if pattern is not None else None,
        (found["target"] or "").strip("'"),
    )


@dataclass(frozen=True)
class Unload:
    """COPY INTO @stage: what to write, where, and how.

    Attributes:
        query: the rows, as Snowflake SQL.
        place: the stage and the beginning of the files' names.
        options: COPY's options and those of the file format, upper-case.
    """

    query: Expr
    place: Location
    options: dict[str, Any]

    def write(self, session: Session, query: str) -> str:
        """Run DuckDB's COPY into a folder beside the target and move the files when all are there.

        Raises:
            ProgrammingError: files are there already and OVERWRITE is not set, or an option is
                not known here.
        """
        kind = str(self.options.get("TYPE", "CSV")).upper()
        wanted = str(self.options.get("COMPRESSION", "AUTO")).upper()
        if (kind, wanted) not in COMPRESSIONS:
            raise unsupported(f"Unloading {kind} with the compression {wanted} is")
        compression, ending = COMPRESSIONS[kind, wanted]
        taken = self.place.files()
        if taken and not self.options.get("OVERWRITE"):
            raise ProgrammingError(
                msg="Files already existing at the unload destination: "
                f"{self.place.shown(taken[0])}. Use overwrite option to force unloading.",
                errno=1003,
                sqlstate="42000",
            )
        spare = self.place.file(f"{places.UNFINISHED}{secrets.token_hex(8)}")
        spare.mkdir(parents=True)
        try:
            single = bool(self.options.get("SINGLE"))
            written = spare / "part" if single else spare / "parts"
            size = int(self.options.get("MAX_FILE_SIZE", FILE_BYTES))
            limit = "" if single else f", FILE_SIZE_BYTES {size}"
            settings = self._csv() if kind == "CSV" else ""
            row = session.duck.execute(
                f"COPY ({query}) TO {answers.literal(str(written))} "
                f"(FORMAT {kind}, COMPRESSION {compression}{limit}{settings})"
            ).fetchone()
            if row is None or not row[0]:
                # Snowflake writes no file when there are no rows, and leaves those of before.
                return answers.table(UNLOADED_COLUMNS, [(0, 0, 0)])
            parts = sorted(written.iterdir()) if written.is_dir() else [written]
            targets = [
                self.place.file(
                    places.seen(self._single() if single else self._name(number, ending))
                )
                for number in range(len(parts))
            ]
            for file in taken:
                file.unlink(missing_ok=True)
            for part, target in zip(parts, targets, strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
            size = sum(file.stat().st_size for file in self.place.files())
        finally:
            shutil.rmtree(spare, ignore_errors=True)
        return answers.table(UNLOADED_COLUMNS, [(int(row[0]), size, size)])

    def _single(self) -> str:
        path = self.place.path
        return f"{path}data" if not path or path.endswith("/") else path

    def _name(self, number: int, ending: str) -> str:
        prefix = self.place.path
        if not prefix or prefix.endswith("/"):
            prefix += "data"
        return f"{prefix}_0_{number}_0{ending}"

    def _csv(self) -> str:
        known = {
            "TYPE", "COMPRESSION", "HEADER", "OVERWRITE", "SINGLE", "MAX_FILE_SIZE",
            "FIELD_DELIMITER", "FIELD_OPTIONALLY_ENCLOSED_BY", "NULL_IF", "EMPTY_FIELD_AS_NULL",
        }  # fmt: skip
        if foreign := set(self.options) - known:
            raise unsupported(f"Unloading CSV with {', '.join(sorted(foreign))} is")
        quoted = str(self.options.get("FIELD_OPTIONALLY_ENCLOSED_BY", "NONE"))
        nulls = self.options.get("NULL_IF", ["\\N"])
        null = (nulls if isinstance(nulls, list) else [nulls])[:1] or [""]
        settings = [
            f"HEADER {'true' if self.options.get('HEADER') else 'false'}",
            f"DELIMITER {answers.literal(str(self.options.get('FIELD_DELIMITER', ',')))}",
            f"NULLSTR {answers.literal(str(null[0]))}",
        ]
        if quoted.upper() != "NONE":
            settings += [f"QUOTE {answers.literal(quoted)}", "FORCE_QUOTE *"]
        return "".join(f", {setting}" for setting in settings)


def unload(statement: Expr, session: Session) -> Unload | None:
    """COPY INTO @stage FROM a table or a query."""
    if not isinstance(statement, exp.Copy) or not isinstance(
        statement.this.this, exp.Var | exp.Literal
    ):
        return None
    source = statement.args["files"][0]
    query = source.this if isinstance(source, exp.Subquery) else exp.select("*").from_(source)
    options: dict[str, Any] = {}
    for parameter in statement.args.get("params") or []:
        name = parameter.name.upper()
        if name == "FILE_FORMAT":
            given = parse_options(parameter.expressions)
            if named := given.pop("FORMAT_NAME", None):
                with session.store.hub.cursor() as connection:
                    stored = lookup_file_format(
                        connection, str(named), session.database, session.schema
                    )
                options |= {key: value for key, value in stored.items() if key in UNLOADED}
            options |= given
        elif name in {"HEADER", "OVERWRITE", "SINGLE", "MAX_FILE_SIZE"}:
            value = parameter.expression
            options[name] = value.this if isinstance(value, exp.Boolean) else int(value.name)
        else:
            raise unsupported(f"COPY INTO a stage with {name} is")
    place = location(statement.this.name, session)
    return Unload(query.copy(), place, options)


UNLOADED = frozenset(
    {"TYPE", "COMPRESSION", "FIELD_DELIMITER", "FIELD_OPTIONALLY_ENCLOSED_BY", "NULL_IF"}
)
"""What a named file format says about unloading; the rest is about loading."""
