"""Failures, as a program sees them.

Everything that this package raises by itself is a :class:`CloudAIError`. What a master has answered is
a :class:`Refused`, by its kind; :class:`Unavailable` says that nobody has answered, and
:class:`OutcomeUnknown` that a change may have been made although nobody has confirmed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Task

_URI_PREFIX = "urn:cloudai:error:"


class Outcome(str, Enum):
    """Effect of a change that has failed."""

    REJECTED = "rejected"
    """Nothing has happened."""
    UNKNOWN = "unknown"
    """It may have taken effect."""


@dataclass(frozen=True)
class Fault:
    """One fault of a request."""

    pointer: str
    """JSON pointer (RFC 6901) into the request; empty for the whole."""
    detail: str
    """Description of the fault."""

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail


@dataclass(frozen=True)
class Problem:
    """Answer of a master to a request that has failed (RFC 9457)."""

    status: int
    """Status of the HTTP answer."""
    kind: str
    """Stable name of the error, as in ``"no-leader"``; empty if the answer names none."""
    title: str
    """Title, the same for every problem of the kind."""
    detail: str
    """Description of this occurrence, for people."""
    faults: tuple[Fault, ...] = ()
    """Every single fault, where there are several or they have a place."""
    outcome: Outcome | None = None
    """Outcome of a change; absent where the answer does not say."""
    request_id: str | None = None
    """Id of the request, which the log of the master has, too."""
    retry_after: float | None = None
    """Seconds to wait before the request is repeated; absent where the answer does not say."""

    def __str__(self) -> str:
        untold = [str(fault) for fault in self.faults if str(fault) not in self.detail]
        return f"{self.detail} ({'; '.join(untold)})" if untold else self.detail


class CloudAIError(Exception):
    """A call has failed."""

    outcome: Outcome = Outcome.REJECTED
    """Effect of the change that was asked for. Of a call that changes nothing it says nothing."""


class NotConfigured(CloudAIError, ValueError):
    """The client was given something that it cannot work with."""


class Refused(CloudAIError):
    """A master has refused the request."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem

    @property
    def kind(self) -> str:
        """Stable name of the error, as in ``"no-leader"``."""
        return self.problem.kind

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every single fault, with a JSON pointer into the request."""
        return self.problem.faults

    def __reduce__(self) -> tuple[type[Refused], tuple[Problem]]:
        return type(self), (self.problem,)


class Invalid(Refused):
    """The request cannot be read, or a value in it is not allowed (400, 413, 415, 422)."""


class LimitReached(Refused):
    """A configured bound would be exceeded (422 ``limit-reached``)."""


class Unauthorized(Refused):
    """The credentials are absent, wrong, expired or revoked (401)."""


class Forbidden(Refused):
    """The credentials do not allow it (403)."""


class NotFound(Refused):
    """What was asked for does not exist (404)."""


class Conflict(Refused):
    """The present state does not allow it (409)."""


class IdempotencyConflict(Conflict):
    """The idempotency key was used for another request."""


class IndexAhead(Conflict):
    """The index is not one of this cluster's log."""


class Overloaded(Refused):
    """There is no room for it now (429): ``overloaded``, ``queue-full`` or ``disk-full``."""


class NoLeader(Refused):
    """The cluster has no leader, or the master that was asked does not reach it (503)."""


class ServerError(Refused):
    """The master has failed, or something in front of it (5xx)."""


class Unavailable(CloudAIError):
    """No master has answered, and no request can have taken effect."""


class Untrusted(Unavailable):
    """One side does not believe the other's certificate, whichever master is asked."""


class OutcomeUnknown(CloudAIError):
    """A change may have taken effect or not: its answer was lost.

    ``idempotency_key`` is that of a call that has one: with the same key and the same arguments the call
    may be repeated at any time within 24 hours, and has its effect once. The cause is the failure that
    has ended the call.
    """

    outcome = Outcome.UNKNOWN

    def __init__(self, message: str, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class WaitTimeout(CloudAIError, TimeoutError):
    """What was waited for has not happened in time."""


class LogInterrupted(CloudAIError):
    """The rest of an output cannot be shown without a gap or a repetition."""


class UnreadableAnswer(CloudAIError):
    """An answer is not what the API promises."""

    outcome = Outcome.UNKNOWN


class TaskFailed(CloudAIError):
    """A task that was to return a result has ended without one."""

    def __init__(self, message: str, task: Task) -> None:
        super().__init__(message)
        self.task = task


class RemoteError(CloudAIError):
    """A function has raised an exception on a worker.

    It is the cause of the exception if that could be carried back, and is raised itself otherwise.
    """


_BY_KIND: dict[str, type[Refused]] = {
    "malformed": Invalid,
    "unknown-field": Invalid,
    "invalid-task": Invalid,
    "invalid-value": Invalid,
    "too-large": Invalid,
    "unsupported-media-type": Invalid,
    "method-not-allowed": Invalid,
    "unauthenticated": Unauthorized,
    "forbidden": Forbidden,
    "not-found": NotFound,
    "conflict": Conflict,
    "idempotency-conflict": IdempotencyConflict,
    "name-in-use": Conflict,
    "index-ahead": IndexAhead,
    "too-few-voters": Conflict,
    "not-caught-up": Conflict,
    "limit-reached": LimitReached,
    "queue-full": Overloaded,
    "overloaded": Overloaded,
    "disk-full": Overloaded,
    "request-timeout": Overloaded,
    "no-leader": NoLeader,
    "not-leader": NoLeader,
    "timeout": ServerError,
    "internal": ServerError,
}

_BY_STATUS: dict[int, type[Refused]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    408: Overloaded,
    429: Overloaded,
    503: NoLeader,
}


def kind_of(type_uri: str) -> str:
    """Return the stable name in the ``type`` of a problem; empty for one of somebody else."""
    return type_uri[len(_URI_PREFIX) :] if type_uri.startswith(_URI_PREFIX) else ""


def refusal(problem: Problem) -> Refused:
    """Make the exception for a problem."""
    fallback = Invalid if 400 <= problem.status < 500 else ServerError
    by_status = _BY_STATUS.get(problem.status, fallback)
    refused = _BY_KIND.get(problem.kind, by_status)(problem)
    if problem.outcome is not None:
        refused.outcome = problem.outcome
    return refused
