"""Reads what a task writes, over as many connections as it takes.

REST sends an output as plain bytes, without offsets. One stream of one attempt only grows, so after a
broken connection it is read again and the bytes that were handed over are skipped. Both streams
together have no order among them, and the end of an output moves: neither can be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import LogInterrupted
from ..model.tasks import OutputStream, Task
from .calling import Call, Context, Repeat
from .effects import Broken, Program, emit, now, pause, read
from .requests import get, path
from .streams import Opening
from .task_calls import task

FOLLOW_SILENCE_MAX = 24 * 3600.0
"""Seconds for which a followed log may be silent: tasks say nothing for hours, and nothing else comes. A
master's machine that is gone is noticed by the keep-alives of TCP."""
RESUMED_SILENCE_MAX = 300.0
"""The same for an output that is read again without harm: a master may hang."""
ATTEMPT_POLL_FIRST = 0.2
ATTEMPT_POLL_MAX = 1.0
"""Pauses between two looks for the next attempt of a task, in seconds."""


@dataclass(frozen=True)
class LogRequest:
    """What is to be read."""

    task_id: str
    stream: OutputStream | None = None
    attempt: int | None = None
    tail: int | None = None
    follow: bool = False


@dataclass
class _Progress:
    """Bytes of one output."""

    handed_over: int = 0
    skipped: int = 0

    def reconnected(self) -> None:
        self.skipped = 0

    def rest_of(self, piece: bytes) -> bytes:
        """Return what of a piece has not been handed over."""
        again = min(self.handed_over - self.skipped, len(piece))
        self.skipped += again
        rest = piece[again:]
        self.handed_over += len(rest)
        self.skipped += len(rest)
        return rest

    @property
    def is_short(self) -> bool:
        """True if the output has ended before the place up to which it was handed over."""
        return self.skipped < self.handed_over


def logs(context: Context, wanted: LogRequest) -> Program[None]:
    """Emit the output in pieces of bytes."""
    if not wanted.follow or wanted.attempt is not None:
        yield from _one_output(context, wanted)
        return
    number = yield from _first_attempt(context, wanted.task_id)
    tail = wanted.tail
    while number is not None:
        of_attempt = LogRequest(wanted.task_id, wanted.stream, number, tail, follow=True)
        yield from _one_output(context, of_attempt)
        number = yield from _next_attempt(context, wanted.task_id, number)
        tail = None


def _first_attempt(context: Context, task_id: str) -> Program[int | None]:
    """Return the last attempt; wait for the first one if there is none, unless there will be none."""
    found = yield from task(context, task_id, None)
    if found.attempts:
        return found.attempts[-1].number
    return (yield from _next_attempt(context, task_id, 0))


def _next_attempt(context: Context, task_id: str, number: int) -> Program[int | None]:
    """Wait for the attempt after this one, and return its number; none if the task is over."""
    wait = ATTEMPT_POLL_FIRST
    while True:
        found: Task = yield from task(context, task_id, None)
        later = [attempt.number for attempt in found.attempts if attempt.number > number]
        if later:
            return later[0]
        if found.is_terminal:
            return None
        yield from pause(wait)
        wait = min(wait * 1.5, ATTEMPT_POLL_MAX)


def _one_output(context: Context, wanted: LogRequest) -> Program[None]:
    parameters = {
        "stream": wanted.stream,
        "attempt": wanted.attempt,
        "tail": wanted.tail,
        "follow": wanted.follow or None,
    }
    request = get(path("tasks", wanted.task_id, "logs"), parameters)
    call = Call(request, Repeat.READ, context.timeouts)
    can_resume = wanted.stream is not None and wanted.attempt is not None and wanted.tail is None
    silence = context.timeouts.call
    if wanted.follow:
        silence = RESUMED_SILENCE_MAX if can_resume else FOLLOW_SILENCE_MAX
    progress = _Progress()
    opening = Opening(context)
    while True:
        yield from opening.open(call)
        progress.reconnected()
        end = yield from _copy(opening, progress, silence)
        if end is None:
            if progress.is_short:
                raise LogInterrupted("the output that was read is not there any more")
            return
        opening.on_end(end, (yield from now()))
        if progress.handed_over and not can_resume:
            raise LogInterrupted(f"the connection broke after {progress.handed_over} bytes")


def _copy(opening: Opening, progress: _Progress, silence: float) -> Program[Broken | None]:
    """Emit the output of one connection, and return the reason of its end."""
    while True:
        piece = yield from read(silence)
        if piece is None or isinstance(piece, Broken):
            return piece
        opening.on_progress()
        rest = progress.rest_of(piece)
        if rest:
            yield from emit(rest)
