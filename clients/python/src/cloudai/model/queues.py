"""Named queues."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from .codec import Duration, Json, duration_text, encode


@dataclass(frozen=True, kw_only=True)
class QueueRate:
    """Bound on starts in a time: so many at once, and as many again evenly over each such time."""

    starts: int
    """Number of starts."""
    per: Duration = field(metadata={"form": duration_text})
    """Time in which there may be so many, whole seconds up to 24 h."""


@dataclass(frozen=True, kw_only=True)
class QueueSpec:
    """Settings of a named queue. What is absent is as in a queue of which nobody has said anything."""

    name: str
    """Name: up to 128 letters, digits, '.', '_' and '-'."""
    weight: int | None = None
    """Share of the fleet beside other queues with waiting tasks; 1."""
    paused: bool | None = None
    """True if none of its tasks is to be started."""
    max_running: int | None = None
    """Most tasks of it that run at once."""
    max_running_per_key: int | None = None
    """Most tasks with the same concurrency key that run at once; 1."""
    rate: QueueRate | None = None
    """Bound on starts in a time."""
    settings_index: int | None = None
    """Index of the last change of the settings, which must still be the last; 0 if there must be none."""

    def to_json(self) -> dict[str, Json]:
        """Return the body of the API."""
        return encode(self)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Named queue."""

    name: str
    """Name."""
    weight: int = 1
    """Share of the fleet beside other queues with waiting tasks."""
    paused: bool = False
    """True while none of its tasks is started."""
    max_running: int | None = None
    """Most tasks of it that run at once."""
    max_running_per_key: int = 1
    """Most tasks with the same concurrency key that run at once."""
    rate: QueueRate | None = None
    """Bound on starts in a time."""
    waiting: int = 0
    """Number of its tasks that wait for a worker."""
    running: int = 0
    """Number of its tasks that are placed on a worker."""
    tasks: int = 0
    """Number of its tasks that are not over."""
    share: float = 0.0
    """Part of the fleet that its tasks occupy of the scarcest resource, from 0 to 1."""
    held: str | None = None
    """Reason why it starts no task now."""
    next_start_at: datetime | None = None
    """Time at which its rate allows the next start."""
    created_at: datetime | None = None
    """Time at which it was created."""
    changed_at: datetime | None = None
    """Time at which its settings last changed."""
    settings_index: int = 0
    """Index of the log entry that last changed its settings; 0 if none has."""


@dataclass(frozen=True, kw_only=True)
class QueueList:
    """All named queues."""

    queues: tuple[Queue, ...] = ()
    """Queues, by name."""
