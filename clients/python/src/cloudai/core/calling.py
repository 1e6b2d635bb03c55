"""Makes a call: asks one master after the other until an answer is final.

**Invariant:** an answer that was lost is never taken for a refusal. Either the request is repeated, which
is safe because it only reads or has an idempotency key, or the call ends with OutcomeUnknown.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar, Union

from ..errors import (
    CloudAIError,
    Outcome,
    OutcomeUnknown,
    Problem,
    Refused,
    Unavailable,
    Untrusted,
    refusal,
)
from .effects import Break, Broken, Program, Reply, Request, now, pause, send
from .endpoints import Endpoints
from .problems import read_problem

T = TypeVar("T")

BACKOFF_FIRST = 0.02
"""Pause before an endpoint is asked again that has failed once. An election takes some hundred
milliseconds: a much longer pause would show in every failover."""
BACKOFF_MAX = 0.5
"""Longest pause of ours; a master may ask for a longer one."""

FIRST_WAIT_MAX = 1.0
"""Longest wait of a call for endpoints that have failed other calls: then it finds out for itself."""

_TRANSIENT_KINDS = frozenset({"queue-full", "overloaded", "no-leader", "not-leader", "timeout"})
"""Kinds of problems that a moment later may be gone."""
_ABOUT_THE_MASTER = frozenset({"no-leader", "not-leader", "timeout"})
"""Kinds of problems that another master may not have."""
_GATEWAY_STATUSES = frozenset({502, 503, 504})
"""Answers of proxies that have lost the master behind them."""
_MAY_HAVE_HAPPENED = frozenset({"timeout", "internal"})
"""Kinds of problems after which, unless they say otherwise, a change may have been made."""


class Repeat(Enum):
    """Rule for repeating a call."""

    READ = "read"
    """It changes nothing."""
    ALWAYS = "always"
    """A second time has no further effect."""
    UNLESS_AMBIGUOUS = "unless-ambiguous"
    """It is repeated only if the first time certainly had no effect."""


@dataclass(frozen=True)
class Timeouts:
    """Times of a client, in seconds."""

    attempt: float = 6.0
    """For one attempt: longer than the 5 s for which a master holds a request without a leader."""
    call: float = 30.0
    """For a call with all its attempts."""

    def longer_by(self, seconds: float) -> Timeouts:
        """Return the same for a call that takes so much longer to answer."""
        return Timeouts(self.attempt + seconds, self.call + seconds)


@dataclass
class Context:
    """What the calls of a client share."""

    endpoints: Endpoints
    timeouts: Timeouts = field(default_factory=Timeouts)
    chance: Callable[[], float] = random.random
    """Draws a number from 0 to 1, by which pauses are shortened to half at most."""


@dataclass(frozen=True)
class Call:
    """A request with its rules."""

    request: Request
    repeat: Repeat
    timeouts: Timeouts
    key: str | None = None
    """Idempotency key, for the error that says that the outcome is unknown."""


Failure = Union[Broken, Problem]


def is_transient(failure: Failure) -> bool:
    """Return true if the same request may succeed a moment later."""
    if isinstance(failure, Broken):
        return True
    if failure.kind:
        return failure.kind in _TRANSIENT_KINDS
    return failure.status in _GATEWAY_STATUSES or failure.status == 429


def is_about_the_master(failure: Failure) -> bool:
    """Return true if another master may do better."""
    if isinstance(failure, Broken):
        return True
    if failure.kind:
        return failure.kind in _ABOUT_THE_MASTER
    return failure.status in _GATEWAY_STATUSES


def may_have_taken_effect(failure: Failure) -> bool:
    """Return true if a change may have been made nevertheless."""
    if isinstance(failure, Broken):
        return failure.may_have_arrived
    if failure.outcome is not None:
        return failure.outcome is Outcome.UNKNOWN
    if failure.kind:
        return failure.kind in _MAY_HAVE_HAPPENED
    # Somebody between us and the master has answered, and may have lost the master's answer.
    return failure.status >= 500


@dataclass
class Attempts:
    """What is known of the attempts of one call."""

    context: Context
    call: Call
    deadline: float
    failures: int = 0
    untrusted: int = 0
    """Attempts in a row that failed for a certificate: when that is all masters, it stays so."""
    is_ambiguous: bool = False
    """True if one of them may have taken effect."""
    last: Failure | None = None

    def note(self, endpoint: str, failure: Failure, time: float) -> None:
        """Take note of an attempt that has failed."""
        self.failures += 1
        # An attempt that the deadline has cut short tells less than the one before.
        is_cut_short = isinstance(failure, Broken) and failure.reason is Break.TIMED_OUT
        if not (is_cut_short and self.last is not None and time >= self.deadline):
            self.last = failure
        is_change = self.call.repeat is not Repeat.READ
        self.is_ambiguous |= is_change and may_have_taken_effect(failure)
        distrusts = isinstance(failure, Broken) and failure.reason is Break.UNTRUSTED
        self.untrusted = self.untrusted + 1 if distrusts else 0
        if is_about_the_master(failure):
            self.context.endpoints.on_failure(endpoint, time + self._cool_down(failure))

    def _cool_down(self, failure: Failure) -> float:
        asked_for = failure.retry_after if isinstance(failure, Problem) else None
        return max(asked_for or 0.0, self.backoff())

    def backoff(self) -> float:
        """Return the pause before the same endpoint is asked again."""
        rounds = max(self.failures - 1, 0) // len(self.context.endpoints)
        longest = min(BACKOFF_FIRST * float(1 << min(rounds, 16)), BACKOFF_MAX)
        return longest * (0.5 + 0.5 * self.context.chance())

    @property
    def is_hopeless(self) -> bool:
        """True if no further attempt could end better."""
        return self.untrusted >= len(self.context.endpoints)

    @property
    def may_go_on(self) -> bool:
        """True if a further attempt does no harm."""
        return not (self.is_ambiguous and self.call.repeat is Repeat.UNLESS_AMBIGUOUS)

    def error(self) -> CloudAIError:
        """Return the error with which the call ends."""
        failure = self.last
        assert failure is not None
        cause: CloudAIError = (
            refusal(failure) if isinstance(failure, Problem) else _unavailable(failure)
        )
        if not self.is_ambiguous:
            # Nothing has happened, whatever the answer is silent about.
            return cause
        error = OutcomeUnknown(f"it may have taken effect: {cause}", self.call.key)
        error.__cause__ = cause
        return error


def _unavailable(failure: Broken) -> Unavailable:
    kind = Untrusted if failure.reason is Break.UNTRUSTED else Unavailable
    told = f": {failure.detail}" if failure.detail else ""
    return kind(f"the last master that was asked {failure.reason.value}{told}")


def perform(context: Context, call: Call) -> Program[Reply]:
    """Ask until there is an answer of success, and return it; raise what the call ends with."""
    time = yield from now()
    attempts = Attempts(context, call, deadline=time + call.timeouts.call)
    endpoint, wait = context.endpoints.choose(time)
    wait = min(wait, FIRST_WAIT_MAX)
    while True:
        if wait > 0:
            yield from pause(wait)
            time = yield from now()
        timeout = max(min(call.timeouts.attempt, attempts.deadline - time), 0.001)
        answer = yield from send(endpoint, call.request, timeout)
        failure = failure_of(answer)
        time = yield from now()
        if failure is None:
            assert isinstance(answer, Reply)
            context.endpoints.on_answer(endpoint)
            return answer

        attempts.note(endpoint, failure, time)
        if not is_transient(failure) or not attempts.may_go_on or attempts.is_hopeless:
            raise attempts.error()
        if is_about_the_master(failure):
            endpoint, wait = context.endpoints.choose(time)
        else:
            assert isinstance(failure, Problem)
            wait = max(failure.retry_after or 0.0, attempts.backoff())
        if time + wait >= attempts.deadline:
            raise attempts.error()


def failure_of(answer: Reply | Broken) -> Failure | None:
    """Return the failure that an answer is; none for one of success."""
    if isinstance(answer, Broken):
        return answer
    return None if 200 <= answer.status < 300 else read_problem(answer)


def is_own_doing(error: CloudAIError, kind: type[Refused]) -> bool:
    """Return true if a refusal may be a consequence of an earlier attempt of the same call."""
    return isinstance(error, OutcomeUnknown) and isinstance(error.__cause__, kind)
