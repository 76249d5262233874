"""Every setting of Firn: name, type, default, what it may be and what it is for, once.

Each class holds settings that are used together, with its section's heading as `title`; making one
reads and checks them. A package's own class adds what follows from them. `.env.example`,
`docs/settings.md`, the list of `firn settings` and the secrets that logs hide are made from this.

Light, for what runs while Airflow reads DAG files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
)
from pydantic.fields import FieldInfo

from include.core.errors import SettingError

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = frozenset({"127.0.0.1", "localhost", "::1"})
"""Host names of this machine."""


class ConfigurationError(SettingError):
    """The settings cannot be used.

    Attributes:
        problems: one sentence each: what is wrong, where, and what to set. None holds a secret.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


# -- reading ---------------------------------------------------------------------------------------


def env_file(variables: Mapping[str, str] = os.environ) -> Path:
    """The file settings are read from besides the environment; it need not exist."""
    return Path(variables.get("FIRN_ENV_FILE") or REPOSITORY / ".env")


def in_file(path: Path) -> Mapping[str, str]:
    """What a settings file sets. Empty text is no value.

    Raises:
        ConfigurationError: it cannot be read, or is not UTF-8.
    """
    try:
        found = path.stat()
        return _parsed(path, found.st_mtime_ns, found.st_size, found.st_ino)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            [f"{path} cannot be read ({type(error).__name__}): save it as UTF-8 text."]
        ) from None


@lru_cache(maxsize=8)
def _parsed(path: Path, *_: int) -> Mapping[str, str]:
    # A long file takes 10 ms, and a DAG file asks for settings dozens of times.
    return {name: value for name, value in dotenv_values(path).items() if value}


def written(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """All variables as they are written: of the environment, else of the settings file.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    of_environment = {name: value for name, value in variables.items() if value}
    return {**in_file(env_file(variables)), **of_environment}


class Settings(BaseModel):
    """Settings from the environment, else from the settings file, else their defaults.

    The file is the one that `FIRN_ENV_FILE` names, by default `.env` beside the Makefile.

    Args:
        values: settings by name, in place of what is written.

    Raises:
        ConfigurationError: values are malformed.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_default=True)

    def __init__(self, **values: Any) -> None:
        variables = values.pop("_variables", os.environ)
        found = written(variables)
        fields = type(self).model_fields
        values = {name: found[name.upper()] for name in fields if name.upper() in found} | values
        try:
            super().__init__(**values)
        except ValidationError as error:
            names = dict.fromkeys(str(one["loc"][0]) for one in error.errors())
            # Not chained: pydantic's error carries the input, and with it the secrets.
            raise ConfigurationError(
                [_sentence(name, values.get(name), variables) for name in names]
            ) from None

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """As a process with these variables would read them.

        Raises:
            ConfigurationError: values are malformed.
        """
        return cls(_variables=variables)

    def variables(self, *fields: str) -> dict[str, str]:
        """Settings as variables for a child process, secrets in the clear; all if none is named."""
        values = {name: getattr(self, name) for name in fields or type(self).model_fields}
        return {
            name.upper(): str(reveal(value) if isinstance(value, SecretStr) else value)
            for name, value in values.items()
            if value is not None
        }


def reveal(secret: SecretStr | None) -> str | None:
    """The text of a secret."""
    return secret.get_secret_value() if secret else None


def origin(name: str, variables: Mapping[str, str] = os.environ) -> str:
    """Where a variable is written, as part of a sentence."""
    return "the environment" if variables.get(name) else str(env_file(variables))


def _sentence(field: str, given: object, variables: Mapping[str, str]) -> str:
    name, found = field.upper(), written(variables)
    where = f" in {origin(name, variables)}" if found.get(name) == given else ""
    expected = f": set it to {REGISTRY[name].title}."
    if name in SECRETS or name.endswith("_URL"):
        return f"{name} cannot be used{where}{expected}"
    shown = str(given)
    for secret in filter(None, map(found.get, SECRETS)):
        shown = shown.replace(secret, "***")
    return f"{name} is {shown[:80]!r}{where}{expected}"


# -- types -----------------------------------------------------------------------------------------


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _from_repository(path: Path) -> Path:
    try:
        return REPOSITORY / path.expanduser()
    except RuntimeError as error:  # ~ of somebody who is not known here
        raise ValueError from error


def _host_names(text: str) -> str:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not all(re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name) for name in names):
        raise ValueError
    return ",".join(names)


def _web_address(text: str) -> str:
    found = urlsplit(text)
    if found.scheme not in {"http", "https"} or not found.hostname or found.port == 0:
        raise ValueError
    return text


def _airflow_address(text: str) -> str:
    found = urlsplit(_web_address(text))
    unsafe = found.scheme == "http" and found.hostname not in HERE
    if unsafe or found.username or found.query or found.fragment:
        raise ValueError
    return text.rstrip("/")


def operating_system_user(environment: Mapping[str, str] = os.environ) -> str:
    """The user's name as an identifier, from variables only, as dbt's profile finds it."""
    names = (environment.get(variable) for variable in ("LOGNAME", "USER", "USERNAME"))
    name = re.sub(r"[^a-z0-9_]", "_", next(filter(None, names), "firn").lower())
    return f"_{name}" if name[0].isdigit() else name


Target = Literal["local", "dev", "ci", "prod"]
Authenticator = Literal["snowflake", "snowflake_jwt", "externalbrowser"]
Lower = BeforeValidator(_lower)
Text = Annotated[str, StringConstraints(strip_whitespace=True)]
Host = Annotated[Text, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Folder = Annotated[Path, AfterValidator(_from_repository)]
"""A path; a relative one starts at the repository."""
Port = Annotated[int, Field(ge=1, le=65535)]
Days = Annotated[int, Field(ge=7, le=36_500)]
"""A week is the least: within it somebody looks at a run that failed."""

PORT, PATH, TEXT = "a port number from 1 to 65535", "a path", "text"
DAYS = "a whole number of days from 7 to 36500"


def _is(expected: str, text: str, default: Any = None, example: str | None = None) -> Any:
    """A setting: what it may be, what it is for, its default, and a value for the example."""
    if callable(default):
        return Field(default_factory=default, title=expected, description=text, examples=[example])
    return Field(default, title=expected, description=text, examples=[example])


# -- settings --------------------------------------------------------------------------------------


class Goal(Settings, title="What to work on"):
    """Where things go."""

    firn_target: Annotated[Target, Lower] = _is(
        "local, dev, ci or prod",
        "local: the warehouse on this machine, no account needed.\n"
        "dev: your own schemas in ANALYTICS_DEV on the account below.\n"
        "ci: the schemas of one pull request in ANALYTICS_CI.\n"
        "prod: ANALYTICS.",
        "local",
    )


class Builds(Settings, title="What to work on"):
    """How schemas are named and models built."""

    firn_user: Annotated[str, Lower, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$")] = _is(
        "a name of letters, digits and underscores, not starting with a digit",
        "The name before your schemas on local and dev, as in ada_mart. Default: your name on this "
        "machine, with everything but letters, digits and underscores replaced.",
        operating_system_user,
        "ada",
    )
    firn_pr_number: Annotated[int, Field(ge=1)] | None = _is(
        "the number of a pull request",
        "The pull request whose schemas are built on ci, as in pr_12_mart. Needed there, unused "
        "elsewhere.",
        example="12",
    )
    firn_dbt_threads: Annotated[int, Field(ge=1, le=64)] = _is(
        "a whole number from 1 to 64",
        "How many models dbt builds at a time. More than the cores helps on an account only.",
        4,
    )


class Home(Settings, title="This machine"):
    """Where everything generated goes."""

    firn_home: Folder = _is(
        PATH,
        "The folder for everything generated: warehouse data, Airflow's home, logs.",
        Path(".firn"),
    )


class Project(Settings, title="This machine"):
    """Where the dbt project is."""

    dbt_project_dir: Folder | None = _is(
        PATH, "dbt's own variable: another folder for the dbt project. Default: dbt here."
    )


class LocalServer(Settings, title="This machine"):
    """The local warehouse."""

    firn_local_port: Port = _is(PORT, "The port of the local warehouse, always on 127.0.0.1.", 8480)
    firn_local_password: SecretStr | None = _is(
        TEXT,
        "The password of the local warehouse. Default: the one that the warehouse makes at its "
        "first start and keeps in local_password in FIRN_HOME. Set it if the warehouse runs with "
        "another FIRN_HOME, for example in another container.",
    )
    firn_local_idle_transaction_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = _is(
        "a number above 0",
        "How many seconds a silent transaction may block others before the local warehouse rolls "
        "it back.",
        60,
    )


class AirflowPage(Settings, title="This machine"):
    """The page of the Airflow that `make up` starts."""

    firn_airflow_port: Port = _is(
        PORT, "The port of Airflow's page that `make up` starts, always on 127.0.0.1.", 8080
    )
    firn_airflow_hosts: Annotated[str, Lower, AfterValidator(_host_names)] = _is(
        "host names alone, such as airflow.internal, with commas between them",
        "More host names under which that page is opened, for example through a tunnel, separated "
        "by commas. Airflow refuses all names but these, 127.0.0.1 and localhost.",
        "",
        "airflow.internal",
    )


class Folders(Settings, title="This machine"):
    """Where files come in and go out."""

    firn_landing: Folder | None = _is(
        PATH,
        "Where files to be loaded are delivered, one folder per domain and source. Default: "
        "landing in FIRN_HOME.",
        example=".firn/landing",
    )
    firn_exports: Folder | None = _is(
        PATH,
        "Where tables are exported to as Parquet files, one folder per layer and table. Default: "
        "data/exports in FIRN_HOME.",
        example=".firn/data/exports",
    )


class GameDatabase(Settings, title="This machine"):
    """What a domain's operational database is."""

    firn_gaming_database_url: Annotated[str, Field(pattern=r"^[\w+]+://")] | None = _is(
        "a database URL, such as postgresql+psycopg://user:password@host:5432/database",
        "The game's operational database, read by `firn load gaming` and the gaming DAGs. Holds a "
        "password: keep .env out of Git. Default: a SQLite file, operational/gaming.db in "
        "FIRN_HOME.",
        example="postgresql+psycopg://user:password@127.0.0.1:5432/game",
    )


class Demo(Settings, title="This machine"):
    """What the demo makes."""

    firn_demo_scale: Annotated[float, Field(gt=0, le=100)] = _is(
        "a number above 0 and up to 100, such as 0.1",
        "How large the demo's data is: the TPC-H scale factor. 0.1 is 600,000 order lines.",
        0.1,
    )


class Logs(Settings, title="Logs and lineage"):
    """How commands log."""

    firn_log_format: Annotated[Literal["text", "json"], Lower] = _is(
        "text or json",
        "How commands write events to stderr. In tasks Airflow decides.",
        "text",
    )


class Lineage(Settings, title="Logs and lineage"):
    """Where lineage events go."""

    firn_openlineage_url: Annotated[str, AfterValidator(_web_address)] | None = _is(
        "the address of the receiver, such as http://127.0.0.1:5000",
        "A receiver of OpenLineage events, such as Marquez; without it none are sent.",
        example="http://127.0.0.1:5000",
    )
    firn_openlineage_api_key: SecretStr | None = _is(
        TEXT, "What that receiver asks for: sent as a bearer token."
    )


class KeptForDbt(Settings, title="How long things are kept"):
    """Days that dbt reads too: its test accounts_add_up does not count what is gone."""

    firn_keep_rejected_rows_days: Days = _is(
        DAYS, "Rejected rows, which hold data as it was delivered.", 180
    )


class Retention(KeptForDbt, title="How long things are kept"):
    """Days that things are kept; the reasons are in `docs/retention.md`."""

    firn_keep_loads_days: Days = _is(DAYS, "Entries of loads, less those that are still read.", 400)
    firn_keep_runs_days: Days = _is(DAYS, "Summaries of runs.", 400)
    firn_keep_monitoring_days: Days = _is(
        DAYS, "Results of tests, runs and measurements in Elementary's tables.", 90
    )
    firn_keep_artifacts_days: Days = _is(
        DAYS, "dbt's artifacts of deployed commits; the newest ten and production's stay.", 90
    )
    firn_keep_files_days: Days = _is(
        DAYS, "Archived and rejected files in the landing folder.", 180
    )
    firn_keep_logs_days: Days = _is(
        DAYS, "Logs of dbt, of tasks and of programs, and results of builds.", 90
    )


class Deployments(Settings, title="Deployments"):
    """What a deployment allows, and where it publishes."""

    firn_deploy_row_change: Annotated[int, Field(ge=0)] = _is(
        "a whole number of percent, 0 or above",
        "Percent by which the rows of a mart may differ from production's; more stops a "
        "deployment.",
        20,
    )
    firn_site: Folder | None = _is(
        PATH,
        "The folder that a deployment publishes dbt's documentation and the report to; none "
        "without it.",
        example="/srv/firn",
    )
    firn_airflow_url: Annotated[str, AfterValidator(_airflow_address)] | None = _is(
        "the address of Airflow's page, such as https://airflow.example.com; with https unless it "
        "is on this machine, and without a user",
        "The Airflow whose pipelines a deployment pauses and resumes, https unless it is on this "
        "machine; without it none is paused.",
        example="https://airflow.example.com",
    )
    firn_airflow_user: str = _is(
        TEXT,
        "A user of it who may read and edit DAGs. For the Airflow of `make up` it is admin.",
        "",
    )
    firn_airflow_password: SecretStr = _is(
        TEXT, "That user's password; `make up` prints the one of admin.", SecretStr("")
    )


class Slack(Settings, title="Messages to Slack"):
    """Where alerts go. Airflow's own name makes the connection of `alerts`."""

    airflow_conn_slack_alerts: SecretStr | None = _is(
        "an Airflow connection in JSON",
        "An incoming webhook, as an Airflow connection in JSON; without it nothing is sent.",
        example='{"conn_type": "slackwebhook", "password": "https://hooks.slack.com/services/..."}',
    )


class Monitoring(Settings, title="Monitoring"):
    """Whether Elementary watches."""

    firn_elementary: Annotated[Literal["auto", "on", "off"], Lower] = _is(
        "auto, on or off",
        "Whether Elementary watches. auto: where its dbt packages are; on: or say what is missing; "
        "off: never. dbt started by hand takes on alone for on.",
        "auto",
    )
    firn_dbt_packages_dir: Folder | None = _is(
        PATH,
        "A folder of dbt packages that were downloaded before, elementary and dbt_utils, one "
        "folder each, for machines that do not reach the dbt hub. Default: dbt_packages in dbt, "
        "which `dbt deps` fills.",
        example="packages",
    )


class Workbook(Settings, title="The workbook report: make workbook"):
    """Where the report comes from and goes to."""

    data_source_path: Path | None = _is(
        PATH,
        "The workbook that is reported on when the command is not given one.",
        example="game.xlsx",
    )
    output_path: Path | None = _is(
        PATH,
        "Where the report goes: a file that ends in .csv, or a folder for "
        "user_activity_hourly.csv. Default: reports in FIRN_HOME, in a folder named after the "
        "workbook.",
        example="report",
    )
    open_data_docs: bool = _is(
        "true or false",
        "Open the pages of the report in a browser when it is done.",
        False,
    )


class Account(Settings, title="A Snowflake account: targets dev, ci and prod"):
    """How to reach an account, and as whom."""

    snowflake_account: Host | None = _is(
        "an account identifier such as myorg-myaccount, without a domain",
        "As in the address of your account before .snowflakecomputing.com. With `local` the local "
        "warehouse plays the account, so that targets ci and prod can be rehearsed; nothing else "
        "is needed then.",
        example="myorg-myaccount",
    )
    snowflake_user: Text | None = _is(TEXT, "The user to log in as.")
    snowflake_warehouse: Text | None = _is(TEXT, "The warehouse to run on.")
    snowflake_role: Text | None = _is(TEXT, "The role. Default: the user's default role.")
    snowflake_loader_role: Text | None = _is(
        TEXT,
        "The role of what writes RAW: ingestion, maintenance, summaries of runs. Default: the one "
        "above. FIRN_LOADER where `firn setup` has set up the account.",
    )
    snowflake_loader_warehouse: Text | None = _is(
        TEXT,
        "The warehouse of what writes RAW. Default: the one above. FIRN_LOADER where `firn setup` "
        "has set up the account.",
    )
    snowflake_host: Host | None = _is(
        "a host name, without https:// or a path",
        "Only where the account is reached under another host, as through a private link.",
    )
    snowflake_password: SecretStr | None = _is(
        TEXT, "A password is the first of three ways to log in."
    )
    snowflake_private_key_path: Folder | None = _is(
        PATH, "The second way, a key pair: the private key's file with its full path."
    )
    snowflake_private_key_passphrase: SecretStr | None = _is(
        TEXT, "The passphrase of that file, if it has one."
    )
    snowflake_authenticator: Annotated[Authenticator, Lower] | None = _is(
        "snowflake, snowflake_jwt or externalbrowser",
        "externalbrowser is the third way, the browser. Otherwise needed only to choose when both "
        "a password and a key are set: snowflake (password) or snowflake_jwt (key pair).",
    )


class AccountNames(Settings, title="A Snowflake account: targets dev, ci and prod"):
    """How what an account has is named."""

    firn_prefix: Annotated[Text, Field(pattern=r"^[^.]+$")] = _is(
        "one word, without a dot",
        "How the names of roles, warehouses and users begin that `firn setup` makes and a "
        "deployment grants to.",
        "FIRN",
    )


class Containers(Settings, title="Containers: docs/images.md"):
    """What compose and the programs of a container read."""

    firn_image: str | None = _is(
        "the name of an image",
        "The image that compose starts. Default: firn:development, which it builds.",
        example="firn:1.0.0",
    )
    firn_base_url: Annotated[str, AfterValidator(_web_address)] | None = _is(
        "the address of Airflow's page, such as https://airflow.example.com",
        "The address under which Airflow's page is reached, behind a proxy that speaks TLS.",
        example="https://airflow.example.com",
    )
    firn_database_password: SecretStr | None = _is(
        TEXT,
        "The password of Airflow's metadata database, put into its address. In a container it, and "
        "each other secret, is better read from a file: the variable of the same name with _FILE "
        "behind it names it.",
    )
    firn_broker_password: SecretStr | None = _is(
        TEXT, "The password of Airflow's queue, put into its address."
    )


class Image(Settings, title="Containers: docs/images.md"):
    """What an image sets."""

    firn_dbt_manifest: Path | None = _is(
        PATH,
        "The dbt manifest that an image was built with. Set by the image; empty to have one "
        "written at the start of a program.",
    )


class OfEnvironment(Settings, title="For the environment only"):
    """What a settings file cannot say."""

    firn_env_file: Path | None = _is(
        PATH, "Read another file instead of .env; an empty file, or /dev/null, reads none."
    )
    firn_test_dbt_packages: Path | None = _is(
        PATH,
        "Downloaded packages of dbt's hub, one folder each, for the tests that need them; without "
        "it those tests are skipped.",
    )


GROUPS: tuple[type[Settings], ...] = (
    *(Goal, Builds, Home, Project, LocalServer, AirflowPage, Folders, GameDatabase, Demo),
    *(Logs, Lineage, Retention, Deployments, Slack, Monitoring, Workbook, Account, AccountNames),
    *(Containers, Image, OfEnvironment),
)

REGISTRY: Mapping[str, FieldInfo] = {
    name.upper(): field for group in GROUPS for name, field in group.model_fields.items()
}
"""Every setting, by the name of its variable."""

SECRETS = frozenset(
    name for name, field in REGISTRY.items() if "SecretStr" in str(field.annotation)
)

IN_FILES = (*sorted(SECRETS), "FIRN_GAMING_DATABASE_URL")
"""What a container may read from files: the variable of the same name with _FILE behind it."""

_ALSO_KNOWN = re.compile(
    # Of a domain; a secret's file in a container; of tests; set by Firn for what it starts.
    r"FIRN_\w+_DATABASE_URL"
    rf"|({'|'.join(IN_FILES)})_FILE"
    r"|FIRN_TEST_\w+|FIRN_HEADLESS|FIRN_BUILD_STAGING"
)


def is_known(name: str) -> bool:
    """Whether Firn reads a variable."""
    return name in REGISTRY or bool(_ALSO_KNOWN.fullmatch(name))


def problems() -> list[str]:
    """What is malformed in any setting, one sentence each."""
    found = []
    for group in GROUPS:
        try:
            group()
        except ConfigurationError as error:
            found += error.problems
    return list(dict.fromkeys(found))
