"""Opens answers that go on for long, again and again."""

from __future__ import annotations

from .calling import (
    FIRST_WAIT_MAX,
    Attempts,
    Call,
    Context,
    failure_of,
    is_about_the_master,
    is_transient,
)
from .effects import Break, Broken, Opened, Program, now, open_stream, pause

RECONNECT_PAUSE = 0.1
"""Seconds for which a master is left alone whose stream has ended, while others are asked at once."""


class Opening:
    """Opens a stream anew where the one before has broken, until nothing has come for too long."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._attempts: Attempts | None = None
        self._endpoint = ""

    def on_progress(self) -> None:
        """Take note that the stream tells something: what has failed before is forgotten."""
        self._attempts = None
        self._context.endpoints.on_answer(self._endpoint)

    def on_end(self, end: Broken | None, time: float) -> None:
        """Take note that the stream has broken or was ended by the master."""
        failure = end or Broken(Break.LOST, "the master has ended the stream")
        if self._attempts is None:
            # The connection has worked. Another master is asked at once.
            self._context.endpoints.on_failure(self._endpoint, time + RECONNECT_PAUSE)
        else:
            self._attempts.note(self._endpoint, failure, time)

    def open(self, call: Call) -> Program[None]:
        """Open the stream at one of the masters; raise what it ends with."""
        time = yield from now()
        if self._attempts is None:
            self._attempts = Attempts(self._context, call, time + call.timeouts.call)
        attempts = self._attempts
        endpoint, wait = self._context.endpoints.choose(time)
        wait = min(wait, FIRST_WAIT_MAX)
        while True:
            if wait > 0:
                yield from pause(wait)
                time = yield from now()
            self._endpoint = endpoint
            answer = yield from open_stream(endpoint, call.request, call.timeouts.attempt)
            if isinstance(answer, Opened):
                return
            failure = failure_of(answer)
            assert failure is not None, "a stream is opened, refused or broken"
            time = yield from now()
            attempts.note(endpoint, failure, time)
            if not is_transient(failure) or attempts.is_hopeless:
                raise attempts.error()
            if is_about_the_master(failure):
                endpoint, wait = self._context.endpoints.choose(time)
            else:
                wait = max(attempts.backoff(), getattr(failure, "retry_after", None) or 0.0)
            if time + wait >= attempts.deadline:
                raise attempts.error()
