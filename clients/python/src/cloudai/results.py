"""Fetches what a function has returned, once its task is over."""

from __future__ import annotations

import contextlib

from .carriage import Ending, unpacked_ending
from .client import Client
from .errors import CloudAIError, TaskFailed
from .model import Task, TaskState

_STDERR_CHARS_MAX = 300


def result_of(client: Client, task_id: str) -> Ending | None:
    """Return the end of the function that a task has run; none if the task was cancelled.

    Raises TaskFailed if the function has not come to its end.
    """
    task = client.get(task_id)
    if task.state is TaskState.CANCELLED:
        return None
    # A process that was ended from outside has left no result, or that of a child of its own.
    is_end = task.state in (TaskState.COMPLETED, TaskState.FAILED) and task.exit_code in (0, 1)
    ending = unpacked_ending(task.result) if is_end and task.result is not None else None
    if ending is None or ending.has_failed != (task.state is TaskState.FAILED):
        raise TaskFailed(_explanation(client, task), task)
    return ending


def _last_words(client: Client, task: Task) -> str:
    number = task.attempts[-1].number
    output = b"".join(client.logs(task.task_id, attempt=number, stream="stderr", tail=1))
    return output.rstrip(b"\n").rpartition(b"\n")[2].decode("utf-8", "replace")


def _explanation(client: Client, task: Task) -> str:
    last = task.attempts[-1] if task.attempts else None
    parts = [f"task {task.task_id} is {task.state} and has no result"]
    if task.exit_code is not None:
        parts.append(f"exit code {task.exit_code}")
    parts.extend(
        reason
        for reason in (task.reason, last.reason if last else None, task.result_error)
        if reason
    )
    if task.exit_code:
        # It says more than anything else, if it can be had.
        with contextlib.suppress(CloudAIError):
            parts.append(_last_words(client, task)[:_STDERR_CHARS_MAX])
    return ", ".join(part for part in parts if part)
