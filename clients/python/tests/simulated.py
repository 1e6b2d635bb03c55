"""A cluster without a network or a clock: carries out the effects of a call as it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union

from cloudai.core.calling import Context, Timeouts
from cloudai.core.effects import (
    Break,
    Broken,
    Emit,
    Now,
    Open,
    Opened,
    Pause,
    Program,
    Read,
    Reply,
    Request,
    Send,
)
from cloudai.core.endpoints import Endpoints

T = TypeVar("T")

Answer = Union[Reply, Broken]
ENDPOINTS = ("http://a:1", "http://b:1", "http://c:1")


def context(times: dict[str, float] | None = None) -> Context:
    """Make what the calls of a client share, without chance."""
    return Context(Endpoints(ENDPOINTS), Timeouts(**(times or {})), chance=lambda: 1.0)


def problem(
    status: int, kind: str, outcome: str | None = None, retry_after: int | None = None
) -> Reply:
    """Make the answer of a master to a request that has failed."""
    body: dict[str, Any] = {
        "type": f"urn:cloudai:error:{kind}",
        "title": kind,
        "status": status,
        "detail": f"it is {kind}",
    }
    if outcome is not None:
        body["outcome"] = outcome
    headers = {"content-type": "application/problem+json"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return Reply(status, headers, json.dumps(body).encode())


def success(body: object, status: int = 200) -> Reply:
    """Make an answer of success."""
    return Reply(status, {"content-type": "application/json"}, json.dumps(body).encode())


LOST = Broken(Break.LOST)
TIMED_OUT = Broken(Break.TIMED_OUT)
UNREACHABLE = Broken(Break.UNREACHABLE)
UNTRUSTED = Broken(Break.UNTRUSTED)


@dataclass
class Simulation:
    """Runs calls against a function that answers requests."""

    answer: Callable[[str, Request], Answer]
    clock: float = 0.0
    asked: list[tuple[float, str]] = field(default_factory=list)

    def run(self, program: Program[T]) -> T:
        """Run a call and return its answer."""
        result: object = None
        while True:
            try:
                effect = program.send(result)
            except StopIteration as stop:
                answer: T = stop.value
                return answer
            if isinstance(effect, Send):
                result = self._send(effect)
            elif isinstance(effect, Pause):
                assert effect.seconds > 0
                self.clock += effect.seconds
                result = None
            else:
                assert isinstance(effect, Now)
                result = self.clock

    def _send(self, effect: Send) -> Answer:
        self.asked.append((self.clock, effect.endpoint))
        answer = self.answer(effect.endpoint, effect.request)
        is_late = isinstance(answer, Broken) and answer.reason is Break.TIMED_OUT
        self.clock += effect.timeout if is_late else 0.001
        return answer


@dataclass
class StreamSimulation:
    """Runs calls that iterate, against connections whose pieces are given."""

    connect: Callable[[str, Request], list[bytes | Broken | None] | Answer]
    send: Callable[[str, Request], Answer] | None = None
    clock: float = 0.0
    opened: list[Request] = field(default_factory=list)

    def collect(self, program: Program[None], count: int | None = None) -> list[Any]:
        """Return the items that a call emits, or the first so many."""
        found: list[Any] = []
        pieces: list[bytes | Broken | None] = []
        result: object = None
        while count is None or len(found) < count:
            try:
                effect = program.send(result)
            except StopIteration:
                break
            result = None
            if isinstance(effect, Emit):
                found.append(effect.item)
            elif isinstance(effect, Open):
                self.opened.append(effect.request)
                connection = self.connect(effect.endpoint, effect.request)
                if isinstance(connection, list):
                    pieces, result = list(connection), Opened()
                else:
                    result = connection
            elif isinstance(effect, Read):
                result = pieces.pop(0) if pieces else LOST
            elif isinstance(effect, Send):
                assert self.send is not None
                result = self.send(effect.endpoint, effect.request)
            elif isinstance(effect, Pause):
                self.clock += effect.seconds
            else:
                self.clock += 0.001
                result = self.clock
        program.close()
        return found
