"""Paths in the data folder that contain text from a client: every one of them is built here.

Names of objects become names of folders unchanged, so only names that are valid on every disk are
allowed. A file in a stage may have almost any name, but stays below its stage.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from fakesnow.transforms import stage as fakesnow_stage

from .errors import compilation_error, unsupported
from .rules import answers

NAME = re.compile(r"%?[A-Za-z0-9_$-]{1,200}|%")
"""The names that a stage, its schema and its database may have; % begins a table's own stage."""

LONGEST_PART, LONGEST_PATH = 255, 1024
"""The most bytes in one part of a path, and in a whole path below a stage."""

UNFINISHED = ".unload-"
"""How the name of a folder in a stage begins that COPY unloads into before it moves the files."""

_parts_from_reference = fakesnow_stage.parts_from_var


def checked(name: str) -> str:
    """Return the name if it is allowed as the name of a folder.

    Raises:
        ProgrammingError: it is not allowed.
    """
    if not NAME.fullmatch(name):
        raise unsupported(
            f"{_shown(name)} cannot name a stage, schema or database here: use up to 200 letters, "
            "digits, _, $ or -. Other names are"
        )
    return name


def inside(root: Path, *names: str, path: str = "") -> Path:
    """The file or folder that a client means; it need not exist.

    Args:
        root: a folder of the store, whose own path has no links.
        names: names of objects, one folder each.
        path: the client's path of the file below those folders.

    Raises:
        ProgrammingError: a name or the path is not allowed, or the path leads out of the folders.
    """
    parts = [part for part in path.split("/") if part]
    if (
        len(path.encode("utf-8", "replace")) > LONGEST_PATH
        or any(len(part.encode("utf-8", "replace")) > LONGEST_PART for part in parts)
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in path)
    ):
        raise unsupported(f"The path {_shown(path)} (too long, or with a control character) is")
    place = root
    for part in [*map(checked, names), *parts]:
        place /= part
        if part in (".", "..") or place.is_symlink():
            raise compilation_error(f"the path {_shown(path)} leaves the stage.")
    return place


def files(root: Path, *names: str, path: str = "", pattern: str | None = None) -> list[Path]:
    """Files of a stage whose path in it begins with `path` and matches the whole pattern.

    Hidden files are the server's own and are left out. Links are not followed.

    Raises:
        ProgrammingError: the pattern is not valid, or the path leads out of the stage.
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
        # Not with Python's `re`, in which matching some expressions practically never ends.
        try:
            matches = pc.match_substring_regex(pa.array(wanted), f"^(?:{pattern})$")
        except pa.ArrowInvalid:
            raise compilation_error(f"{_shown(pattern)} is not a regular expression.") from None
        wanted = [name for name, one in zip(wanted, matches.to_pylist(), strict=True) if one]
    return [below[name] for name in wanted]


def seen(path: str) -> str:
    """Return the path that a file is written to, if LIST and REMOVE show a file of that path.

    Raises:
        ProgrammingError: the file would be hidden, as the server's own files are.
    """
    if _is_hidden(path):
        raise unsupported(
            f"The path {_shown(path)} (LIST never shows a file whose name begins with '.', or "
            f"one in a folder whose name begins with '{UNFINISHED}') is"
        )
    return path


def _is_hidden(path: str) -> bool:
    first, *_, last = 2 * [part for part in path.split("/") if part] or ["", ""]
    return last.startswith(".") or first.startswith(UNFINISHED)


def guard_fakesnow(stages: Path) -> None:
    """Make fakesnow's own PUT and COPY find their files through this module."""

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
    """The staged file at a path below the folder of all stages.

    Raises:
        ProgrammingError: the path is in no stage, or is the stage itself.
    """
    names, path = split(place)
    if not path.strip("/"):
        raise compilation_error(f"the path {_shown(place)} does not name a file.")
    return inside(stages, *names, path=path)


def split(place: str) -> tuple[Sequence[str], str]:
    """Split a path below the folder of all stages into a stage's names and a path in the stage.

    Raises:
        ProgrammingError: the path is too short to name a stage.
    """
    *names, path = [*place.split("/", 3), ""][:4]
    return _three(names), path


def _three(names: Sequence[str]) -> Sequence[str]:
    if len(names) != 3:
        raise unsupported(f"A stage named {_shown('.'.join(names))} is")
    return names


def _shown(text: str) -> str:
    """A client's text, escaped and shortened for a message or the log."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")
