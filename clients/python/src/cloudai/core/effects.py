"""What a call wants done, and what has come of it.

A call is a generator, a :data:`Program`: it yields effects, is sent what has come of each, and returns
the answer. A driver carries effects out, with threads or with asyncio. So everything that is decided,
such as whom to ask, when to ask again and what an answer means, is written once and without a network.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar, Union

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A request of HTTP, to whichever endpoint."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


@dataclass(frozen=True)
class Reply:
    """An answer of HTTP. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Break(Enum):
    """Reason that there is no answer."""

    UNREACHABLE = "cannot be reached"
    """The request was never sent."""
    UNTRUSTED = "is not trusted, or does not trust us"
    """One side does not believe the other's certificate. The request was never worked on."""
    LOST = "has broken the connection"
    """The connection broke before the answer was there."""
    TIMED_OUT = "has not answered in time"
    """There was no answer in time."""


@dataclass(frozen=True)
class Broken:
    """There is no answer, or no more of it."""

    reason: Break
    detail: str = ""

    @property
    def may_have_arrived(self) -> bool:
        """True if the master may have worked on the request."""
        return self.reason in (Break.LOST, Break.TIMED_OUT)


@dataclass(frozen=True)
class Send:
    """Send a request and read the whole answer. Comes to a Reply or to Broken."""

    endpoint: str
    request: Request
    timeout: float


@dataclass(frozen=True)
class Open:
    """Send a request and begin to read the answer, in place of one that is open.

    Comes to Opened, to a Reply of another status than 200, or to Broken.
    """

    endpoint: str
    request: Request
    timeout: float


@dataclass(frozen=True)
class Opened:
    """The body of an answer can be read."""

    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """Read some more of what is open. Comes to bytes, to None at its end, or to Broken."""

    timeout: float


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds. Comes to nothing."""

    seconds: float


@dataclass(frozen=True)
class Now:
    """Read a clock that does not jump. Comes to seconds."""


@dataclass(frozen=True)
class Emit:
    """Hand an item to whoever iterates. Comes to nothing."""

    item: Any


Effect = Union[Send, Open, Read, Pause, Now, Emit]
Result = Union[Reply, Opened, Broken, bytes, float, None]
Program = Generator[Effect, Any, T]


def send(endpoint: str, request: Request, timeout: float) -> Program[Reply | Broken]:
    """Send a request and read the whole answer."""
    result = yield Send(endpoint, request, timeout)
    assert isinstance(result, (Reply, Broken))
    return result


def open_stream(
    endpoint: str, request: Request, timeout: float
) -> Program[Opened | Reply | Broken]:
    """Send a request and begin to read the answer."""
    result = yield Open(endpoint, request, timeout)
    assert isinstance(result, (Opened, Reply, Broken))
    return result


def read(timeout: float) -> Program[bytes | Broken | None]:
    """Read some more of what is open."""
    result = yield Read(timeout)
    assert result is None or isinstance(result, (bytes, Broken))
    return result


def pause(seconds: float) -> Program[None]:
    """Wait so many seconds."""
    yield Pause(seconds)


def now() -> Program[float]:
    """Read the clock."""
    result = yield Now()
    assert isinstance(result, float)
    return result


def emit(item: object) -> Program[None]:
    """Hand an item to whoever iterates."""
    yield Emit(item)
