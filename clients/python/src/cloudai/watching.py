"""Follows the tasks of an executor, in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from .client import Client
from .core import event_calls
from .errors import CloudAIError, Forbidden, NotFound, Unauthorized
from .model import Compacted, Event, TaskEvent, TaskState

F = TypeVar("F")

RETRY_SECONDS = 1.0
"""Pause before the cluster is asked again after nobody has answered for as long as a call may take."""


class Watcher(Generic[F]):
    """Tells of futures whose tasks run or are over, whichever masters come and go.

    Events say when to look. What they may have passed over is looked at by asking for the tasks.
    """

    def __init__(
        self,
        client: Client,
        labels: Mapping[str, str],
        on_running: Callable[[F], None],
        on_over: Callable[[F], None],
        on_failed: Callable[[F, Exception], None],
    ) -> None:
        self._client = client
        self._wanted = event_calls.Subscription(topics=("tasks",), labels=dict(labels))
        self._on_running = on_running
        self._on_over = on_over
        self._on_failed = on_failed
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._futures: dict[str, F] = {}
        # States of tasks whose submission has not been answered yet.
        self._early: dict[str, TaskState] = {}
        self._submitting = 0
        self._stops = False

    def start(self) -> None:
        """Begin to follow: what is submitted after this call is not missed."""
        with self._starting:
            if self._thread is not None:
                return
            place = self._place()
            self._thread = threading.Thread(
                target=self._run, args=(place,), name="cloudai-watcher", daemon=True
            )
            self._thread.start()

    def _place(self) -> event_calls.EventPlace:
        position = self._client.position()
        return event_calls.EventPlace(position.index, position.cluster_id)

    @contextlib.contextmanager
    def submitting(self) -> Iterator[Callable[[Mapping[str, F]], None]]:
        """Keep what events say of tasks that are not known yet, until they are registered."""
        with self._lock:
            self._submitting += 1
        try:
            yield self._register
        finally:
            with self._lock:
                self._submitting -= 1
                if not self._submitting:
                    self._early.clear()

    def _register(self, futures: Mapping[str, F]) -> None:
        with self._lock:
            self._futures.update(futures)
            early = [(task_id, self._early.pop(task_id, None)) for task_id in futures]
        for task_id, state in early:
            if state is not None:
                self._on_state(task_id, state)

    def stop_when_idle(self) -> None:
        """End the thread once no future is pending; a silent one notices within 15 s."""
        with self._lock:
            self._stops = True

    def _is_over(self) -> bool:
        with self._lock:
            return self._stops and not self._futures

    def _run(self, place: event_calls.EventPlace) -> None:
        while not self._is_over():
            try:
                self._follow(place)
                return
            except (Unauthorized, Forbidden) as error:
                self._give_up(error)
                return
            except CloudAIError:
                # Nobody answers for now, or the place is none of this cluster's log.
                time.sleep(RETRY_SECONDS)
                place = self._place_again() or place
            except Exception as error:
                # The client was closed.
                self._give_up(error)
                return

    def _place_again(self) -> event_calls.EventPlace | None:
        """Begin anew at what is true now."""
        try:
            place = self._place()
            self._look_at_all()
        except CloudAIError:
            return None
        return place

    def _follow(self, place: event_calls.EventPlace) -> None:
        program = event_calls.events(
            self._client._context, self._wanted, place, with_signs_of_life=True
        )
        for event in self._client._driver.iterate(program):
            self._take(event)
            if self._is_over():
                return

    def _take(self, event: Event | None) -> None:
        if isinstance(event, TaskEvent):
            self._on_state(event.task_id, event.state)
        elif isinstance(event, Compacted):
            self._look_at_all()

    def _look_at_all(self) -> None:
        with self._lock:
            ids = list(self._futures)
        for task_id in ids:
            try:
                self._on_state(task_id, self._client.get(task_id).state)
            except NotFound as error:
                # The cluster has forgotten it.
                self._fail([task_id], error)

    def _on_state(self, task_id: str, state: TaskState) -> None:
        with self._lock:
            future = self._futures.get(task_id)
            if future is None:
                if self._submitting:
                    self._early[task_id] = state
                return
            if state.is_terminal:
                del self._futures[task_id]
        if state.is_terminal:
            self._on_over(future)
        elif state is TaskState.RUNNING:
            self._on_running(future)

    def _give_up(self, error: Exception) -> None:
        with self._lock:
            ids = list(self._futures)
            self._thread = None
        self._fail(ids, error)

    def _fail(self, task_ids: Iterable[str], error: Exception) -> None:
        with self._lock:
            futures = [self._futures.pop(task_id, None) for task_id in task_ids]
        for future in futures:
            if future is not None:
                self._on_failed(future, error)
