"""Workers of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .codec import OpenEnum
from .tasks import Resources


class WorkerState(OpenEnum):
    """State of a worker."""

    ACTIVE = "active"
    """In session."""
    INACTIVE = "inactive"
    """Not in session."""
    UNREACHABLE = "unreachable"
    """It calls but cannot be called."""
    UNFIT = "unfit"
    """It cannot start programs."""
    DRAINING = "draining"
    """An operator has it drained."""
    DEPARTED = "departed"
    """Unregistered, and may not know it yet."""


class SchedulingState(OpenEnum):
    """Readiness of a worker to take tasks, as operators have ordered it."""

    OPEN = "open"
    CORDONED = "cordoned"
    DRAINING = "draining"
    DRAINED = "drained"


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One worker of the registry."""

    worker_id: str
    """Name."""
    is_active: bool
    """True when it is in session."""
    state: WorkerState
    """State."""
    reason: str
    """Reason for the state."""
    epoch: int
    """Epoch of its latest registration; zero before the first."""
    index: int
    """Index of the log entry that last changed it."""
    address: str | None = None
    """host:port at which the leader calls it."""
    total: Resources | None = None
    """Resources that it offers."""
    allocated: Resources | None = None
    """Sum over its live attempts."""
    available: Resources | None = None
    """Total less allocated."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels in effect."""
    running_tasks: int = 0
    """Number of its live attempts."""
    registered_at: datetime | None = None
    """Time at which it entered the registry."""
    last_heartbeat: datetime | None = None
    """Time of its last heartbeat, as far as the leader knows."""
    version: str | None = None
    """Version of its program."""
    scheduling: SchedulingState = SchedulingState.OPEN
    """Readiness to take tasks, as operators have ordered it."""
    drain_deadline: datetime | None = None
    """Time at which a drain stops what still runs there."""
    changed_at: datetime | None = None
    """Time at which it last became active or inactive."""
    since: datetime | None = None
    """Time at which it entered its state."""
    attempts_max: int | None = None
    """Largest number of attempts that it takes at once."""
    certificate_not_after: datetime | None = None
    """Time at which its certificate, or one that vouches for it, ends."""


@dataclass(frozen=True, kw_only=True)
class WorkerPage:
    """One page of workers."""

    workers: tuple[Worker, ...] = ()
    """Workers by name."""
    next_cursor: str | None = None
    """Cursor of the next page; absent on the last one."""
