"""Both clients do over httpx what the calls want, and tell what has become of it alike."""

from __future__ import annotations

import asyncio
import inspect
import json
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

import cloudai
from cloudai import (
    AsyncClient,
    Client,
    CloudAIError,
    NotConfigured,
    NotFound,
    OutcomeUnknown,
    TaskEvent,
    TaskSpec,
    Unauthorized,
    Unavailable,
    Untrusted,
)

SPEC = TaskSpec(command=["true"])
Handler = Callable[[httpx.Request], httpx.Response]
# Calls one of a client's methods and returns the answer, or the list of what it iterates over.
Caller = Callable[..., Any]


def call_sync(handler: Handler, method: str, *arguments: Any, **options: Any) -> Any:
    transport = httpx.MockTransport(handler)
    with Client("a:1,b:1,c:1", transport=transport, timeout=0.5, token="clu_x") as client:
        answer = getattr(client, method)(*arguments, **options)
        return list(answer) if inspect.isgenerator(answer) else answer


def call_async(handler: Handler, method: str, *arguments: Any, **options: Any) -> Any:
    async def call() -> Any:
        transport = httpx.MockTransport(handler)
        async with AsyncClient(
            ["a:1", "b:1", "c:1"], transport=transport, timeout=0.5, token=lambda: "clu_x"
        ) as client:
            answer = getattr(client, method)(*arguments, **options)
            if inspect.isasyncgen(answer):
                return [item async for item in answer]
            return await answer

    return asyncio.run(call())


@pytest.fixture(params=[call_sync, call_async])
def call(request: pytest.FixtureRequest) -> Caller:
    caller: Caller = request.param
    return caller


def accepted(request: httpx.Request) -> httpx.Response:
    tasks = json.loads(request.content)
    if isinstance(tasks, dict):
        return httpx.Response(201, json={"task_id": "t1", "state": "queued"})
    listed = [{"task_id": f"t{at}", "state": "queued"} for at, _ in enumerate(tasks)]
    return httpx.Response(201, json=listed)


def failing_first(error: Exception, times: int) -> tuple[Handler, list[httpx.Request]]:
    """Return what fails so often and then accepts, and the requests that it is sent."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if len(seen) <= times:
            raise error
        return accepted(request)

    return handle, seen


BREAKS = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("too long"),
    httpx.PoolTimeout("full"),
    httpx.ReadError("reset"),
    httpx.WriteError("reset"),
    httpx.ReadTimeout("silence"),
    httpx.WriteTimeout("silence"),
    httpx.RemoteProtocolError("server disconnected without sending a response"),
]


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
def test_a_broken_submission_is_repeated_elsewhere_under_its_key(
    call: Caller, error: Exception
) -> None:
    handler, seen = failing_first(error, times=2)
    assert call(handler, "submit", SPEC).task_id == "t1"
    assert len({request.url.host for request in seen}) == 3
    assert len({request.headers["idempotency-key"] for request in seen}) == 1
    assert len({request.content for request in seen}) == 1

    handler, again = failing_first(error, times=0)
    call(handler, "submit", SPEC)
    assert again[0].headers["idempotency-key"] != seen[0].headers["idempotency-key"]


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
def test_a_broken_change_without_a_key_is_repeated_only_if_it_was_never_sent(
    call: Caller, error: Exception
) -> None:
    handler, seen = failing_first(error, times=1000)
    was_sent = not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
    with pytest.raises(OutcomeUnknown if was_sent else Unavailable):
        call(handler, "cordon", "worker-1")
    assert (len(seen) == 1) == was_sent


def test_certificates_that_nobody_believes_end_a_call(call: Caller) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("bad") from ssl.SSLCertVerificationError("self-signed")

    with pytest.raises(Untrusted):
        call(handle, "get", "t1")

    def alert(_: httpx.Request) -> httpx.Response:
        refused = ssl.SSLError(1, "alert")
        refused.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
        raise httpx.ReadError("bad") from refused

    with pytest.raises(Untrusted):
        call(alert, "cordon", "worker-1")


def test_a_problem_is_an_exception_with_its_pointers(call: Caller) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer clu_x"
        body = {
            "type": "urn:cloudai:error:invalid-task",
            "title": "The task is not valid",
            "status": 422,
            "detail": "two faults",
            "errors": [{"pointer": "/priority", "detail": "too high"}],
            "outcome": "rejected",
            "request_id": "r-1",
        }
        headers = {"content-type": "application/problem+json"}
        return httpx.Response(422, headers=headers, content=json.dumps(body).encode())

    with pytest.raises(cloudai.Invalid, match="two faults \\(/priority: too high\\)") as caught:
        call(handle, "submit", SPEC)
    assert caught.value.faults == (cloudai.Fault("/priority", "too high"),)
    assert caught.value.problem.request_id == "r-1"
    assert caught.value.outcome is cloudai.Outcome.REJECTED


def test_many_tasks_are_one_submission(call: Caller) -> None:
    handler, seen = failing_first(httpx.ReadError("reset"), times=1)
    submitted = call(handler, "submit_many", [SPEC, SPEC], key="mine")
    assert [task.task_id for task in submitted] == ["t0", "t1"]
    assert {request.headers["idempotency-key"] for request in seen} == {"mine"}
    assert call(handler, "submit_many", []) == []


def test_a_list_goes_on_until_there_is_no_cursor(call: Caller) -> None:
    task = {"state": "queued", "priority": 50, "command": ["a"], "index": 1}
    task["submitted_at"] = "2026-01-01T00:00:00.000Z"
    pages = {
        None: {"tasks": [{**task, "task_id": "t3"}], "next_cursor": "x"},
        "x": {"tasks": [], "next_cursor": "y"},
        "y": {"tasks": [{**task, "task_id": "t1"}], "next_cursor": None},
    }
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.query.decode())
        return httpx.Response(200, json=pages[request.url.params.get("cursor")])

    found = call(handle, "tasks", label="team=x", page_size=1, state=cloudai.TaskState.QUEUED)
    assert [task.task_id for task in found] == ["t3", "t1"]
    assert seen[0] == "state=queued&label=team%3Dx&limit=1"


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Body that arrives in pieces, and may break."""

    def __init__(self, pieces: Iterable[bytes], error: Exception | None = None) -> None:
        self._pieces = list(pieces)
        self._error = error

    def __iter__(self) -> Any:
        yield from self._pieces
        if self._error is not None:
            raise self._error

    async def __aiter__(self) -> Any:
        for piece in self._pieces:
            yield piece
        if self._error is not None:
            raise self._error


def test_events_are_followed_over_connections(call: Caller) -> None:
    def told(index: int) -> bytes:
        event = {"type": "task_status", "task_id": "t1", "state": "running", "index": index}
        event["timestamp"] = "2026-01-01T00:00:00.000Z"
        return f"id: {index}\ndata: {json.dumps(event)}\n\n".encode()

    streams = [
        Pieces([b"id: 4\n\n", told(5)[:20], told(5)[20:]], httpx.ReadError("reset")),
        Pieces([told(6)]),
    ]
    seen: list[str | None] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("last-event-id"))
        if streams:
            return httpx.Response(200, stream=streams.pop(0))
        return problem(401, "unauthenticated")

    with pytest.raises(Unauthorized):
        call(handle, "events", topics=["tasks"], from_index=3)
    assert seen == ["3", "5", "6"]


def problem(status: int, kind: str) -> httpx.Response:
    body = {"type": f"urn:cloudai:error:{kind}", "status": status, "title": "", "detail": kind}
    headers = {"content-type": "application/problem+json"}
    return httpx.Response(status, headers=headers, content=json.dumps(body).encode())


def test_an_iteration_that_is_left_closes_its_stream() -> None:
    closed: list[bool] = []

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            for index in range(1, 1000):
                event = f'{{"type": "storm", "index": {index}}}'
                yield f"id: {index}\ndata: {event}\n\n".encode()

        def close(self) -> None:
            closed.append(True)

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))
    with Client("a:1", transport=transport) as client:
        for event in client.events():
            assert not isinstance(event, TaskEvent)
            break
        else:
            pytest.fail("there are events")
    assert closed == [True]


def test_a_log_is_read_and_its_absence_is_told(call: Caller) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/tasks/t1/logs":
            assert request.url.query == b"stream=stderr&tail=5"
            return httpx.Response(200, stream=Pieces([b"a", b"b"]))
        return problem(404, "not-found")

    assert call(handle, "logs", "t1", stream="stderr", tail=5) == [b"a", b"b"]
    with pytest.raises(NotFound):
        call(handle, "logs", "t2")


def test_clients_have_the_same_methods() -> None:
    def signatures(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {
            name.replace("__a", "__"): list(inspect.signature(method).parameters)
            for name, method in methods
        }

    assert signatures(Client) == signatures(AsyncClient)


@pytest.mark.parametrize(
    "endpoint",
    ["", "http://", "ftp://a:1", "http://a:1/api", "http://a:port", "http://u@a:1", "a b"],
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(NotConfigured):
        Client(endpoint)


def test_credentials_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("clu_secret\n")
    file.chmod(0o644)
    with pytest.raises(NotConfigured, match="chmod 600"):
        Client("a:1", token_file=file)
    with pytest.raises(NotConfigured, match="exclude each other"):
        Client("a:1", token_file=file, token="clu_x")
    with pytest.raises(NotConfigured, match="belong together"):
        Client("a:1", cert=file)
    with pytest.raises(NotConfigured, match=str(file)):
        Client("a:1", ca=file)
    with pytest.raises(NotConfigured, match="CLOUDAI_HTTP_ENDPOINTS"):
        Client.from_env({})

    file.chmod(0o600)
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return accepted(request)

    with Client("a:1", token_file=file, transport=httpx.MockTransport(handle)) as client:
        client.submit(SPEC)
    assert seen == ["Bearer clu_secret"]


def test_a_token_that_no_header_can_hold_is_named() -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError("Illegal header value")

    with (
        Client("a:1", transport=httpx.MockTransport(handle)) as client,
        pytest.raises(NotConfigured, match="Illegal header value"),
    ):
        client.get("t1")


def test_every_error_is_of_this_package() -> None:
    errors = [value for value in vars(cloudai).values() if isinstance(value, type)]
    errors = [error for error in errors if issubclass(error, Exception)]
    assert len(errors) > 15
    assert all(issubclass(error, CloudAIError) for error in errors)
