"""Schedules: tasks that are submitted at times of a clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from .codec import Duration, Json, OpenEnum, duration_text, encode
from .tasks import TaskSpec


class ScheduleRunOutcome(OpenEnum):
    """Outcome of a run."""

    STARTED = "started"
    WAITING = "waiting"
    SKIPPED = "skipped"
    MISSED = "missed"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec:
    """Description of a schedule."""

    name: str
    """Name: 1 to 128 letters, digits, '.', '_' or '-'."""
    cron: str
    """Cron expression of five fields, ``"@daily"`` and the like, or ``"@every 10m"``."""
    task: TaskSpec
    """Task that each run submits."""
    time_zone: str | None = None
    """Name of a time zone in the IANA database; UTC."""
    overlap: Literal["skip", "buffer_one", "allow"] | None = None
    """Fate of a run whose predecessor is not over; ``skip``."""
    catch_up_window: Duration | None = field(default=None, metadata={"form": duration_text})
    """Longest time by which a run may be late; 1 h."""
    paused: bool | None = None
    """True if nothing is to be started until the schedule is resumed."""

    def to_json(self) -> dict[str, Json]:
        """Return the body of the API."""
        return encode(self)


@dataclass(frozen=True, kw_only=True)
class ScheduleRun:
    """Run of a schedule."""

    at: datetime
    """Nominal time; of a run that somebody ordered, the time of the order."""
    decided_at: datetime
    """Time at which it was decided about."""
    outcome: ScheduleRunOutcome
    """Outcome."""
    manual: bool = False
    """True if somebody ordered it."""
    task_id: str | None = None
    """Task of a run that was started; of one that was skipped, the task that was not over."""
    missed: int | None = None
    """Number of runs that were missed in a row."""
    missed_until: datetime | None = None
    """Nominal time of the last one of them."""
    reason: str | None = None
    """Kind of a refusal."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Schedule, and what is known of its runs."""

    name: str
    cron: str
    time_zone: str
    overlap: str
    catch_up_window: str
    created_at: datetime
    changed_at: datetime
    index: int
    paused: bool = False
    """True while nothing is started."""
    task: Mapping[str, Any] = field(default_factory=dict)
    """Task that each run submits, as the API shows it."""
    secret_env: tuple[str, ...] = ()
    """Names of the secret variables of the task."""
    next_at: datetime | None = None
    """Nominal time of the next run that has not been decided about."""
    waiting_at: datetime | None = None
    """Nominal time of the run that waits for the end of an earlier one."""
    last_at: datetime | None = None
    """Nominal time of the last run that was decided about."""
    last_task_id: str | None = None
    """Task of the last run that was started."""
    started: int = 0
    """Number of runs that were started."""
    skipped: int = 0
    """Number of runs that were left out because an earlier one was not over."""
    missed: int = 0
    """Number of runs that came too late, or whose tasks could not be submitted."""
    runs: tuple[ScheduleRun, ...] = ()
    """Latest runs, oldest first, of one schedule only."""


@dataclass(frozen=True, kw_only=True)
class SchedulePage:
    """One page of schedules."""

    schedules: tuple[Schedule, ...] = ()
    """Schedules by name."""
    next_cursor: str | None = None
    """Cursor of the next page; absent on the last one."""


@dataclass(frozen=True, kw_only=True)
class NextRun:
    """Nominal time of a run."""

    at: datetime
    """Time."""
    local: str
    """The same as the clock of the time zone shows it."""


@dataclass(frozen=True, kw_only=True)
class NextRuns:
    """Next times of a schedule."""

    runs: tuple[NextRun, ...] = ()
    """Times, the next one first."""
