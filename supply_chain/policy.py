"""The decisions of `policy.yml`, and which packages are locked."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

REPOSITORY = Path(__file__).resolve().parents[1]
POLICY = Path(__file__).with_name("policy.yml")


class PolicyError(ValueError):
    """The policy or a lock cannot be used; the message says where and what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_min_length=1)


class LicenceException(_Strict):
    """A package under a licence that is not allowed in general."""

    licence: str
    reason: str


class Vulnerability(_Strict):
    """A vulnerability that is known and left until a day."""

    id: str
    reason: str
    until: date


class Policy(_Strict):
    """What is allowed, with reasons."""

    licences: list[str]
    exceptions: dict[str, LicenceException]
    vulnerabilities: list[Vulnerability]

    @classmethod
    def read(cls, file: Path = POLICY) -> Policy:
        """The policy of a file.

        Raises:
            PolicyError: it is not readable, or has something that no policy has.
        """
        try:
            return cls.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError) as error:
            raise PolicyError(f"{file} cannot be read ({type(error).__name__}).") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise PolicyError(f"{file}: {where}: {first['msg']}.") from None


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(file: Path) -> dict[str, str]:
    """The packages of a lock with their versions, those of other platforms too.

    Raises:
        PolicyError: the file is no lock.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyError(f"{file} cannot be read ({type(error).__name__}).") from None
    found = re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)", text)
    if not found:
        raise PolicyError(f"{file} locks no package: make it with `make lock`.")
    return {normal(name): version for name, version in found}
