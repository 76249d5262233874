"""Requests of clients: read up to a limit, and validated before they are used."""

from __future__ import annotations

import zlib
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from . import wire

REQUEST_BYTES = 64 * 1024**2
"""The largest request, packed or unpacked. Bound values are part of it, files are not."""

LOGIN_BYTES = 1024**2
"""The same for a login request, which anybody may send."""

Value = str | None
Parameter = str | int | float | bool | None
Model = TypeVar("Model", bound="Body")


class Body(BaseModel):
    """The JSON of a request. Fields that are not declared are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Credentials(Body):
    """The user, the password or token, and the parameters of the session."""

    user: str | None = Field(None, alias="LOGIN_NAME")
    password: str | None = Field(None, alias="PASSWORD", repr=False)
    authenticator: str | None = Field(None, alias="AUTHENTICATOR")
    token: str | None = Field(None, alias="TOKEN", repr=False)
    parameters: dict[str, Parameter] | None = Field(None, alias="SESSION_PARAMETERS")


class Login(Body):
    """A request for a session."""

    data: Credentials


class Binding(Body):
    """A bound value, or one for each row."""

    type: str
    value: Value | list[Value]


class Query(Body):
    """A request to run a statement."""

    sql: str = Field(alias="sqlText")
    describe_only: bool | None = Field(None, alias="describeOnly")
    bindings: dict[Annotated[str, Field(max_length=255)], Binding] | None = None


class Abort(Body):
    """A request to cancel the statement of another request."""

    request_id: str | None = Field(None, alias="requestId")


class Batch:
    """Rows of values for one statement."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows


async def read(request: Request, model: type[Model], limit: int = REQUEST_BYTES) -> Model:
    """Read and validate the body of a request.

    Raises:
        HTTPException: it is too large, or does not fit the model.
    """
    try:
        return model.model_validate_json(await _content(request, limit))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise HTTPException(
            400, f"The request cannot be read: {f'{place}: ' if place else ''}{first['msg']}."
        ) from None


async def _content(request: Request, limit: int) -> bytes:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "The request must have the content type application/json.")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise HTTPException(415, "The request may be compressed with gzip and with nothing else.")
    unzip = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    received, content = 0, bytearray()
    async for chunk in request.stream():
        received += len(chunk)
        if max(received, len(content)) > limit:
            # Read on to the end: a client reads the answer only after it has sent everything.
            continue
        try:
            content += unzip.decompress(chunk, limit + 1 - len(content)) if unzip else chunk
        except zlib.error:
            raise HTTPException(
                400, "The request is marked as gzip but is not gzip data."
            ) from None
    if max(received, len(content)) > limit:
        raise HTTPException(
            413,
            f"The request is larger than {limit // 1024**2} MiB: send fewer values at a time, or "
            "PUT a file and COPY it.",
        )
    if unzip and (not unzip.eof or unzip.unused_data):
        raise HTTPException(
            400, "The request is marked as gzip but is incomplete or has extra data."
        )
    return bytes(content)


def bound(bindings: dict[str, Binding] | None) -> list[Any] | dict[str, Any] | Batch | None:
    """The values of a statement: by position, by name, or by position for many rows.

    Raises:
        HTTPException: a value does not fit its type, or a value is missing.
    """
    if not bindings:
        return None
    if not all(name.isdecimal() for name in bindings):
        return {name: _value(name, one.type, one.value) for name, one in bindings.items()}
    positions = [str(position) for position in range(1, len(bindings) + 1)]
    if missing := [position for position in positions if position not in bindings]:
        raise HTTPException(400, f"The value of placeholder {missing[0]} is missing.")
    ordered = [(position, bindings[position]) for position in positions]
    if not any(isinstance(one.value, list) for _, one in ordered):
        return [_value(position, one.type, one.value) for position, one in ordered]
    columns = [
        [_value(position, one.type, value) for value in one.value]
        for position, one in ordered
        if isinstance(one.value, list)
    ]
    if len(columns) < len(ordered) or len({len(column) for column in columns}) > 1:
        raise HTTPException(400, "Every placeholder must have a value for each row.")
    return Batch(list(zip(*columns, strict=True)))


def _value(name: str, kind: str, value: Value | list[Value]) -> Any:
    try:
        return wire.bound({"type": kind, "value": value})
    except (ValueError, ArithmeticError, AttributeError, TypeError):
        # A client can send a name and a type of any length.
        raise HTTPException(
            400, f"The value of placeholder {name[:20]} is not a valid {kind[:20]}."
        ) from None
