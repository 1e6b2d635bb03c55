"""An executor of ``concurrent.futures`` whose calls are tasks of the cluster."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast, overload

from .carriage import name_of, packed_call
from .client import Client
from .errors import Conflict, NotFound
from .functions import TaskFunction, active_executor
from .model import TaskSpec
from .results import result_of
from .watching import Watcher

P = ParamSpec("P")
T = TypeVar("T")

LABEL = "cloudai.executor"
"""Label of an executor's tasks: its id."""
BATCH_MAX = 500
"""Most calls of one submission."""
BATCH_BYTES_MAX = 4 << 20
"""Most bytes of arguments in one submission, of which the cluster takes 8 MiB."""


class TaskFuture(concurrent.futures.Future[T]):
    """Future of a call that is a task."""

    def __init__(self, client: Client, task_id: str) -> None:
        super().__init__()
        self._client = client
        self._is_running = False
        # Callbacks of a cancellation may come back to it.
        self._cancelling = threading.RLock()
        self.task_id = task_id
        """Id of the task."""

    def running(self) -> bool:
        """Return true if the process of the task runs, as far as is known here."""
        return self._is_running and not self.done()

    def cancel(self) -> bool:
        """Cancel the task, also one that runs, whose process is then stopped.

        Returns false if the task is over already.
        """
        if self.done():
            return self.cancelled()
        try:
            self._client.cancel(self.task_id)
        except (Conflict, NotFound):
            return False
        return self.on_cancelled()

    def on_cancelled(self) -> bool:
        """Take note that the task is cancelled."""
        with self._cancelling:
            if self.done() or not super().cancel():
                return self.cancelled()
            self.set_running_or_notify_cancel()
            return True

    def on_running(self) -> None:
        """Take note that the process of the task runs."""
        self._is_running = True


class Executor(concurrent.futures.Executor):
    """Runs calls of functions as tasks.

    :param client: the client to submit with. It stays open.
    :param template: fields of each task. Its ``command`` is the Python of the workers; unless it says
        otherwise, a call that fails is not tried again.

    A worker imports the function by the name of its module, so the module and this package must be
    installed there. Arguments and results travel as pickles of up to 64 KiB; see the README for what that
    means for trust.
    """

    def __init__(self, client: Client, template: TaskSpec | None = None) -> None:
        self._client = client
        template = template or TaskSpec(command=("python3",))
        self.id = str(uuid.uuid4())
        """Value of the label ``cloudai.executor`` of its tasks."""
        labels = {**template.labels, LABEL: self.id}
        max_attempts = template.max_attempts or 1
        self._template = replace(template, labels=labels, max_attempts=max_attempts)
        self._lock = threading.Lock()
        self._is_shut_down = False
        self._open: set[TaskFuture[Any]] = set()
        self._pool = concurrent.futures.ThreadPoolExecutor(4, "cloudai-results")
        self._watcher: Watcher[TaskFuture[Any]] = Watcher(
            client, {LABEL: self.id}, self._on_running, self._on_over, self._on_failed
        )
        self._active: list[contextvars.Token[Executor | None]] = []

    def __enter__(self) -> Executor:
        self._active.append(active_executor.set(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        active_executor.reset(self._active.pop())
        self.shutdown(wait=True)

    @overload
    def submit(
        self, fn: TaskFunction[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskFuture[T]: ...

    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]: ...

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture[Any]:
        """Submit a call, and return the future of its result."""
        (future,) = self._submit([self._spec(fn, args, kwargs)])
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,  # noqa: ARG002
        **others: Any,  # noqa: ARG002
    ) -> Iterator[T]:
        """Submit a call for each of the arguments, many at once, and iterate over the results in order."""
        deadline = None if timeout is None else time.monotonic() + timeout
        specs = [self._spec(fn, arguments, {}) for arguments in zip(*iterables, strict=False)]
        futures: list[TaskFuture[T]] = []
        for batch in _batches(specs):
            futures.extend(self._submit(batch))
        return _results(futures, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; wait for those that are under way, or cancel them first."""
        with self._lock:
            self._is_shut_down = True
            pending = list(self._open)
        if cancel_futures:
            for future in pending:
                future.cancel()
        self._watcher.stop_when_idle()
        if wait:
            concurrent.futures.wait(pending)
        self._close_when_idle()

    def _close_when_idle(self, done: concurrent.futures.Future[Any] | None = None) -> None:
        """End the threads that fetch results, once there are none to fetch."""
        with self._lock:
            if done is not None:
                self._open.discard(cast("TaskFuture[Any]", done))
            is_idle = self._is_shut_down and not self._open
        if is_idle:
            self._pool.shutdown(wait=False)

    def _spec(
        self, fn: Callable[..., Any], args: Iterable[Any], kwargs: dict[str, Any]
    ) -> TaskSpec:
        spec = self._template
        if isinstance(fn, TaskFunction):
            spec = fn.applied_to(spec)
        name = name_of(fn)
        return replace(
            spec,
            command=(*spec.command, "-m", "cloudai.run", name),
            name=spec.name or name.rpartition(":")[2],
            stdin=packed_call(tuple(args), kwargs),
        )

    def _submit(self, specs: list[TaskSpec]) -> list[TaskFuture[Any]]:
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("the executor is shut down")
        self._watcher.start()
        with self._watcher.submitting() as register:
            submitted = self._client.submit_many(specs)
            futures = [TaskFuture[Any](self._client, task.task_id) for task in submitted]
            with self._lock:
                self._open.update(futures)
            for future in futures:
                future.add_done_callback(self._close_when_idle)
            register({future.task_id: future for future in futures})
        return futures

    def _on_running(self, future: TaskFuture[Any]) -> None:
        future.on_running()

    def _on_over(self, future: TaskFuture[Any]) -> None:
        if not future.done():
            self._pool.submit(self._finish, future)

    def _on_failed(self, future: TaskFuture[Any], error: Exception) -> None:
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            future.set_exception(error)

    def _finish(self, future: TaskFuture[Any]) -> None:
        """Fetch the result of a task that is over."""
        try:
            ending = result_of(self._client, future.task_id)
        except Exception as error:
            # To read a pickle may raise anything.
            self._on_failed(future, error)
            return
        # It may be cancelled here at the same moment.
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            if ending is None:
                future.on_cancelled()
            elif ending.error is not None:
                future.set_exception(ending.error)
            else:
                future.set_result(ending.value)


def _batches(specs: list[TaskSpec]) -> Iterator[list[TaskSpec]]:
    batch: list[TaskSpec] = []
    size = 0
    for spec in specs:
        spec_size = len(spec.stdin or b"")
        if batch and (len(batch) >= BATCH_MAX or size + spec_size > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(spec)
        size += spec_size
    if batch:
        yield batch


def _results(futures: list[TaskFuture[T]], deadline: float | None) -> Iterator[T]:
    left = list(reversed(futures))
    try:
        while left:
            future = left.pop()
            patience = None if deadline is None else deadline - time.monotonic()
            yield future.result(patience)
    finally:
        for future in left:
            future.cancel()
