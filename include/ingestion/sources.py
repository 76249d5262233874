"""Sources, declared in YAML: one file a domain, checked as a whole before anything is loaded."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from include.ingestion.errors import DeclarationError, shown
from include.project.domains import FOLDER

SCHEMA = Path(__file__).with_name("sources.schema.json")

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
TableName = Annotated[
    str, StringConstraints(pattern=r"^([a-z_][a-z0-9_]{0,62}\.)?[a-z_][a-z0-9_]{0,62}$")
]
StageFolder = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z_][A-Za-z0-9_]*[.]){2}[A-Za-z0-9_]+(/[A-Za-z0-9_=-]+)+$"),
]
Character = Annotated[str, StringConstraints(min_length=1, max_length=1)]
Bound = int | float | datetime | date

_NUMBER = re.compile(r"number\((\d{1,2}), ?(\d{1,2})\)")
_TYPE = r"^(text|integer|float|boolean|date|timestamp|number\(\d{1,2}, ?\d{1,2}\))$"


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Checks(_Declared):
    """What a value must satisfy to be loaded. Null values are the business of `nullable`."""

    min: Bound | None = Field(None, description="Smallest allowed value, itself allowed.")
    max: Bound | None = Field(None, description="Largest allowed value, itself allowed.")
    allowed: tuple[str, ...] | None = Field(
        None, min_length=1, description="The only allowed texts."
    )
    pattern: str | None = Field(None, description="Regular expression for the whole text.")
    min_length: int | None = Field(None, ge=0, description="Fewest characters of a text.")
    max_length: int | None = Field(None, ge=1, description="Most characters of a text.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is not a regular expression ({error})") from None
        return pattern


class Column(_Declared):
    """One column of a delivery and of the raw table."""

    name: Identifier = Field(description="Its name in the raw table, in snake_case.")
    type: Annotated[str, StringConstraints(pattern=_TYPE)] = Field(
        "text",
        description="text, integer, number(precision, scale), float, boolean, date or timestamp.",
    )
    description: str = ""
    nullable: bool = Field(True, description="Whether a value may be missing.")
    optional: bool = Field(False, description="Whether a file may come without the column.")
    aliases: tuple[str, ...] = Field(
        default=(), description="Other headers it is delivered under; CamelCase needs no alias."
    )
    format: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None,
        description="How a date or timestamp is written in CSV, such as %d/%m/%Y, or a list of the "
        "ways, value by value; else ISO.",
    )
    checks: Checks = Checks()

    @property
    def precision_and_scale(self) -> tuple[int, int] | None:
        """Of a number; None for every other type."""
        match = _NUMBER.fullmatch(self.type)
        return (int(match[1]), int(match[2])) if match else None

    @property
    def formats(self) -> tuple[str, ...]:
        """The declared ways to write a date or timestamp; none if that is ISO's."""
        return (self.format,) if isinstance(self.format, str) else self.format or ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        digits = self.precision_and_scale
        if digits and not (1 <= digits[0] <= 38 and digits[1] <= digits[0]):
            raise ValueError(
                f"{self.type} does not exist: a precision is 1 to 38, a scale not above it"
            )
        if self.format and self.type not in ("date", "timestamp"):
            raise ValueError(f"format is for a date or timestamp, and {self.name} is {self.type}")
        checks = self.checks
        on_text = (checks.allowed, checks.pattern, checks.min_length, checks.max_length)
        if self.type != "text" and any(check is not None for check in on_text):
            raise ValueError(
                "allowed, pattern, min_length and max_length are for text, "
                f"and {self.name} is {self.type}"
            )
        for bound in (checks.min, checks.max):
            if bound is None:
                continue
            temporal = isinstance(bound, date)
            if self.type in ("text", "boolean") or temporal != (self.type in ("date", "timestamp")):
                raise ValueError(
                    f"min and max of {self.name} must be numbers, dates or timestamps as its type "
                    f"is, and that is {self.type}"
                )
        return self


class CsvFormat(_Declared):
    """Delimited text with a header. Gzip is recognised by its first bytes."""

    type: Literal["csv"] = "csv"
    delimiter: Character = ","
    quote: Character | None = Field('"', description="Doubled inside a value; null for none.")
    encoding: str = Field("utf-8", description="A name that Python knows, such as cp1252.")
    newlines_in_values: bool = Field(
        False, description="Whether a quoted value may hold a line break."
    )
    null_values: list[str] = Field(
        default=[""],
        description="Unquoted texts that mean null; in columns other than text also quoted ones.",
    )

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            raise ValueError(f"{encoding!r} is not an encoding that Python knows") from None
        return encoding

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if not (self.delimiter.isascii() and (self.quote or "").isascii()):
            raise ValueError("delimiter and quote must be ASCII characters")
        if self.delimiter == self.quote or {self.delimiter, self.quote} & {"\n", "\r", "\0"}:
            raise ValueError("delimiter and quote must be two characters, neither a line break")
        return self


class ParquetFormat(_Declared):
    """Parquet files, whose columns have the declared types already."""

    type: Literal["parquet"] = "parquet"


class DatabaseFormat(_Declared):
    """A table of the domain's operational database, extracted into Parquet files of text."""

    type: Literal["database"]
    table: TableName = Field(description="The table, as in sales or app.sales.")
    watermark: Identifier = Field(
        description="The column that grows whenever a row is added or changed; extraction follows "
        "it. Rows without a value are extracted every time."
    )
    overlap_minutes: float = Field(
        60,
        ge=0,
        description="How far before the last watermark extraction begins again: longer than any "
        "transaction of the database stays open. What is known already is not added twice.",
    )
    event_time: Identifier | None = Field(
        None,
        description="The column that a range is extracted by, and by whose days the table is "
        "compared with raw; null for neither.",
    )
    compare_minutes: float | None = Field(
        60,
        ge=0,
        description="How often a load also compares the newest days of the table with raw, and "
        "extracts again what differs; null for never. Declare the key of a table whose rows "
        "change.",
    )
    compare_days: int = Field(7, ge=1, le=3650, description="How many days that are.")
    compare_all_hours: float = Field(24, ge=0, description="How often all of it is compared.")

    @property
    def schema_and_table(self) -> tuple[str | None, str]:
        """The schema, if one is declared, and the table in it."""
        schema, _, table = self.table.rpartition(".")
        return schema or None, table


class Source(_Declared):
    """One kind of delivery and how it reaches its raw table."""

    name: Identifier = Field(description="Its name, and that of the raw table.")
    description: str = ""
    format: Annotated[CsvFormat | ParquetFormat | DatabaseFormat, Field(discriminator="type")] = (
        CsvFormat()
    )
    files: list[str] = Field(
        default=[],
        description="Patterns below the landing folder; by default <domain>/<source>/*.csv "
        "and *.csv.gz, or *.parquet.",
    )
    stage: StageFolder | None = Field(
        None,
        description="A folder of a stage that files are taken from before each load, such as "
        "RAW.SALES.DELIVERIES/orders; the stage may be an S3 bucket.",
    )
    file_date: str | None = Field(
        None,
        description="How the whole file name tells the day it is of, such as %Y-%m-%d.csv; a file "
        "of another name is refused.",
    )
    columns: list[Column] = Field(min_length=1)
    load: Literal["merge", "append", "replace", "add"] = Field(
        description="merge by key; append every file's rows; replace the table by each file; add "
        "the rows that the table has not, of fully equal ones as many as a delivery holds."
    )
    key: list[Identifier] = Field(
        default=[],
        description="The columns that identify a row; of a database, all versions of it.",
    )
    redelivery: Literal["merge", "replace_file", "refuse"] | None = Field(
        None,
        description="What a known file name with other content does. By default merge for merge, "
        "otherwise replace_file: the rows that file delivered before make way.",
    )
    duplicates: Literal["keep", "drop"] = Field(
        "keep", description="Whether fully equal rows of one file count once (drop)."
    )
    archive: bool = Field(True, description="Whether a loaded file leaves the landing folder.")
    if_missing: Literal["fail", "skip"] = "fail"
    wait_minutes: float = Field(0, ge=0, description="How long to wait for a first file.")
    daily: bool = Field(
        False,
        description="Whether a file a day is due: a run does not wait for another one if one was "
        "taken on its day already, also by another pipeline that loads the source.",
    )
    settle_seconds: float = Field(
        0, ge=0, description="How long a file must be unchanged before it is taken."
    )
    chunk_rows: int = Field(20_000, ge=1, le=1_000_000, description="Rows handled at a time.")
    allow_new_columns: bool = Field(
        False, description="Whether an unknown column is added to the raw table and reported."
    )
    max_rejected_rows: int = Field(
        100_000, ge=0, description="A file with more bad rows than this is refused whole."
    )
    max_row_bytes: int = Field(
        1024 * 1024,
        ge=1,
        le=16 * 1024 * 1024,
        description="Longest line of a CSV file, and most bytes of text in a row of Parquet.",
    )

    domain: Annotated[str, Field(exclude=True)] = Field("", json_schema_extra={"readOnly": True})

    @property
    def title(self) -> str:
        """Domain and name, as in messages."""
        return f"{self.domain}.{self.name}"

    @property
    def redelivery_rule(self) -> str:
        """The declared rule or the load's own."""
        return self.redelivery or ("merge" if self.load in ("merge", "add") else "replace_file")

    @property
    def patterns(self) -> list[str]:
        """Where its files land, relative to the landing folder; extracted ones too."""
        endings = ["csv", "csv.gz"] if self.format.type == "csv" else ["parquet"]
        return self.files or [f"{self.domain}/{self.name}/*.{ending}" for ending in endings]

    @cached_property
    def headers(self) -> dict[str, str]:
        """Column by header, where header is an alias or the name itself."""
        known = {column.name: column.name for column in self.columns}
        known |= {alias: column.name for column in self.columns for alias in column.aliases}
        return known

    @field_validator("files")
    @classmethod
    def _inside_landing(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            parts = PurePosixPath(pattern).parts
            folder = "".join(parts[:-1])
            if (
                pattern.startswith("/")
                or ".." in parts
                or "\\" in pattern
                or len(parts) < 2
                or any(letter in folder for letter in "*?[")
                or "**" in pattern
            ):
                raise ValueError(
                    f"{pattern!r} must be a folder below the landing folder and a pattern in its "
                    "last part, such as sales/orders/*.csv"
                )
        return patterns

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [column.name for column in self.columns]
        headers = names + [alias for column in self.columns for alias in column.aliases]
        if twice := sorted({header for header in headers if headers.count(header) > 1}):
            raise ValueError(f"{', '.join(twice)} stands twice among the columns and aliases")
        if unknown := [key for key in self.key if key not in names]:
            raise ValueError(f"key {', '.join(unknown)} is not among the columns")
        if self.load == "merge" and not self.key:
            raise ValueError("load: merge needs the columns that identify a row in key")
        if self.load != "merge" and self.redelivery == "merge":
            raise ValueError(f"redelivery: merge needs load: merge, and this is {self.load}")
        if self.load == "merge" and self.redelivery == "replace_file":
            raise ValueError("redelivery: replace_file does not go with load: merge, use merge")
        if self.load == "add" and (self.redelivery or self.duplicates == "drop"):
            raise ValueError("load: add has rules of its own: leave out redelivery and duplicates")
        if (self.load == "add") != isinstance(self.format, DatabaseFormat):
            raise ValueError("load: add and format: {type: database} go together")
        if isinstance(self.format, DatabaseFormat):
            self._check_extraction(self.format)
        for column in self.columns:
            may_miss = column.nullable or column.optional
            if self.load != "add" and column.name in self.key and may_miss:
                raise ValueError(f"key column {column.name} must have nullable: false")
        return self

    def _check_extraction(self, database: DatabaseFormat) -> None:
        types = {column.name: column.type for column in self.columns}
        if types.get(database.watermark) != "timestamp":
            raise ValueError(f"watermark {database.watermark} must be a column of type timestamp")
        if database.event_time and types.get(database.event_time) not in ("timestamp", "text"):
            raise ValueError(
                f"event_time {database.event_time} must be a column of type timestamp or text"
            )
        of_files = self.files or self.stage or self.allow_new_columns
        if of_files or any(c.optional for c in self.columns):
            raise ValueError(
                "files, stage, allow_new_columns and optional columns are for files, not for a "
                "database"
            )


class Domain(_Declared):
    """All sources of a domain. The file is named after the domain."""

    domain: Identifier
    description: str = ""
    sources: list[Source] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [source.name for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"source {', '.join(twice)} is declared twice")
        return self

    def source(self, name: str) -> Source:
        """The source of that name.

        Raises:
            DeclarationError: there is none.
        """
        for source in self.sources:
            if source.name == name:
                return source
        known = ", ".join(source.name for source in self.sources)
        raise DeclarationError(
            f"Domain {self.domain} has no source {shown(name)!r}: use one of {known}, or declare "
            f"it in include/domains/{self.domain}/sources.yml."
        )


def domains(folder: Path = FOLDER) -> list[str]:
    """The domains that have sources."""
    return sorted(file.parent.name for file in folder.glob("*/sources.yml"))


def load_domain(name: str, folder: Path = FOLDER) -> Domain:
    """The declared sources of a domain.

    Raises:
        DeclarationError: there is no such domain, or its file is wrong; every problem is named.
    """
    if name not in domains(folder):
        known = ", ".join(domains(folder)) or "none"
        raise DeclarationError(
            f"There is no domain {shown(name)!r}: use one of {known}, or declare it in "
            "include/domains/<domain>/sources.yml."
        )
    return read_domain(name, folder / name / "sources.yml")


def read_domain(name: str, file: Path) -> Domain:
    """The sources of a domain as a file declares them, wherever it is.

    Raises:
        DeclarationError: the file is wrong; every problem is named.
    """
    try:
        content = yaml.load(file.read_text("utf-8"), Loader=_UniqueKeys)  # noqa: S506
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(
            f"{file} cannot be read ({type(error).__name__}): make it a readable UTF-8 file."
        ) from None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        reason = getattr(error, "problem", None) or "it cannot be parsed"
        raise DeclarationError(f"{file}{line}: this is not YAML: {reason}.") from None
    if not isinstance(content, dict):
        raise DeclarationError(f"{file}: begin it with domain: {name} and a list of sources.")
    try:
        domain = Domain.model_validate(content)
    except ValidationError as error:
        raise DeclarationError("\n".join(_problems(file, content, error))) from None
    if domain.domain != name:
        raise DeclarationError(
            f"{file}: it declares domain {domain.domain}: name the folder {domain.domain}."
        )
    filled = [source.model_copy(update={"domain": name}) for source in domain.sources]
    return domain.model_copy(update={"sources": filled})


def json_schema() -> str:
    """The JSON schema of a domain's file, for editors and for checks outside Python."""
    schema = Domain.model_json_schema()
    schema["$defs"]["Source"]["properties"].pop("domain")
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema, indent=2)
        + "\n"
    )


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, not the loss of the first."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r} stands twice", problem_mark=node.value[index][0].start_mark
                )
        return super().construct_mapping(node, deep=deep)


_FORMATS = ("csv", "parquet", "database")


def _problems(file: Path, content: dict[Any, Any], error: ValidationError) -> list[str]:
    """One sentence for each thing that pydantic found."""
    problems = []
    for detail in error.errors(include_url=False):
        place: list[str] = []
        value: Any = content
        for part in detail["loc"]:
            if isinstance(part, str) and part in _FORMATS and not _has(value, part):
                continue  # which of the formats, not a place in the file
            value = value[part] if _has(value, part) else None
            name = value.get("name") if isinstance(value, dict) else None
            place.append(
                f"{part + 1} ({shown(str(name))})"
                if name and isinstance(part, int)
                else str(part + 1 if isinstance(part, int) else part)
            )
        where = " > ".join(place) or "the whole file"
        if detail["type"] == "extra_forbidden":
            said = "is not a known setting; schema.json lists them"
        elif detail["type"] == "missing":
            said = "is missing"
        else:
            said = detail["msg"].removeprefix("Value error, ")
            if not isinstance(detail["input"], dict | list):
                said += f" (found {shown(repr(detail['input']))})"
        problems.append(f"{file}: {where}: {said}.")
    return problems


def _has(value: object, part: object) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)
