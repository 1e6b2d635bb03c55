"""The clients against a real cluster, whose leader is killed in the end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cloudai import (
    AsyncClient,
    Client,
    Conflict,
    Constraint,
    Event,
    Invalid,
    JobState,
    NoLeader,
    NotFound,
    OutcomeUnknown,
    QueueRate,
    QueueSpec,
    Resources,
    ScheduleSpec,
    TaskEvent,
    TaskSelection,
    TaskSpec,
    TaskState,
    Unauthorized,
    Untrusted,
    WaitTimeout,
)
from local_cluster import LocalCluster, eventually

PATIENCE = 120


@pytest.fixture
def client(cluster: LocalCluster) -> Client:
    return cluster.client()


def shell(script: str, **fields: Any) -> TaskSpec:
    return TaskSpec(
        command=["sh", "-c", script], resources=Resources(cpu=0.1, memory_mb=16), **fields
    )


def test_a_task_runs_and_everything_about_it_is_shown(client: Client) -> None:
    spec = shell(
        "echo out; echo err >&2; test $SHARD = 1",
        name="first",
        env={"SHARD": "1"},
        labels={"test": "shown"},
        run_timeout=60,
        constraints=[Constraint(label="zone", op="!=", value="nowhere")],
    )
    submitted = client.submit(spec)
    task = client.wait(submitted.task_id, PATIENCE)
    assert (task.state, task.exit_code, task.name) == (TaskState.COMPLETED, 0, "first")
    assert client.get(task.task_id).env == {"SHARD": "1"}
    assert b"".join(client.logs(task.task_id, stream="stdout")) == b"out\n"
    assert b"".join(client.logs(task.task_id, stream="stderr", follow=True)) == b"err\n"
    assert [found.task_id for found in client.tasks(label="test=shown")] == [task.task_id]
    assert client.explain(task.task_id).state is TaskState.COMPLETED
    with pytest.raises(Conflict):
        client.cancel(task.task_id)


def test_a_task_reads_its_input_and_leaves_a_result(client: Client) -> None:
    for content in (b"text\n", bytes(range(256))):
        spec = shell('cat > "$CLOUDAI_RESULT"', stdin=content)
        task = client.wait(client.submit(spec).task_id, PATIENCE)
        assert (task.result, task.result_bytes) == (content, len(content))
        assert task.stdin_bytes == len(content)


def test_a_graph_is_one_submission_and_many_are_waited_for(client: Client) -> None:
    graph = [
        shell("exit 3", local_name="a", max_attempts=1),
        shell("true", after=["a"]),
        shell("true", after_any=["a"]),
    ]
    ids = [task.task_id for task in client.submit_many(graph)]
    states = [task.state for task in client.wait_all(ids, PATIENCE)]
    assert states == [TaskState.FAILED, TaskState.ABORTED, TaskState.COMPLETED]
    client.retry(ids[0])
    assert client.wait(ids[0], PATIENCE).retries == 1

    with pytest.raises(Invalid) as caught:
        client.submit_many([shell("true"), shell("true", priority=900)])
    assert [fault.pointer for fault in caught.value.faults] == ["/1/priority"]


def test_pages_hold_every_task_once(client: Client) -> None:
    ids = {
        task.task_id for task in client.submit_many([shell("true", labels={"test": "pages"})] * 7)
    }
    found = [task.task_id for task in client.tasks(label="test=pages", page_size=2)]
    assert sorted(found) == sorted(ids)


def test_a_task_that_waits_is_explained_and_cancelled(client: Client) -> None:
    spec = TaskSpec(command=["true"], resources=Resources(cpu=9999), labels={"test": "waits"})
    task_id = client.submit(spec).task_id
    with pytest.raises(WaitTimeout):
        client.wait(task_id, 0.2)
    obstacles = client.explain(task_id).obstacles
    assert [obstacle.obstacle for obstacle in obstacles] == ["too-small"]
    assert client.queue().class_count >= 1
    job = client.cancel_tasks(TaskSelection(labels=["test=waits"]))
    assert client.wait_job(job.job_id, PATIENCE).state is JobState.COMPLETED
    assert client.get(task_id).state is TaskState.CANCELLED
    assert job.job_id in [found.job_id for found in client.jobs()]
    with pytest.raises(NotFound):
        client.get("t999999")


def test_workers_are_shown_and_ordered_about(client: Client) -> None:
    assert [worker.worker_id for worker in client.workers()] == ["worker-1", "worker-2"]
    assert client.cordon("worker-2").scheduling != "open"
    assert client.uncordon("worker-2").scheduling == "open"
    status = client.status()
    assert len(status.members) == 3
    assert status.workers["active"] == 2


def test_a_queue_is_paused_and_resumed(client: Client) -> None:
    name = f"q-{uuid.uuid4()}"
    spec = QueueSpec(name=name, weight=2, max_running=1, rate=QueueRate(starts=100, per="1s"))
    assert client.put_queue(spec).weight == 2
    assert client.pause_queue(name).paused
    task_id = client.submit(shell("true", queue=name, concurrency_key="k")).task_id
    with pytest.raises(WaitTimeout):
        client.wait(task_id, 0.3)
    assert client.get(task_id).queue == name
    assert client.named_queue(name).waiting == 1
    with pytest.raises(Conflict):
        client.delete_queue(name)
    assert not client.resume_queue(name).paused
    client.wait(task_id, PATIENCE)
    assert name in [queue.name for queue in client.queues()]
    client.delete_queue(name)
    with pytest.raises(NotFound):
        client.named_queue(name)


def test_a_schedule_lives_and_dies(client: Client) -> None:
    name = f"s-{uuid.uuid4()}"
    spec = ScheduleSpec(name=name, cron="@daily", task=shell("true"), catch_up_window="2h")
    assert client.create_schedule(spec).catch_up_window == "2h"
    with pytest.raises(Conflict):
        client.create_schedule(spec)
    assert len(client.next_runs(name, count=3)) == 3
    run = client.run_schedule(name)
    client.wait(run.task_id, PATIENCE)
    assert client.pause_schedule(name).paused
    assert not client.resume_schedule(name).paused
    assert client.schedule(name).last_task_id == run.task_id
    assert name in [schedule.name for schedule in client.schedules()]
    client.delete_schedule(name)
    with pytest.raises(NotFound):
        client.schedule(name)


def test_whom_the_cluster_does_not_know_is_told_so(cluster: LocalCluster) -> None:
    trusted = {"ca": cluster.options()["ca"]}
    with Client(cluster.endpoints, **trusted) as nobody, pytest.raises(Unauthorized):
        nobody.get("t1")
    with (
        Client(cluster.endpoints, **trusted, token="clu_x_y") as wrong,
        pytest.raises(Unauthorized),
    ):
        wrong.submit(shell("true"))
    https = [f"https://{endpoint}" for endpoint in cluster.endpoints]
    with Client(https) as distrustful, pytest.raises(Untrusted):
        distrustful.get("t1")


def test_the_same_with_asyncio(cluster: LocalCluster) -> None:
    async def scenario() -> None:
        async with AsyncClient(cluster.endpoints, **cluster.options()) as client:
            specs = [shell(f"echo {number}", labels={"test": "async"}) for number in range(5)]
            submitted = await asyncio.gather(*(client.submit(spec) for spec in specs))
            ids = [task.task_id for task in submitted]
            tasks = await client.wait_all(ids, PATIENCE)
            assert all(task.state is TaskState.COMPLETED for task in tasks)
            output = [piece async for piece in client.logs(ids[3], stream="stdout", follow=True)]
            assert b"".join(output) == b"3\n"
            found = [task.task_id async for task in client.tasks(label="test=async")]
            assert sorted(found) == sorted(ids)
            with pytest.raises(NotFound):
                await client.get("t999999")

    asyncio.run(scenario())


def test_a_cluster_without_a_quorum_says_so(cluster: LocalCluster) -> None:
    leader = cluster.leader()
    stopped = [node for node in (1, 2, 3) if node != leader]
    key = str(uuid.uuid4())
    spec = shell("true", labels={"test": "quorum"})
    for node in stopped:
        cluster.signal(node, signal.SIGSTOP)
    try:
        http = cluster.http_of(leader)
        with Client(http, **cluster.options(), timeout=8.0, attempt_timeout=7.0) as client:
            with pytest.raises(NoLeader):
                client.get("t1")
            # The log may have taken the task: whoever repeats the submission under its key finds out.
            with pytest.raises((OutcomeUnknown, NoLeader)):
                client.submit(spec, key=key)
            assert client.status().node_id == leader
    finally:
        for node in stopped:
            cluster.signal(node, signal.SIGCONT)
    with cluster.client(timeout=PATIENCE) as client:
        submitted = client.submit(spec, key=key)
        assert [task.task_id for task in client.tasks(label="test=quorum")] == [submitted.task_id]


class Follower(threading.Thread):
    """Follows the events of tasks with a label until all have completed."""

    def __init__(self, client: Client, label: str, count: int) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.label = label
        self.count = count
        self.events: list[Event] = []
        self.error: Exception | None = None

    def run(self) -> None:
        completed = 0
        try:
            for event in self.client.events(topics=["tasks"], labels={"test": self.label}):
                self.events.append(event)
                completed += isinstance(event, TaskEvent) and event.state is TaskState.COMPLETED
                if completed == self.count:
                    return
        except Exception as error:
            self.error = error


def client_of(cluster: LocalCluster, first: int) -> Client:
    """Return a client that begins with this master."""
    url = f"https://{cluster.http_of(first)}"

    def drawn() -> Client | None:
        client = cluster.client(timeout=PATIENCE)
        return client if client._context.endpoints.current == url else None

    return eventually(drawn, f"a client that begins with {url}")


@pytest.mark.kills
def test_a_leader_dies_and_nothing_is_lost_or_done_twice(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    threads, per_thread = 4, 30
    leader = cluster.leader()
    follower = Follower(client_of(cluster, leader), "killed", threads * per_thread)
    follower.start()
    long = client_of(cluster, leader)
    ticking = long.submit(shell("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 1; done"))
    pieces: list[bytes] = []
    reader = threading.Thread(
        target=lambda: pieces.extend(long.logs(ticking.task_id, stream="stdout", follow=True)),
        daemon=True,
    )
    reader.start()
    eventually(lambda: pieces or None, "output of the task", PATIENCE)

    acknowledged: list[str] = []
    errors: list[Exception] = []
    spec = shell(f"echo $CLOUDAI_ATTEMPT >> {tmp_path}/$CLOUDAI_TASK_ID", labels={"test": "killed"})

    def submit() -> None:
        with client_of(cluster, leader) as client:
            for _ in range(per_thread):
                try:
                    acknowledged.append(client.submit(spec).task_id)
                except Exception as error:
                    errors.append(error)

    submitters = [threading.Thread(target=submit, daemon=True) for _ in range(threads)]
    for submitter in submitters:
        submitter.start()
    eventually(lambda: len(acknowledged) > 20 or None, "20 acknowledged submissions", PATIENCE)
    os.kill(cluster.pid_of(leader), signal.SIGKILL)
    for submitter in submitters:
        submitter.join(PATIENCE)

    assert errors == []
    assert len(set(acknowledged)) == threads * per_thread
    with cluster.client(timeout=PATIENCE) as client:
        assert client.status(consistency="linearizable").leader_id != leader
        tasks = client.wait_all(acknowledged, PATIENCE)
        assert {task.state for task in tasks} == {TaskState.COMPLETED}
        listed = [task.task_id for task in client.tasks(label="test=killed", page_size=50)]
    assert sorted(listed) == sorted(acknowledged), "a task nobody was told of, or one twice"
    for task_id in acknowledged:
        assert (tmp_path / task_id).read_text().splitlines() == ["1"]

    reader.join(PATIENCE)
    assert b"".join(pieces) == b"1\n2\n3\n4\n5\n6\n7\n8\n"
    follower.join(PATIENCE)
    assert follower.error is None
    events = [event for event in follower.events if isinstance(event, TaskEvent)]
    completed = Counter(event.task_id for event in events if event.state is TaskState.COMPLETED)
    assert completed == Counter(acknowledged)
    indexes = [event.index for event in events]
    assert indexes == sorted(indexes)
