"""Calls about the cluster, workers, the queue and jobs."""

from __future__ import annotations

from ..errors import UnreadableAnswer, WaitTimeout
from ..model.cluster import (
    ClusterStatus,
    Job,
    JobList,
    JobState,
    Position,
    QueueSummary,
    TaskExplanation,
    TaskSelection,
)
from ..model.codec import Duration, duration_text
from ..model.tasks import Consistency
from ..model.workers import Worker, WorkerPage
from .calling import Context, Repeat
from .effects import Program, emit, now, pause
from .requests import answer_to, get, order, path, record_of

JOB_POLL = 0.5
"""Pause between two looks at a job, in seconds."""
WORKERS_PER_PAGE = 1000


def status(context: Context, consistency: Consistency | None) -> Program[ClusterStatus]:
    """Return the cluster as one of the masters sees it."""
    request = get(path("cluster"), {"consistency": consistency})
    return (yield from record_of(context, ClusterStatus, request))


def position(context: Context) -> Program[Position]:
    """Return the place in the log that holds every change that was confirmed before."""
    request = get(path("cluster"), {"consistency": "linearizable"})
    reply = yield from answer_to(context, request)
    index = reply.headers.get("x-cluster-index", "")
    if not index.isdecimal():
        raise UnreadableAnswer(f"an answer has the index '{index}'")
    return Position(index=int(index), cluster_id=reply.headers.get("x-cluster-id"))


def workers(context: Context, consistency: Consistency | None) -> Program[None]:
    """Emit the workers, by name."""
    cursor: str | None = None
    while True:
        parameters = {"limit": WORKERS_PER_PAGE, "cursor": cursor, "consistency": consistency}
        page = yield from record_of(context, WorkerPage, get(path("workers"), parameters))
        for found in page.workers:
            yield from emit(found)
        cursor = page.next_cursor
        if cursor is None:
            return


def worker(context: Context, worker_id: str, consistency: Consistency | None) -> Program[Worker]:
    """Return one worker."""
    request = get(path("workers", worker_id), {"consistency": consistency})
    return (yield from record_of(context, Worker, request))


def cordon(context: Context, worker_id: str) -> Program[Worker]:
    """Give a worker no more tasks."""
    return (yield from _worker_order(context, worker_id, "cordon"))


def uncordon(context: Context, worker_id: str) -> Program[Worker]:
    """Give a worker tasks again."""
    return (yield from _worker_order(context, worker_id, "uncordon"))


def drain(context: Context, worker_id: str, deadline: Duration | None) -> Program[Worker]:
    """Give a worker no more tasks and empty it."""
    timeout = None if deadline is None else duration_text(deadline)
    return (yield from _worker_order(context, worker_id, "drain", timeout))


def _worker_order(
    context: Context, worker_id: str, verb: str, timeout: str | None = None
) -> Program[Worker]:
    request = order("POST", path("workers", worker_id, verb), timeout=timeout)
    return (yield from record_of(context, Worker, request, Repeat.UNLESS_AMBIGUOUS))


def queue(
    context: Context, classes: int | None, consistency: Consistency | None
) -> Program[QueueSummary]:
    """Sum up the tasks that wait."""
    request = get(path("queue"), {"limit": classes, "consistency": consistency})
    return (yield from record_of(context, QueueSummary, request))


def explain(
    context: Context, task_id: str, consistency: Consistency | None
) -> Program[TaskExplanation]:
    """Explain why a task waits."""
    request = get(path("tasks", task_id, "explain"), {"consistency": consistency})
    return (yield from record_of(context, TaskExplanation, request))


def cancel_tasks(context: Context, selection: TaskSelection) -> Program[Job]:
    """Begin to cancel many tasks."""
    request = order("POST", path("tasks", "cancel"), selection.to_json())
    return (yield from record_of(context, Job, request, Repeat.UNLESS_AMBIGUOUS))


def retry_tasks(context: Context, selection: TaskSelection) -> Program[Job]:
    """Begin to have many tasks run again."""
    request = order("POST", path("tasks", "retry"), selection.to_json())
    return (yield from record_of(context, Job, request, Repeat.UNLESS_AMBIGUOUS))


def job(context: Context, job_id: str, consistency: Consistency | None) -> Program[Job]:
    """Return one job."""
    request = get(path("jobs", job_id), {"consistency": consistency})
    return (yield from record_of(context, Job, request))


def jobs(context: Context, consistency: Consistency | None) -> Program[list[Job]]:
    """Return the jobs that are under way, and the last ones that have ended."""
    request = get(path("jobs"), {"consistency": consistency})
    listed = yield from record_of(context, JobList, request)
    return list(listed.jobs)


def wait_job(context: Context, job_id: str, timeout: float | None) -> Program[Job]:
    """Wait until a job has ended, and return it."""
    deadline = None if timeout is None else (yield from now()) + timeout
    while True:
        found = yield from job(context, job_id, None)
        if found.state is not JobState.RUNNING:
            return found
        if deadline is not None and (yield from now()) + JOB_POLL > deadline:
            raise WaitTimeout(f"job {job_id} has come to {found.percent} % in time")
        yield from pause(JOB_POLL)
