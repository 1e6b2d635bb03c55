"""Calls about tasks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from ..errors import CloudAIError, Conflict, UnreadableAnswer, WaitTimeout
from ..model.codec import decode
from ..model.tasks import (
    Consistency,
    SubmittedTask,
    Task,
    TaskPage,
    TaskSpec,
    TaskState,
)
from .calling import Context, Repeat, is_own_doing
from .effects import Program, emit, now
from .requests import answer_to, get, json_of, order, path, record_of

WAIT_SLICE = 20.0
"""Longest single request that waits for a task, in seconds; after it the masters are asked anew."""


def submit(context: Context, spec: TaskSpec, key: str | None) -> Program[SubmittedTask]:
    """Submit one task."""
    key = key or new_key()
    request = order("POST", path("tasks"), spec.to_json(), key=key)
    return (yield from record_of(context, SubmittedTask, request, Repeat.ALWAYS, key=key))


def submit_many(
    context: Context, specs: Sequence[TaskSpec], key: str | None
) -> Program[list[SubmittedTask]]:
    """Submit all of the tasks or none."""
    if not specs:
        return []
    key = key or new_key()
    request = order("POST", path("tasks"), [spec.to_json() for spec in specs], key=key)
    reply = yield from answer_to(context, request, Repeat.ALWAYS, key=key)
    listed = json_of(reply)
    if not isinstance(listed, list) or len(listed) != len(specs):
        raise UnreadableAnswer(f"the answer to a submission of {len(specs)} tasks is no such list")
    return [decode(SubmittedTask, item) for item in listed]


def new_key() -> str:
    """Draw an idempotency key."""
    return str(uuid.uuid4())


def task(context: Context, task_id: str, consistency: Consistency | None) -> Program[Task]:
    """Return one task."""
    request = get(path("tasks", task_id), {"consistency": consistency})
    return (yield from record_of(context, Task, request))


def tasks(
    context: Context,
    *,
    state: str | None,
    worker: str | None,
    label: str | None,
    name_prefix: str | None,
    priority: int | None,
    page_size: int | None,
    consistency: Consistency | None,
) -> Program[None]:
    """Emit the tasks that meet all conditions, newest first."""
    cursor: str | None = None
    while True:
        parameters = {
            "state": None if state is None else str(state),
            "worker": worker,
            "label": label,
            "name_prefix": name_prefix,
            "priority": priority,
            "limit": page_size,
            "cursor": cursor,
            "consistency": consistency,
        }
        page = yield from record_of(context, TaskPage, get(path("tasks"), parameters))
        # A page may be empty and still not be the last one.
        for found in page.tasks:
            yield from emit(found)
        cursor = page.next_cursor
        if cursor is None:
            return


def cancel(context: Context, task_id: str) -> Program[SubmittedTask]:
    """Cancel a task. A repetition that finds the effect of the first time answers with it."""
    request = order("DELETE", path("tasks", task_id))
    try:
        return (yield from record_of(context, SubmittedTask, request, Repeat.ALWAYS))
    except CloudAIError as error:
        if not is_own_doing(error, Conflict):
            raise
        found = yield from task(context, task_id, None)
        if found.state not in (TaskState.CANCELLING, TaskState.CANCELLED):
            assert error.__cause__ is not None
            raise error.__cause__ from None
        return SubmittedTask(task_id=found.task_id, state=found.state)


def retry(context: Context, task_id: str) -> Program[SubmittedTask]:
    """Have a finished task run again."""
    request = order("POST", path("tasks", task_id, "retry"))
    return (yield from record_of(context, SubmittedTask, request, Repeat.UNLESS_AMBIGUOUS))


def wait(context: Context, task_id: str, timeout: float | None) -> Program[Task]:
    """Wait until a task is over, and return it."""
    deadline = None if timeout is None else (yield from now()) + timeout
    return (yield from _wait_until(context, task_id, deadline))


def wait_all(
    context: Context, task_ids: Iterable[str], timeout: float | None
) -> Program[list[Task]]:
    """Wait until all of the tasks are over, and return them in the same order."""
    deadline = None if timeout is None else (yield from now()) + timeout
    found: list[Task] = []
    for task_id in task_ids:
        found.append((yield from _wait_until(context, task_id, deadline)))
    return found


def _wait_until(context: Context, task_id: str, deadline: float | None) -> Program[Task]:
    while True:
        left = None if deadline is None else max(deadline - (yield from now()), 0.0)
        slice_ = WAIT_SLICE if left is None else min(left, WAIT_SLICE)
        request = get(path("tasks", task_id, "wait"), {"timeout": f"{round(slice_ * 1000)}ms"})
        timeouts = context.timeouts.longer_by(slice_)
        reply = yield from answer_to(context, request, timeouts=timeouts)
        # Without content while the task is not over.
        if reply.status != 204:
            return decode(Task, json_of(reply))
        if left is not None and left <= slice_:
            raise WaitTimeout(f"task {task_id} is not over in time")
