"""Calls about schedules."""

from __future__ import annotations

from ..model.schedules import NextRun, NextRuns, Schedule, SchedulePage, ScheduleSpec
from ..model.tasks import Consistency, SubmittedTask
from .calling import Context, Repeat
from .effects import Program, emit
from .requests import answer_to, get, order, path, record_of
from .task_calls import new_key


def create_schedule(context: Context, spec: ScheduleSpec) -> Program[Schedule]:
    """Create a schedule."""
    request = order("POST", path("schedules"), spec.to_json())
    return (yield from record_of(context, Schedule, request, Repeat.UNLESS_AMBIGUOUS))


def replace_schedule(context: Context, spec: ScheduleSpec) -> Program[Schedule]:
    """Replace a schedule; what is known of its runs stays."""
    request = order("PUT", path("schedules", spec.name), spec.to_json())
    return (yield from record_of(context, Schedule, request, Repeat.UNLESS_AMBIGUOUS))


def schedule(context: Context, name: str, consistency: Consistency | None) -> Program[Schedule]:
    """Return a schedule with its latest runs."""
    request = get(path("schedules", name), {"consistency": consistency})
    return (yield from record_of(context, Schedule, request))


def schedules(context: Context, consistency: Consistency | None) -> Program[None]:
    """Emit the schedules by name, without their runs."""
    cursor: str | None = None
    while True:
        parameters = {"cursor": cursor, "consistency": consistency}
        page = yield from record_of(context, SchedulePage, get(path("schedules"), parameters))
        for found in page.schedules:
            yield from emit(found)
        cursor = page.next_cursor
        if cursor is None:
            return


def next_runs(context: Context, name: str, count: int | None) -> Program[list[NextRun]]:
    """Return the next nominal times of a schedule."""
    request = get(path("schedules", name, "next"), {"count": count})
    found = yield from record_of(context, NextRuns, request)
    return list(found.runs)


def run_schedule(context: Context, name: str, key: str | None) -> Program[SubmittedTask]:
    """Start a run at once."""
    key = key or new_key()
    request = order("POST", path("schedules", name, "run"), key=key)
    return (yield from record_of(context, SubmittedTask, request, Repeat.ALWAYS, key=key))


def pause_schedule(context: Context, name: str, *, paused: bool) -> Program[Schedule]:
    """Pause or resume a schedule."""
    request = order("POST", path("schedules", name, "pause" if paused else "resume"))
    return (yield from record_of(context, Schedule, request, Repeat.UNLESS_AMBIGUOUS))


def delete_schedule(context: Context, name: str) -> Program[None]:
    """Delete a schedule. The tasks of its runs stay."""
    request = order("DELETE", path("schedules", name))
    yield from answer_to(context, request, Repeat.UNLESS_AMBIGUOUS)
