"""Calls about named queues."""

from __future__ import annotations

from ..model.queues import Queue, QueueList, QueueSpec
from ..model.tasks import Consistency
from .calling import Context, Repeat
from .effects import Program
from .requests import answer_to, get, order, path, record_of


def queues(context: Context, consistency: Consistency | None) -> Program[list[Queue]]:
    """Return the named queues, by name."""
    request = get(path("queues"), {"consistency": consistency})
    listed = yield from record_of(context, QueueList, request)
    return list(listed.queues)


def named_queue(context: Context, name: str, consistency: Consistency | None) -> Program[Queue]:
    """Return a named queue."""
    request = get(path("queues", name), {"consistency": consistency})
    return (yield from record_of(context, Queue, request))


def put_queue(context: Context, spec: QueueSpec) -> Program[Queue]:
    """Create a named queue, or set all that it has."""
    request = order("PUT", path("queues", spec.name), spec.to_json())
    return (yield from record_of(context, Queue, request, Repeat.UNLESS_AMBIGUOUS))


def pause_queue(context: Context, name: str, *, paused: bool) -> Program[Queue]:
    """Pause or resume a named queue."""
    request = order("POST", path("queues", name, "pause" if paused else "resume"))
    return (yield from record_of(context, Queue, request, Repeat.UNLESS_AMBIGUOUS))


def delete_queue(context: Context, name: str) -> Program[None]:
    """Delete a named queue that has no live tasks and that no schedule names."""
    yield from answer_to(context, order("DELETE", path("queues", name)), Repeat.UNLESS_AMBIGUOUS)
