"""The cluster: its masters, its queue, and the orders about many tasks that it carries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .codec import Json, OpenEnum, encode
from .tasks import Constraint, Resources, TaskState


class MasterRole(OpenEnum):
    """Role of a master."""

    LEADER = "leader"
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEARNER = "learner"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One master of the membership. What is absent is not known."""

    id: int
    """Number of the master, its name in the cluster."""
    address: str
    """host:port of its gRPC server."""
    role: MasterRole
    """Role."""
    reachable: bool = False
    """True when it answered."""
    voter: bool = False
    """True when it counts in a quorum."""
    term: int | None = None
    """Newest Raft term that it has seen."""
    last_log_index: int | None = None
    """Index of the last entry in its log."""
    commit_index: int | None = None
    """Index of the last entry that it knows to be committed."""
    applied_index: int | None = None
    """Index of the last entry that it has applied."""
    lag: int | None = None
    """Number of entries by which its log is behind the leader's."""
    snapshot_index: int | None = None
    """Index of the last entry in its newest snapshot."""
    version: str | None = None
    """Version of its program."""
    http_address: str | None = None
    """host:port of its HTTP server."""
    free_bytes: int | None = None
    """Free bytes on the disk of its data directory."""
    clock_offset_ms: int | None = None
    """Milliseconds by which its clock is ahead of the median of the voters' clocks."""
    level_max: int | None = None
    """Highest feature level that its program can run."""
    differing_settings: tuple[str, ...] = ()
    """Settings that its own configuration gives otherwise than the cluster's."""


@dataclass(frozen=True, kw_only=True)
class MassLoss:
    """Alarm that many workers fell silent at once."""

    since: str = ""
    """Time at which it was raised."""
    lost: int = 0
    """Number of workers that fell silent."""
    of: int = 0
    """Number of workers that were active before."""
    acknowledged_at: datetime | None = None
    """Time at which an operator has acknowledged it."""


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """State of the cluster as seen by the master that answers."""

    cluster_name: str
    """Configured name."""
    node_id: int
    """Name of the master that answered."""
    term: int
    """Newest Raft term that it has seen."""
    healthy: bool
    """True when there are no problems."""
    cluster_id: str | None = None
    """Id of the cluster, a UUID."""
    leader_id: int | None = None
    """Name of the leader; absent when none is known."""
    problems: tuple[str, ...] = ()
    """Reasons for not being healthy, one sentence each."""
    members: tuple[Member, ...] = ()
    """Every master of the membership."""
    workers: Mapping[str, int] = field(default_factory=dict)
    """Number of workers in each state."""
    tasks: Mapping[str, int] = field(default_factory=dict)
    """Number of tasks in each live state."""
    mass_loss: MassLoss | None = None
    """Alarm that many workers were lost at once; absent otherwise."""
    level: int = 0
    """Feature level."""
    autopilot: str | None = None
    """Change of the masters that the leader makes next or waits to make."""
    orphans: int = 0
    """Number of orphaned results that no operator has dropped."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Place in the log of a cluster, after which events may be asked for."""

    index: int
    """Index of the log."""
    cluster_id: str | None = None
    """Cluster that the index is of."""


@dataclass(frozen=True, kw_only=True)
class PriorityDepth:
    """Tasks of one priority that wait for a worker."""

    priority: int
    tasks: int


@dataclass(frozen=True, kw_only=True)
class QueueClass:
    """Tasks that wait for a worker and ask for the same."""

    priority: int
    tasks: int
    next_task_id: str
    next_queued_at: datetime
    queue: str = "default"
    concurrency_key: str | None = None
    resources: Resources | None = None
    constraints: tuple[Constraint, ...] = ()
    worker_id: str | None = None
    pending_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class QueueSummary:
    """Sum of the queue."""

    states: Mapping[str, int] = field(default_factory=dict)
    """Numbers of live tasks by state."""
    priorities: tuple[PriorityDepth, ...] = ()
    """Tasks that wait for a worker by priority, highest first."""
    class_count: int = 0
    """Number of classes of such tasks."""
    classes: tuple[QueueClass, ...] = ()
    """Classes with the most tasks."""
    oldest_task_id: str | None = None
    """Task that waits for a worker and was queued first."""
    oldest_queued_at: datetime | None = None
    """Time at which that one was queued."""


@dataclass(frozen=True, kw_only=True)
class ObstructedWorkers:
    """Workers that one obstacle keeps from a task."""

    obstacle: str
    """Obstacle, as in ``"too-small"``."""
    workers: int
    """Number of workers."""
    remedy: str
    """Change that would take the obstacle away."""
    detail: str | None = None
    """Constraint, or resources that are short."""
    examples: tuple[str, ...] = ()
    """Names of up to five of them."""


@dataclass(frozen=True, kw_only=True)
class TaskExplanation:
    """Explanation why a task waits."""

    task_id: str
    state: TaskState
    pending_reason: str | None = None
    """Reason why it is not placed yet."""
    workers: int | None = None
    """Number of registered workers; absent unless the task waits for one."""
    fitting: int | None = None
    """Number of workers that have room for it now."""
    obstacles: tuple[ObstructedWorkers, ...] = ()
    """Obstacles between the task and the other workers."""
    position: int | None = None
    """Number of tasks that wait before it in its queue and are not held back by a concurrency key."""


@dataclass(frozen=True, kw_only=True)
class TaskSelection:
    """Conditions on tasks, all of which must hold."""

    states: Sequence[str] = ()
    """States, one of which a task must have; none, any will do."""
    labels: Sequence[str] = ()
    """Labels that it must have, ``"key=value"`` or ``"key"``."""
    worker: str | None = None
    """Name of the worker of its last attempt."""
    name_prefix: str | None = None
    """Beginning of its name."""
    priority: int | None = None
    """Priority."""
    all: bool | None = None
    """True to mean all tasks; required where there is no condition, and refused beside one."""

    def to_json(self) -> dict[str, Json]:
        """Return the body of the API."""
        return encode(self)


class JobState(OpenEnum):
    """State of a job."""

    RUNNING = "running"
    """The leader works through its tasks."""
    COMPLETED = "completed"
    """It has come to all of its tasks."""
    STOPPED = "stopped"
    """It stopped before that."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Order about many tasks, which the leader carries out in steps."""

    job_id: str
    """Id, as in ``"j4711"``."""
    action: str
    """Kind of order: ``"cancel"`` or ``"retry"``."""
    state: JobState
    """State."""
    started_at: datetime
    """Time of the order."""
    index: int
    """Index of the log entry that last changed it."""
    ordered_by: str = ""
    """Principal that gave the order."""
    selection: TaskSelection | None = None
    """Tasks that it is about."""
    done: int = 0
    """Number of tasks that it has cancelled, or has had run again."""
    refused: int = 0
    """Number of tasks that it should have had run again, and that cannot."""
    percent: int = 0
    """Part of the ids of tasks that it has passed, in percent."""
    reason: str | None = None
    """Reason for which it stopped."""
    finished_at: datetime | None = None
    """Time of its end."""


@dataclass(frozen=True, kw_only=True)
class JobList:
    """Jobs that are under way, and the last ones that have ended."""

    jobs: tuple[Job, ...] = ()
    """Jobs, newest first."""
