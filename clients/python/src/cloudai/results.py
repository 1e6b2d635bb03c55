"""Fetches what a function has returned, once its task is over."""

from __future__ import annotations

import contextlib

from .carriage import RESULT_MARK, Ending, unpacked_ending
from .client import Client
from .errors import CloudAIError, TaskFailed
from .model import OutputStream, Task, TaskState

_STDERR_CHARS_MAX = 300


def result_of(client: Client, task_id: str) -> Ending | None:
    """Return the end of the function that a task has run; none if the task was cancelled.

    Raises TaskFailed if the function has not come to its end, or its result cannot be had.
    """
    task = client.get(task_id)
    if task.state is TaskState.CANCELLED:
        return None
    ending = _last_line(client, task) if _may_have_ended(task) else None
    if ending is None or ending.has_failed != (task.state is TaskState.FAILED):
        raise TaskFailed(_explanation(client, task), task)
    return ending


def _may_have_ended(task: Task) -> bool:
    has_run = bool(task.attempts) and task.attempts[-1].started_at is not None
    is_end = task.state in (TaskState.COMPLETED, TaskState.FAILED)
    return has_run and is_end and task.exit_code in (0, 1)


def _last_line(client: Client, task: Task) -> Ending | None:
    try:
        line = _tail(client, task, "stdout")
    except CloudAIError as error:
        raise TaskFailed(
            f"the output of task {task.task_id} cannot be read: {error}", task
        ) from error
    return unpacked_ending(line) if line.startswith(RESULT_MARK) else None


def _tail(client: Client, task: Task, stream: OutputStream) -> str:
    number = task.attempts[-1].number
    output = b"".join(client.logs(task.task_id, attempt=number, stream=stream, tail=1))
    return output.rstrip(b"\n").rpartition(b"\n")[2].decode("utf-8", "replace")


def _explanation(client: Client, task: Task) -> str:
    last = task.attempts[-1] if task.attempts else None
    parts = [f"task {task.task_id} is {task.state} and has no result"]
    if task.exit_code is not None:
        parts.append(f"exit code {task.exit_code}")
    parts.extend(reason for reason in (task.reason, last.reason if last else None) if reason)
    if task.exit_code:
        # It says more than anything else, if it can be had.
        with contextlib.suppress(CloudAIError):
            parts.append(_tail(client, task, "stderr")[:_STDERR_CHARS_MAX])
    return ", ".join(part for part in parts if part)
