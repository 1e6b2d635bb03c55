"""The client for threads."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TypeVar, Union

import httpx

from .core import cluster_calls, event_calls, log_calls, queue_calls, schedule_calls, task_calls
from .core.calling import Context, Timeouts
from .core.endpoints import Endpoints, normalized
from .credentials import Credentials, PathLike, from_environment
from .drivers import KEEP_ALIVE, SyncDriver
from .model import (
    ClusterStatus,
    Consistency,
    Duration,
    Event,
    Job,
    NextRun,
    OutputStream,
    Position,
    Queue,
    QueueSpec,
    QueueSummary,
    Schedule,
    ScheduleSpec,
    SubmittedTask,
    Task,
    TaskExplanation,
    TaskSelection,
    TaskSpec,
    Topic,
    Worker,
)

Self = TypeVar("Self", bound="Client")
CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""Calls that wait for long may be many, and none waits for a connection of its own."""
EndpointList = Union[str, Sequence[str]]


def context_of(endpoints: EndpointList, credentials: Credentials, timeouts: Timeouts) -> Context:
    """Return what the calls of a client share. It begins with any of the endpoints."""
    listed = endpoints.split(",") if isinstance(endpoints, str) else endpoints
    urls = [normalized(url, is_encrypted=credentials.is_encrypted) for url in listed if url.strip()]
    # Chance spreads clients over the masters; nothing depends on it that an attacker could use.
    first = random.randrange(max(len(urls), 1))  # noqa: S311
    return Context(Endpoints(urls, first), timeouts)


class Client:
    """A client of the cluster that has these masters. It connects when it is first used.

    :param endpoints: HTTP addresses of masters, as ``host:port`` or URLs: a list, or a text with commas.
    :param token: bearer token, or a function that returns the one to present.
    :param token_file: file with the token, which nobody else may read.
    :param ca: file with the authority that is believed, in PEM; by default those of the system.
    :param cert: file with the client's certificate, in PEM.
    :param key: file with its key.
    :param timeout: seconds for a call with all its attempts.
    :param attempt_timeout: seconds for one attempt.
    :param transport: transport of httpx in place of the network.

    Threads may share a client. Proxies of the environment are not used: tokens go to masters only.
    """

    def __init__(
        self,
        endpoints: EndpointList,
        *,
        token: str | Callable[[], str] | None = None,
        token_file: PathLike | None = None,
        ca: PathLike | None = None,
        cert: PathLike | None = None,
        key: PathLike | None = None,
        timeout: float = 30.0,
        attempt_timeout: float = 6.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        credentials = Credentials(token, token_file, ca, cert, key)
        self._context = context_of(endpoints, credentials, Timeouts(attempt_timeout, timeout))
        if transport is None:
            transport = httpx.HTTPTransport(
                verify=credentials.tls(), limits=CONNECTIONS, socket_options=KEEP_ALIVE
            )
        http = httpx.Client(transport=transport, trust_env=False)
        self._driver = SyncDriver(http, credentials.bearer())

    @classmethod
    def from_env(cls: type[Self], environment: Mapping[str, str] | None = None) -> Self:
        """Create a client by variables.

        ``CLOUDAI_HTTP_ENDPOINTS`` has the addresses. ``CLUSTERCTL_TOKEN`` or ``CLUSTERCTL_TOKEN_FILE``,
        ``CLUSTERCTL_CACERT``, ``CLUSTERCTL_CERT`` and ``CLUSTERCTL_KEY`` are those of ``clusterctl``.
        """
        endpoints, given = from_environment(os.environ if environment is None else environment)
        return cls(
            endpoints,
            token=given.token,
            token_file=given.token_file,
            ca=given.ca,
            cert=given.cert,
            key=given.key,
        )

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._driver.close()

    # Tasks

    def submit(self, spec: TaskSpec, *, key: str | None = None) -> SubmittedTask:
        """Submit one task.

        The submission has an idempotency key, drawn for this call unless one is given, so it is repeated
        after a broken connection and is one task whatever happens. If no answer comes in time,
        :class:`OutcomeUnknown` has the key, with which the call may be made again.
        """
        return self._driver.run(task_calls.submit(self._context, spec, key))

    def submit_many(
        self, specs: Sequence[TaskSpec], *, key: str | None = None
    ) -> list[SubmittedTask]:
        """Submit all of the tasks or none, up to 10,000, in one submission.

        They may wait for each other by ``local_name``. The key is that of :meth:`submit`.
        """
        return self._driver.run(task_calls.submit_many(self._context, specs, key))

    def get(self, task_id: str, *, consistency: Consistency | None = None) -> Task:
        """Return one task."""
        return self._driver.run(task_calls.task(self._context, task_id, consistency))

    def tasks(
        self,
        *,
        state: str | None = None,
        worker: str | None = None,
        label: str | None = None,
        name_prefix: str | None = None,
        priority: int | None = None,
        page_size: int | None = None,
        consistency: Consistency | None = None,
    ) -> Iterator[Task]:
        """Iterate over the tasks that meet all conditions, newest first, page by page.

        ``state`` may hold several with commas between them, one of which a task must have.
        """
        program = task_calls.tasks(
            self._context,
            state=state,
            worker=worker,
            label=label,
            name_prefix=name_prefix,
            priority=priority,
            page_size=page_size,
            consistency=consistency,
        )
        return self._driver.iterate(program)

    def cancel(self, task_id: str) -> SubmittedTask:
        """Cancel a task: at once when it waits, and when its process has ended if it runs."""
        return self._driver.run(task_calls.cancel(self._context, task_id))

    def retry(self, task_id: str) -> SubmittedTask:
        """Have a task run again that has failed, was cancelled or was aborted."""
        return self._driver.run(task_calls.retry(self._context, task_id))

    def wait(self, task_id: str, timeout: float | None = None) -> Task:
        """Wait until a task is over, and return it; raise :class:`WaitTimeout` if that takes longer."""
        return self._driver.run(task_calls.wait(self._context, task_id, timeout))

    def wait_all(self, task_ids: Iterable[str], timeout: float | None = None) -> list[Task]:
        """Wait until all of the tasks are over, and return them in the same order."""
        return self._driver.run(task_calls.wait_all(self._context, task_ids, timeout))

    def logs(
        self,
        task_id: str,
        *,
        stream: OutputStream | None = None,
        attempt: int | None = None,
        tail: int | None = None,
        follow: bool = False,
    ) -> Iterator[bytes]:
        """Iterate over what a task has written, in pieces.

        By default that is the last attempt's, as far as it has come. With ``follow`` it goes on until
        the attempt that is named is over or, without one, through later attempts until the task is. An
        output of one ``stream`` without ``tail`` goes on after a broken connection where it was;
        otherwise :class:`LogInterrupted` is raised if something was shown already.
        """
        wanted = log_calls.LogRequest(task_id, stream, attempt, tail, follow)
        return self._driver.iterate(log_calls.logs(self._context, wanted))

    def explain(self, task_id: str, *, consistency: Consistency | None = None) -> TaskExplanation:
        """Explain why a task waits."""
        return self._driver.run(cluster_calls.explain(self._context, task_id, consistency))

    # Orders about many tasks

    def cancel_tasks(self, selection: TaskSelection) -> Job:
        """Begin to cancel all tasks that meet the conditions."""
        return self._driver.run(cluster_calls.cancel_tasks(self._context, selection))

    def retry_tasks(self, selection: TaskSelection) -> Job:
        """Begin to have all finished tasks run again that meet the conditions."""
        return self._driver.run(cluster_calls.retry_tasks(self._context, selection))

    def job(self, job_id: str, *, consistency: Consistency | None = None) -> Job:
        """Return one job."""
        return self._driver.run(cluster_calls.job(self._context, job_id, consistency))

    def jobs(self, *, consistency: Consistency | None = None) -> list[Job]:
        """Return the jobs that are under way, and the last ones that have ended."""
        return self._driver.run(cluster_calls.jobs(self._context, consistency))

    def wait_job(self, job_id: str, timeout: float | None = None) -> Job:
        """Wait until a job has ended, and return it."""
        return self._driver.run(cluster_calls.wait_job(self._context, job_id, timeout))

    # The cluster

    def status(self, *, consistency: Consistency | None = None) -> ClusterStatus:
        """Return the cluster as one of the masters sees it; needs no leader."""
        return self._driver.run(cluster_calls.status(self._context, consistency))

    def position(self) -> Position:
        """Return the place in the log that holds every change that was confirmed before this call.

        Whoever looks at the cluster after that, and follows events from there, misses nothing.
        """
        return self._driver.run(cluster_calls.position(self._context))

    def queue(
        self, *, classes: int | None = None, consistency: Consistency | None = None
    ) -> QueueSummary:
        """Sum up the tasks that wait."""
        return self._driver.run(cluster_calls.queue(self._context, classes, consistency))

    def workers(self, *, consistency: Consistency | None = None) -> Iterator[Worker]:
        """Iterate over the workers, by name."""
        return self._driver.iterate(cluster_calls.workers(self._context, consistency))

    def worker(self, worker_id: str, *, consistency: Consistency | None = None) -> Worker:
        """Return one worker."""
        return self._driver.run(cluster_calls.worker(self._context, worker_id, consistency))

    def cordon(self, worker_id: str) -> Worker:
        """Give a worker no more tasks; those that run there go on."""
        return self._driver.run(cluster_calls.cordon(self._context, worker_id))

    def uncordon(self, worker_id: str) -> Worker:
        """Give a worker tasks again; ends a drain, too."""
        return self._driver.run(cluster_calls.uncordon(self._context, worker_id))

    def drain(self, worker_id: str, *, deadline: Duration | None = None) -> Worker:
        """Give a worker no more tasks and empty it; after the deadline what still runs is stopped."""
        return self._driver.run(cluster_calls.drain(self._context, worker_id, deadline))

    def events(
        self,
        *,
        topics: Sequence[Topic] = (),
        types: Sequence[str] = (),
        tasks: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        from_index: int | None = None,
        cluster_id: str | None = None,
    ) -> Iterator[Event]:
        """Iterate over events as they happen, from now on or strictly after an index, without end.

        After a broken connection it goes on at any master, without a gap and without a repetition;
        where that cannot be, it tells so by :class:`Compacted`.
        """
        wanted = event_calls.Subscription(
            tuple(topics), tuple(types), tuple(tasks), dict(labels or {})
        )
        place = event_calls.EventPlace(from_index, cluster_id)
        return self._driver.iterate(event_calls.events(self._context, wanted, place))

    # Named queues

    def queues(self, *, consistency: Consistency | None = None) -> list[Queue]:
        """Return the named queues, by name."""
        return self._driver.run(queue_calls.queues(self._context, consistency))

    def named_queue(self, name: str, *, consistency: Consistency | None = None) -> Queue:
        """Return a named queue."""
        return self._driver.run(queue_calls.named_queue(self._context, name, consistency))

    def put_queue(self, spec: QueueSpec) -> Queue:
        """Create a named queue, or set all that it has."""
        return self._driver.run(queue_calls.put_queue(self._context, spec))

    def pause_queue(self, name: str) -> Queue:
        """Start none of its tasks from here on; those that run go on."""
        return self._driver.run(queue_calls.pause_queue(self._context, name, paused=True))

    def resume_queue(self, name: str) -> Queue:
        """Start its tasks again."""
        return self._driver.run(queue_calls.pause_queue(self._context, name, paused=False))

    def delete_queue(self, name: str) -> None:
        """Delete a named queue that has no live tasks and that no schedule names."""
        self._driver.run(queue_calls.delete_queue(self._context, name))

    # Schedules

    def create_schedule(self, spec: ScheduleSpec) -> Schedule:
        """Create a schedule."""
        return self._driver.run(schedule_calls.create_schedule(self._context, spec))

    def replace_schedule(self, spec: ScheduleSpec) -> Schedule:
        """Replace a schedule; what is known of its runs stays."""
        return self._driver.run(schedule_calls.replace_schedule(self._context, spec))

    def schedule(self, name: str, *, consistency: Consistency | None = None) -> Schedule:
        """Return a schedule with its latest runs."""
        return self._driver.run(schedule_calls.schedule(self._context, name, consistency))

    def schedules(self, *, consistency: Consistency | None = None) -> Iterator[Schedule]:
        """Iterate over the schedules by name, without their runs."""
        return self._driver.iterate(schedule_calls.schedules(self._context, consistency))

    def next_runs(self, name: str, *, count: int | None = None) -> list[NextRun]:
        """Return the next nominal times of a schedule, whether it is paused or not."""
        return self._driver.run(schedule_calls.next_runs(self._context, name, count))

    def run_schedule(self, name: str, *, key: str | None = None) -> SubmittedTask:
        """Start a run at once. The key is that of :meth:`submit`."""
        return self._driver.run(schedule_calls.run_schedule(self._context, name, key))

    def pause_schedule(self, name: str) -> Schedule:
        """Pause a schedule."""
        return self._driver.run(schedule_calls.pause_schedule(self._context, name, paused=True))

    def resume_schedule(self, name: str) -> Schedule:
        """Resume a schedule."""
        return self._driver.run(schedule_calls.pause_schedule(self._context, name, paused=False))

    def delete_schedule(self, name: str) -> None:
        """Delete a schedule. The tasks of its runs stay."""
        self._driver.run(schedule_calls.delete_schedule(self._context, name))
