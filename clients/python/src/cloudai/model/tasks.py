"""Tasks: as they are submitted, and as the cluster shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from .codec import Duration, Json, OpenEnum, duration_text, encode, payload, time_text

Consistency = Literal["linearizable", "stale"]
"""Freshness of the answer to a read. ``linearizable``: as new as every change that was confirmed before;
``stale``: as the master that answers knows it, which may be outdated, and needs no leader."""

OutputStream = Literal["stdout", "stderr"]
"""Output of a process."""


class TaskState(OpenEnum):
    """State of a task."""

    SCHEDULED = "scheduled"
    """Waits for its start time, or for its next attempt."""
    BLOCKED = "blocked"
    """Waits for other tasks to be over."""
    QUEUED = "queued"
    """Waits for a worker."""
    ASSIGNED = "assigned"
    """Placed on a worker that has not confirmed the start."""
    RUNNING = "running"
    """Its process runs."""
    CANCELLING = "cancelling"
    """Cancelled while its process may still run."""
    COMPLETED = "completed"
    """Over: it has ended with exit code 0."""
    FAILED = "failed"
    """Over: it has failed as often as it may, or it was too late for it."""
    CANCELLED = "cancelled"
    """Over: somebody has cancelled it."""
    ABORTED = "aborted"
    """Over: it has not run, because a task that it needs has not completed."""

    @property
    def is_terminal(self) -> bool:
        """True if the task is over."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.ABORTED}
)


class AttemptOutcome(OpenEnum):
    """Outcome of an attempt."""

    COMPLETED = "completed"
    FAILED = "failed"
    START_FAILED = "start-failed"
    WORKER_UNFIT = "worker-unfit"
    LOST = "lost"


def _duration_or_time(value: Duration | datetime) -> Json:
    return time_text(value) if isinstance(value, datetime) else duration_text(value)


def _duration() -> Any:
    return field(default=None, metadata={"form": duration_text})


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Amounts of resources. Of a task, what is absent takes the default."""

    cpu: float | None = None
    """Number of processors, to the thousandth; a task's default is 1."""
    memory_mb: int | None = None
    """Memory in MiB; a task's default is 512."""
    storage_mb: int | None = None
    """Disk space in MiB."""
    gpu: int | None = None
    """Number of GPUs."""
    custom: Mapping[str, int] = field(default_factory=dict)
    """Amounts of other resources by name."""


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """Condition on the labels of a worker."""

    label: str
    """Key of the label."""
    op: str = "="
    """Operator: ``=``, ``!=``, ``in`` or ``exists``."""
    value: str | Sequence[str] | None = None
    """Operand, or several for ``in``; none for ``exists``."""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """Task to submit. Only ``command`` is needed; what is absent takes the cluster's default."""

    command: Sequence[str]
    """Program and its arguments."""
    name: str | None = None
    """Name for people."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables."""
    secret_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment variables whose values nobody is shown."""
    stdin: bytes | str | None = field(default=None, repr=False, metadata={"form": payload})
    """Bytes that it may read from its standard input, up to 64 KiB."""
    working_dir: str | None = None
    """Directory in which the program starts; absent, a new one of the attempt's own."""
    resources: Resources | None = None
    """Resources that it needs."""
    priority: int | None = None
    """Priority from 0 to 100, higher first; 50."""
    constraints: Sequence[Constraint] = ()
    """Conditions on the worker, all of which must hold."""
    worker_id: str | None = None
    """Only worker that may run it."""
    queue: str | None = None
    """Queue in which it waits, which must exist; ``default``."""
    concurrency_key: str | None = None
    """Name that tasks of a queue share which must not all run at once."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels for queries."""
    max_attempts: int | None = None
    """Number of failures after which it has failed; 3."""
    retry_backoff: Duration | None = _duration()
    """Wait after the first failure; 1 s."""
    retry_factor: float | None = None
    """Factor by which each wait is longer than the one before; 2."""
    retry_max_backoff: Duration | None = _duration()
    """Longest wait between attempts; 5 m."""
    retry_jitter: float | None = None
    """Largest part of a wait by which chance shortens it, from 0 to 1; 0."""
    no_retry_exit_codes: Sequence[int | str] = ()
    """Exit codes after which it is not tried again, each a code or a range as in ``"64-78"``."""
    run_timeout: Duration | None = _duration()
    """Longest time that one attempt may run."""
    queue_timeout: Duration | None = _duration()
    """Longest time from when it is queued to its first start."""
    deadline: Duration | datetime | None = field(default=None, metadata={"form": _duration_or_time})
    """Time at which it must be over, as a point in time or as a span after the submission."""
    delay: Duration | None = _duration()
    """Time from the submission to when it may start."""
    not_before: datetime | str | None = field(default=None, metadata={"form": time_text})
    """Time before which it does not start; not beside ``delay``."""
    on_disconnect: Literal["keep", "requeue"] | None = None
    """Fate of an attempt whose worker falls silent; ``keep``."""
    local_name: str | None = None
    """Name by which other tasks of the same submission wait for this one."""
    after: Sequence[str] = ()
    """Tasks that must complete first: ids, or local names of the same submission."""
    after_any: Sequence[str] = ()
    """Tasks that must be over first, whatever their outcome."""

    def __post_init__(self) -> None:
        # A text is a sequence of texts, and would be taken for one argument per letter.
        if isinstance(self.command, str):
            raise TypeError("command is a list of texts: the program and its arguments")

    def to_json(self) -> dict[str, Json]:
        """Return the body of the API."""
        return encode(self)


@dataclass(frozen=True, kw_only=True)
class SubmittedTask:
    """Task as it was accepted, cancelled or retried."""

    task_id: str
    """Id of the task, as in ``"t17"``."""
    state: TaskState
    """State of the task."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One placement of a task on a worker."""

    number: int
    """Number within the task, from 1."""
    worker_id: str
    """Name of the worker."""
    started_at: datetime | None = None
    """Time of the start; absent before."""
    finished_at: datetime | None = None
    """Time of the end; absent while it is live."""
    exit_code: int | None = None
    """Exit code of the process, or 128 plus the number of a signal; absent when there is none."""
    outcome: AttemptOutcome | None = None
    """Outcome; absent while it is live."""
    reason: str | None = None
    """Explanation for people."""
    cpu_seconds: float | None = None
    """Time of processors that it has used, where its worker measures it."""
    memory_peak_bytes: int | None = None
    """Most memory that it has used at once, where its worker measures it."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task."""

    task_id: str
    """Id, as in ``"t17"``."""
    state: TaskState
    """State."""
    priority: int
    """Priority from 0 to 100, higher first."""
    command: tuple[str, ...]
    """Program and its arguments."""
    submitted_at: datetime
    """Time of the submission."""
    index: int
    """Index of the log entry that last changed it."""
    name: str | None = None
    """Name for people."""
    pending_reason: str | None = None
    """Reason why it is not placed yet."""
    reason: str | None = None
    """Reason for the state."""
    resources: Resources | None = None
    """Resources that it needs, defaults included."""
    queue: str | None = None
    """Queue in which it waits, where it is not ``default``."""
    concurrency_key: str | None = None
    """Name that it shares with tasks of its queue which must not all run at once."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels for queries."""
    started_at: datetime | None = None
    """Start of the last attempt."""
    finished_at: datetime | None = None
    """Time at which it was over."""
    exit_code: int | None = None
    """Exit code of the last attempt, once the task is over."""
    attempts: tuple[Attempt, ...] = ()
    """Attempts, oldest first."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables, shown of one task and to submitters only."""
    secret_env: tuple[str, ...] = ()
    """Names of the secret variables, shown where ``env`` is."""
    not_before: datetime | None = None
    """Time before which it does not start."""
    queue_timeout: str | None = None
    """Longest time from when it is queued to its first start."""
    deadline: datetime | None = None
    """Time at which it must be over."""
    retry_factor: float | None = None
    """Factor by which each wait between attempts grows, where it is not 2."""
    retry_max_backoff: str | None = None
    """Longest wait between attempts, where it is not that of all tasks."""
    retry_jitter: float | None = None
    """Largest part of a wait by which chance shortens it."""
    no_retry_exit_codes: tuple[Any, ...] = ()
    """Exit codes after which it is not tried again."""
    retries: int = 0
    """Number of times that it was retried by hand."""
    after: tuple[str, ...] = ()
    """Tasks that must complete first."""
    after_any: tuple[str, ...] = ()
    """Tasks that must be over first."""
    dependents: tuple[str, ...] = ()
    """Blocked tasks that wait for this one, up to 100."""
    dependent_count: int | None = None
    """Number of them, where ``dependents`` has not all."""

    stdin_bytes: int | None = None
    """Number of bytes that it was given to read."""
    result: bytes | None = field(default=None, repr=False)
    """What it has written into the file that ``CLOUDAI_RESULT`` names; shown of one task only."""
    result_bytes: int | None = None
    """Number of bytes of the result, shown everywhere."""
    result_error: str | None = None
    """Reason why there is no result although it has written one."""

    @property
    def is_terminal(self) -> bool:
        """True if the task is over."""
        return self.state.is_terminal

    @property
    def run_time(self) -> timedelta | None:
        """Time from the start of the last attempt to the end; absent while one of them is."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


@dataclass(frozen=True, kw_only=True)
class TaskPage:
    """One page of tasks."""

    tasks: tuple[Task, ...] = ()
    """Tasks, newest first."""
    next_cursor: str | None = None
    """Cursor of the next page; absent on the last one."""
