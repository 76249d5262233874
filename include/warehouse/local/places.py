"""Paths in the data folder that are made of a client's words: all of them are made here.

Names of objects become names of folders as they are, so they are held to what is such a name on
every disk. A file in a stage may be called almost anything, but stays below its stage.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from fakesnow.transforms import stage as fakesnow_stage

from include.warehouse.local.errors import compilation_error, unsupported
from include.warehouse.local.rules import answers

NAME = re.compile(r"%?[A-Za-z0-9_$-]{1,200}|%")
"""What may be the name of a stage, its schema or its database; % begins a table's own stage."""

LONGEST_PART, LONGEST_PATH = 255, 1024
"""Bytes of one file's name, and of a whole path below a stage."""

UNFINISHED = ".unload-"
"""How the folder in a stage begins that files are unloaded into before they are moved."""

_parts_from_reference = fakesnow_stage.parts_from_var


def checked(name: str) -> str:
    """The name, if it can be that of a folder.

    Raises:
        ProgrammingError: it cannot.
    """
    if not NAME.fullmatch(name):
        raise unsupported(
            f"{_shown(name)} cannot name a stage, schema or database here: use up to 200 letters, "
            "digits, _, $ or -. Other names are"
        )
    return name


def inside(root: Path, *names: str, path: str = "") -> Path:
    """The file or folder that a client's words mean, be it there or not.

    Args:
        root: a folder of the store, free of links itself.
        names: of objects, one folder each.
        path: what the client calls the file below those.

    Raises:
        ProgrammingError: it would not be below the root, or not below the last of the names.
    """
    parts = [part for part in path.split("/") if part]
    if (
        len(path.encode("utf-8", "replace")) > LONGEST_PATH
        or any(len(part.encode("utf-8", "replace")) > LONGEST_PART for part in parts)
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in path)
    ):
        raise unsupported(
            f"The path {_shown(path)} (it is too long, or has a control character) is"
        )
    place = root
    for part in [*map(checked, names), *parts]:
        place /= part
        if part in (".", "..") or place.is_symlink():
            raise compilation_error(f"the path {_shown(path)} leaves the stage.")
    return place


def files(root: Path, *names: str, path: str = "", pattern: str | None = None) -> list[Path]:
    """Files of a stage whose path in it begins with `path` and matches the pattern whole.

    Hidden ones are the server's own. Links are not followed.

    Raises:
        ProgrammingError: the pattern is none, or the place is not below the root.
    """
    inside(root, *names, path=path)
    folder = inside(root, *names)
    below = {
        found.relative_to(folder).as_posix(): found
        for found in folder.rglob("*")
        if not found.is_symlink() and found.is_file()
    }
    wanted = sorted(name for name in below if name.startswith(path) and not _is_hidden(name))
    if pattern is not None and wanted:
        # Not Python's expressions: some of those never come to an end.
        try:
            matches = pc.match_substring_regex(pa.array(wanted), f"^(?:{pattern})$")
        except pa.ArrowInvalid:
            raise compilation_error(f"{_shown(pattern)} is not a regular expression.") from None
        wanted = [name for name, one in zip(wanted, matches.to_pylist(), strict=True) if one]
    return [below[name] for name in wanted]


def seen(path: str) -> str:
    """The path in a stage that a file is written to, if it is one that LIST and REMOVE show.

    Raises:
        ProgrammingError: it would be taken for one of the server's own.
    """
    if _is_hidden(path):
        raise unsupported(
            f"The path {_shown(path)} (a file whose name begins with '.', or in a folder whose "
            f"name begins with '{UNFINISHED}', would never be listed) is"
        )
    return path


def _is_hidden(path: str) -> bool:
    first, *_, last = 2 * [part for part in path.split("/") if part] or ["", ""]
    return last.startswith(".") or first.startswith(UNFINISHED)


def guard_fakesnow(stages: Path) -> None:
    """Let fakesnow's own statements about stages, PUT and COPY, find their files here."""

    def parts_from_var(
        var: str, current_database: str | None, current_schema: str | None
    ) -> tuple[str, str, str]:
        database, schema, name = _parts_from_reference(var, current_database, current_schema)
        return checked(database), checked(schema), checked(name)

    def internal_dir(fqname: str, path: str = "") -> str:
        names = _three(fqname.split("."))
        folder = inside(stages, *names)
        inside(stages, *names, path=path)
        return f"{folder}/{path.lstrip('/')}"

    def internal_files_sql(prefix: str) -> str:
        names, path = split(prefix.removeprefix(f"{stages}/"))
        return answers.table(("file",), [(str(file),) for file in files(stages, *names, path=path)])

    fakesnow_stage.LOCAL_BUCKET_PATH = str(stages)
    fakesnow_stage.parts_from_var = parts_from_var
    fakesnow_stage.internal_dir = internal_dir
    fakesnow_stage.internal_files_sql = internal_files_sql


def staged(stages: Path, place: str) -> Path:
    """A file in a stage by its path below the folder of all stages.

    Raises:
        ProgrammingError: it would be in no stage, or would be the stage itself.
    """
    names, path = split(place)
    if not path.strip("/"):
        raise compilation_error(f"the path {_shown(place)} is not that of a file.")
    return inside(stages, *names, path=path)


def split(place: str) -> tuple[Sequence[str], str]:
    """A path below the folder of stages as the names of a stage and a path in it.

    Raises:
        ProgrammingError: it is too short to name a stage.
    """
    *names, path = [*place.split("/", 3), ""][:4]
    return _three(names), path


def _three(names: Sequence[str]) -> Sequence[str]:
    if len(names) != 3:
        raise unsupported(f"A stage by the name of {_shown('.'.join(names))} is")
    return names


def _shown(text: str) -> str:
    """A client's word as it can stand in a sentence and in the log."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")
