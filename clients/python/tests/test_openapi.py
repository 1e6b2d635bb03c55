"""Records and requests are those of the API's description, `docs/openapi.json`."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import httpx
import pytest

import cloudai
from cloudai import (
    Client,
    CloudAIError,
    QueueRate,
    QueueSpec,
    ScheduleSpec,
    TaskSelection,
    TaskSpec,
)
from cloudai.errors import _BY_KIND
from cloudai.model.codec import OpenEnum

DESCRIPTION: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[3] / "docs" / "openapi.json").read_text(encoding="utf-8")
)
SCHEMAS: dict[str, Any] = DESCRIPTION["components"]["schemas"]
# Lists of the API that the client hands on in parts, and what it has of its own.
OF_OUR_OWN = {"Position"}

SCALARS: dict[Any, set[str]] = {
    str: {"string"},
    int: {"integer"},
    float: {"number"},
    bool: {"boolean"},
    datetime: {"string"},
    # A text, or an object with the bytes in base64.
    bytes: {"string", "object"},
    type(None): set(),
}


def of_ours(base: type) -> list[type]:
    exported = [getattr(cloudai, name) for name in cloudai.__all__]
    records = [value for value in exported if isinstance(value, type) and issubclass(value, base)]
    return [
        record
        for record in records
        if record.__module__.startswith("cloudai.model")
        and not record.__module__.endswith("events")
        and record.__name__ not in OF_OUR_OWN
    ]


RECORDS = [record for record in of_ours(object) if dataclasses.is_dataclass(record)]
ENUMS = of_ours(OpenEnum)


def forms(schema: Mapping[str, Any]) -> set[str]:
    """Return the kinds of values that a schema allows, without null."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return {"string"} if SCHEMAS[name].get("type") == "string" else {name}
    for key in ("oneOf", "anyOf", "allOf"):
        if key in schema:
            return set().union(*(forms(option) for option in schema[key])) - {"null"}
    if "enum" in schema or "const" in schema:
        return {"string"}
    named = schema["type"]
    return set([named] if isinstance(named, str) else named) - {"null"}


def forms_of_ours(hint: Any) -> set[str]:
    """Return the kinds of values that a field of ours holds, without None."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return set().union(*(forms_of_ours(option) for option in get_args(hint)))
    if origin is Literal:
        return {"string"}
    if origin is not None:
        return {"array" if origin in (tuple, Sequence) else "object"}
    if hint in SCALARS:
        return SCALARS[hint]
    return {"string"} if issubclass(hint, OpenEnum) else {hint.__name__}


def test_there_are_records_to_compare() -> None:
    assert len(RECORDS) > 20
    assert len(ENUMS) > 5


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_a_record_has_the_fields_of_the_api(record: type) -> None:
    properties = SCHEMAS[record.__name__]["properties"]
    ours = {field.name for field in dataclasses.fields(record)}
    assert ours == set(properties)
    hints = get_type_hints(record)
    for field in dataclasses.fields(record):
        given = forms_of_ours(hints[field.name])
        if "form" in field.metadata:
            # It takes times and time spans of Python, and writes texts.
            given = {"string"}
        if hints[field.name] == Mapping[str, Any]:
            # A body that is shown as it is.
            continue
        assert given <= forms(properties[field.name]), field.name


@pytest.mark.parametrize("kind", ENUMS, ids=lambda kind: kind.__name__)
def test_an_enum_has_the_values_of_the_api(kind: type[OpenEnum]) -> None:
    schema = SCHEMAS[kind.__name__]
    values = schema.get("enum") or [option["const"] for option in schema["oneOf"]]
    assert {member.value for member in kind} == set(values)


def test_every_kind_of_problem_has_an_exception() -> None:
    described = re.findall(r"urn:cloudai:error:([a-z-]+)", json.dumps(DESCRIPTION))
    assert set(described) <= set(_BY_KIND)


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "submit": (TaskSpec(command=["true"]),),
    "submit_many": ([TaskSpec(command=["true"])],),
    "wait_all": (["t1"],),
    "cancel_tasks": (TaskSelection(all=True),),
    "retry_tasks": (TaskSelection(all=True),),
    "create_schedule": (ScheduleSpec(name="n", cron="@daily", task=TaskSpec(command=["true"])),),
    "replace_schedule": (ScheduleSpec(name="n", cron="@daily", task=TaskSpec(command=["true"])),),
    "put_queue": (QueueSpec(name="q", rate=QueueRate(starts=1, per=1)),),
    "cordon": ("worker-1",),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "tasks": {
        "state": "failed",
        "worker": "w",
        "label": "a=b",
        "name_prefix": "n",
        "priority": 1,
        "page_size": 5,
    },
    "logs": {"stream": "stdout", "attempt": 1, "tail": 5, "follow": True},
    "events": {
        "topics": ["tasks"],
        "types": ["task_status"],
        "tasks": ["t1"],
        "labels": {"a": "b"},
    },
    "queue": {"classes": 3},
    "drain": {"deadline": 5},
    "next_runs": {"count": 3},
}


def requests() -> Iterator[tuple[str, httpx.Request]]:
    """Return the first request of each method."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(418)

    with Client("a:1", transport=httpx.MockTransport(handle)) as client:
        for name, method in inspect.getmembers(client, inspect.ismethod):
            if name.startswith("_") or name in ("close", "from_env"):
                continue
            needed = [
                parameter
                for parameter in inspect.signature(method).parameters.values()
                if parameter.default is parameter.empty
            ]
            arguments = ARGUMENTS.get(name, ("x1",) * len(needed))
            options = OPTIONS.get(name, {})
            if "consistency" in inspect.signature(method).parameters:
                options = {**options, "consistency": "stale"}
            with pytest.raises(CloudAIError):
                answer = method(*arguments, **options)
                next(answer)
            yield name, seen.pop()
            assert not seen


@pytest.mark.parametrize(("name", "request_"), list(requests()), ids=lambda value: str(value)[:20])
def test_a_request_is_one_of_the_api(name: str, request_: httpx.Request) -> None:
    def matches(path: str) -> bool:
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))
        return re.fullmatch(pattern, request_.url.path) is not None

    # A path without parameters takes precedence.
    (path, *_) = sorted(filter(matches, DESCRIPTION["paths"]), key=lambda path: path.count("{"))
    operation = DESCRIPTION["paths"][path][request_.method.lower()]
    listed = [_resolved(parameter) for parameter in operation.get("parameters", [])]
    known = {parameter["name"] for parameter in listed if parameter["in"] == "query"}
    assert set(request_.url.params) <= known
    assert bool(request_.content) == ("requestBody" in operation)
    headers = {parameter["name"].lower() for parameter in listed if parameter["in"] == "header"}
    if "idempotency-key" in request_.headers:
        assert "idempotency-key" in headers


def _resolved(parameter: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in parameter:
        return parameter
    found: dict[str, Any] = DESCRIPTION["components"]["parameters"][
        parameter["$ref"].rpartition("/")[2]
    ]
    return found
