"""Events, as the cluster tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Union

from .cluster import JobState
from .codec import decode
from .schedules import ScheduleRun
from .tasks import AttemptOutcome, TaskState
from .workers import WorkerState

Topic = Literal["tasks", "workers", "cluster", "telemetry", "schedules", "jobs"]
"""Topic of a subscription."""


@dataclass(frozen=True, kw_only=True)
class TaskEvent:
    """A task has another state, or another attempt."""

    task_id: str
    state: TaskState
    index: int
    timestamp: datetime
    name: str | None = None
    """Name for people."""
    worker_id: str | None = None
    """Worker of the last attempt; absent before the first."""
    attempt: int | None = None
    """Number of the last attempt; absent before the first."""
    exit_code: int | None = None
    outcome: AttemptOutcome | None = None
    """End of that attempt; absent while it is live."""
    reason: str | None = None
    """Reason of that end, or of the state."""
    cluster_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerEvent:
    """Something has happened to a worker; this is how it stands now."""

    worker_id: str
    is_active: bool
    state: WorkerState
    reason: str
    index: int
    timestamp: datetime
    detail: str | None = None
    cluster_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class LeaderEvent:
    """A term of leadership has begun."""

    leader_id: int
    term: int
    index: int
    timestamp: datetime
    cluster_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScheduleEvent:
    """A schedule was created, changed, paused or deleted, or a run of it was decided about."""

    schedule: str
    state: str
    """``"active"``, ``"paused"`` or ``"deleted"``."""
    index: int
    timestamp: datetime
    next_at: datetime | None = None
    """Nominal time of the next run."""
    started: int = 0
    skipped: int = 0
    missed: int = 0
    run: ScheduleRun | None = None
    """The latest run."""
    cluster_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """An order about many tasks was given, or has come further."""

    job_id: str
    action: str
    state: JobState
    index: int
    timestamp: datetime
    done: int = 0
    refused: int = 0
    percent: int = 0
    reason: str | None = None
    cluster_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class UsageEvent:
    """Usage of a worker as it was reported; it is not replicated and has no index."""

    worker_id: str
    timestamp: datetime
    cpu: float = 0.0
    """Processors in use, in percent."""
    memory: float = 0.0
    """Memory in use, in percent."""
    storage: float = 0.0
    """Disk space in use, in percent."""
    gpu: float = 0.0
    """GPUs in use, in percent."""
    running_tasks: int = 0
    """Number of attempts that ran."""


@dataclass(frozen=True, kw_only=True)
class Compacted:
    """Events between the last one and ``oldest_index`` are not held any more: there is a gap.

    Whoever keeps a picture of the cluster looks at it anew; events go on from here.
    """

    oldest_index: int
    cluster_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class OtherEvent:
    """Event of another type."""

    type: str
    index: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    """The event as the cluster tells it."""


Event = Union[
    TaskEvent,
    WorkerEvent,
    LeaderEvent,
    ScheduleEvent,
    JobEvent,
    UsageEvent,
    Compacted,
    OtherEvent,
]
"""Event of any type."""

_BY_TYPE: dict[str, type[Any]] = {
    "task_status": TaskEvent,
    "worker_status": WorkerEvent,
    "leader": LeaderEvent,
    "schedule_status": ScheduleEvent,
    "job_status": JobEvent,
    "telemetry": UsageEvent,
    "compacted": Compacted,
}


def decode_event(told: Mapping[str, Any]) -> Event:
    """Read an event."""
    kind = str(told.get("type", ""))
    known = _BY_TYPE.get(kind)
    if known is None:
        index = told.get("index")
        return OtherEvent(type=kind, index=index if isinstance(index, int) else None, data=told)
    event: Event = decode(known, told)
    return event
