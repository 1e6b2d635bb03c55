"""Builds requests of the REST API, and reads their answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TypeVar, Union
from urllib.parse import quote

from ..errors import UnreadableAnswer
from ..model.codec import Json, decode
from .calling import Call, Context, Repeat, Timeouts, perform
from .effects import Program, Reply, Request

T = TypeVar("T")

QueryValue = Union[str, int, bool, None]


def path(*segments: str) -> str:
    """Join segments, each of which may hold anything, to a path below ``/api``."""
    return "/".join(("/api", *(quote(segment, safe="") for segment in segments)))


def query(parameters: Mapping[str, QueryValue | Iterable[str]]) -> tuple[tuple[str, str], ...]:
    """Write the parameters that are given; those with several values are repeated."""
    written: list[tuple[str, str]] = []
    for name, value in parameters.items():
        if value is None or value == "":
            continue
        if isinstance(value, bool):
            written.append((name, "true" if value else "false"))
        elif isinstance(value, (str, int)):
            written.append((name, str(value)))
        else:
            written.extend((name, item) for item in value)
    return tuple(written)


def get(to: str, parameters: Mapping[str, QueryValue | Iterable[str]] | None = None) -> Request:
    """Build a request that reads."""
    return Request("GET", to, query(parameters or {}))


def order(
    method: str, to: str, body: Json = None, *, key: str | None = None, **parameters: QueryValue
) -> Request:
    """Build a request that changes something."""
    headers: list[tuple[str, str]] = []
    content: bytes | None = None
    if body is not None:
        headers.append(("content-type", "application/json"))
        content = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    if key is not None:
        headers.append(("idempotency-key", key))
    return Request(method, to, query(parameters), tuple(headers), content)


def answer_to(
    context: Context,
    request: Request,
    repeat: Repeat = Repeat.READ,
    *,
    key: str | None = None,
    timeouts: Timeouts | None = None,
) -> Program[Reply]:
    """Make a call and return its answer as it is."""
    call = Call(request, repeat, timeouts or context.timeouts, key)
    return (yield from perform(context, call))


def record_of(
    context: Context,
    kind: type[T],
    request: Request,
    repeat: Repeat = Repeat.READ,
    *,
    key: str | None = None,
    timeouts: Timeouts | None = None,
) -> Program[T]:
    """Make a call and return the record that is its answer."""
    reply = yield from answer_to(context, request, repeat, key=key, timeouts=timeouts)
    return decode(kind, json_of(reply))


def json_of(reply: Reply) -> object:
    """Return the value of JSON in an answer."""
    try:
        value: object = json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswer(f"an answer is no JSON: {error}") from error
    return value
