"""Events come without a gap and without a repetition, wherever connections break."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai import (
    Compacted,
    IndexAhead,
    JobEvent,
    JobState,
    OtherEvent,
    ScheduleEvent,
    TaskEvent,
    Unavailable,
)
from cloudai.core import event_calls, log_calls
from cloudai.core.effects import Broken, Request
from cloudai.core.event_calls import EventPlace, Subscription
from cloudai.core.event_source import EventSource, Message
from cloudai.errors import LogInterrupted
from simulated import LOST, UNREACHABLE, StreamSimulation, context, problem, success

# Events by index: some indexes bring several, all but the last of which say that more follow.
History = list[tuple[int, int]]
histories = st.lists(st.integers(1, 3), min_size=1, max_size=8).map(
    lambda counts: list(enumerate(counts, start=1))
)


def told(index: int, number: int, count: int) -> dict[str, Any]:
    event: dict[str, Any] = {
        "type": "storm",
        "index": index,
        "number": number,
        "cluster_id": "c1",
    }
    return event if number == count else {**event, "more": True}


def stream(history: History, after: int) -> bytes:
    """Write the stream of a master for a client that has had everything up to an index."""
    text = f"retry: 1000\nid: {after}\n\n"
    for index, count in history:
        if index <= after:
            continue
        for number in range(1, count + 1):
            is_last = f"id: {index}\n" if number == count else ""
            text += f"{is_last}data: {json.dumps(told(index, number, count))}\n\n"
    return text.encode()


def split(text: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[begin:end] for begin, end in itertools.pairwise(places)]


@given(histories, st.lists(st.integers(0, 2000), max_size=12), st.lists(st.integers(0, 2000)))
def test_events_are_told_once_each_wherever_connections_break(
    history: History, breaks: list[int], cuts: list[int]
) -> None:
    left = list(breaks)

    def connect(_: str, request: Request) -> list[bytes | Broken | None] | Broken:
        after = int(dict(request.headers).get("last-event-id", "0"))
        text = stream(history, after)
        if not left:
            return [*split(text, cuts)]
        cut = left.pop(0)
        if cut % 7 == 0:
            return UNREACHABLE
        return [*split(text[: cut % (len(text) + 1)], cuts), LOST]

    expected = [(index, number) for index, count in history for number in range(1, count + 1)]
    simulation = StreamSimulation(connect)
    place = EventPlace(index=0)
    program = event_calls.events(context(), Subscription(), place)
    events = simulation.collect(program, len(expected))
    assert [(event.index, event.data["number"]) for event in events] == expected


def test_a_stream_resumes_at_the_place_that_it_had_reached_without_an_event() -> None:
    connections: list[list[bytes | Broken | None]] = [
        [b"retry: 1000\nid: 7\n\n", b": still here\nid: 9\n\n", LOST],
        [b'id: 10\ndata: {"type": "storm", "index": 10}\n\n'],
    ]
    simulation = StreamSimulation(lambda _, __: connections.pop(0))
    wanted = Subscription(topics=("tasks",), labels={"team": "x=y"})
    events = simulation.collect(event_calls.events(context(), wanted, EventPlace()), 1)
    assert [event.index for event in events] == [10]
    first, second = simulation.opened
    assert first.query == (("subscribe", "tasks"), ("label", "team=x=y"))
    assert "last-event-id" not in dict(first.headers)
    assert dict(second.headers)["last-event-id"] == "9"


def test_a_gap_is_told() -> None:
    connections: list[list[bytes | Broken | None]] = [
        [
            b'id: 99\ndata: {"type": "compacted", "oldest_index": 100, "cluster_id": "c2"}\n\n'
            b'id: 100\ndata: {"type": "storm", "index": 100}\n\n'
            b'data: {"type": "closed", "reason": "this master is stopping"}\n\n',
            None,
        ],
        [b'id: 101\ndata: {"type": "storm", "index": 101}\n\n'],
    ]
    simulation = StreamSimulation(lambda _, __: connections.pop(0))
    place = EventPlace(index=300, cluster_id="c1")
    events = simulation.collect(event_calls.events(context(), Subscription(), place), 3)
    assert events[0] == Compacted(oldest_index=100, cluster_id="c2")
    assert [event.index for event in events[1:]] == [100, 101]
    assert ("cluster_id", "c2") in simulation.opened[1].query


def test_a_place_in_another_cluster_hides_no_event() -> None:
    connections: list[list[bytes | Broken | None]] = [
        [b"id: 4\n\n", b'data: {"type": "storm", "index": 5, "more": true}\n\n', LOST],
        [
            b'id: 2\ndata: {"type": "compacted", "oldest_index": 3, "cluster_id": "c2"}\n\n'
            b'id: 5\ndata: {"type": "storm", "index": 5}\n\n'
        ],
    ]
    simulation = StreamSimulation(lambda _, __: connections.pop(0))
    events = simulation.collect(event_calls.events(context(), Subscription(), EventPlace()), 3)
    assert [getattr(event, "index", None) for event in events] == [5, None, 5]


def test_a_stream_that_nobody_opens_ends_with_the_reason() -> None:
    program = event_calls.events(context(), Subscription(), EventPlace())
    with pytest.raises(Unavailable):
        StreamSimulation(lambda _, __: UNREACHABLE).collect(program)
    program = event_calls.events(context(), Subscription(), EventPlace(index=10**9))
    with pytest.raises(IndexAhead):
        StreamSimulation(lambda _, __: problem(409, "index-ahead")).collect(program)


def test_an_event_is_read_by_its_type() -> None:
    line = (
        b'id: 43\ndata: {"type":"task_status","task_id":"t17","name":"train-7","state":"failed",'
        b'"worker_id":"worker-1","attempt":3,"exit_code":1,"outcome":"failed","reason":"why",'
        b'"timestamp":"2025-11-17T10:30:00.000Z","index":43,"cluster_id":"c1"}\n\n'
        b'data: {"type":"eclipse","of":"the moon"}\n\n'
    )
    program = event_calls.events(context(), Subscription(), EventPlace())
    task, other = StreamSimulation(lambda _, __: [line]).collect(program, 2)
    assert isinstance(task, TaskEvent)
    assert (task.task_id, task.exit_code, task.state.is_terminal) == ("t17", 1, True)
    assert other == OtherEvent(type="eclipse", data={"type": "eclipse", "of": "the moon"})


def test_events_of_schedules_and_jobs_are_read() -> None:
    lines = (
        b'data: {"type":"schedule_status","schedule":"nightly","state":"active","started":8,"skipped":0,'
        b'"missed":1,"next_at":"2025-11-18T01:30:00.000Z","run":{"at":"2025-11-17T01:30:00.000Z",'
        b'"decided_at":"2025-11-17T01:30:00.412Z","manual":false,"outcome":"started","task_id":"t17"},'
        b'"timestamp":"2025-11-17T01:30:00.412Z","index":44,"cluster_id":"c1","more":true}\n\n'
        b'id: 44\ndata: {"type":"job_status","job_id":"j40","action":"cancel","state":"running","done":512,'
        b'"refused":0,"percent":25,"timestamp":"2025-11-17T10:31:00.000Z","index":44}\n\n'
    )
    program = event_calls.events(context(), Subscription(), EventPlace())
    schedule, job = StreamSimulation(lambda _, __: [lines]).collect(program, 2)
    assert isinstance(schedule, ScheduleEvent)
    assert schedule.run is not None
    assert (schedule.schedule, schedule.run.task_id, schedule.missed) == ("nightly", "t17", 1)
    assert isinstance(job, JobEvent)
    assert (job.job_id, job.state, job.done) == ("j40", JobState.RUNNING, 512)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_messages_do_not_depend_on_the_pieces_in_which_they_arrive(
    text: bytes, cuts: list[int]
) -> None:
    text = text.replace(b"a", b"\n").replace(b"b", b"data: ").replace(b"c", b"\r\n") + b"\n\n"
    whole = EventSource().feed(text)
    source = EventSource()
    assert [message for piece in split(text, cuts) for message in source.feed(piece)] == whole


def test_fields_of_a_message() -> None:
    source = EventSource()
    text = b"\xef\xbb\xbf: c\r\ndata:a\r\ndata:  b\rid: 7\nevent: x\n\nid: 9\n\n\ndata\n\n"
    assert source.feed(text) == [Message("7", "a\n b"), Message("9", None), Message(None, "")]


def task_json(state: str, attempts: int) -> dict[str, Any]:
    return {
        "task_id": "t1",
        "state": state,
        "priority": 50,
        "command": ["true"],
        "submitted_at": "2026-01-01T00:00:00.000Z",
        "index": 7,
        "attempts": [{"number": number, "worker_id": "w"} for number in range(1, attempts + 1)],
    }


@given(st.binary(min_size=1, max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_the_output_of_one_stream_goes_on_where_it_was(output: bytes, breaks: list[int]) -> None:
    left = list(breaks)

    def connect(_: str, request: Request) -> list[bytes | Broken | None]:
        if not left:
            return [output, None]
        cut = left.pop(0) % (len(output) + 1)
        return [*split(output[:cut], breaks), LOST] if cut else [LOST]

    wanted = log_calls.LogRequest("t1", "stdout", follow=True)
    simulation = StreamSimulation(connect, lambda _, __: success(task_json("completed", 1)))
    assert b"".join(simulation.collect(log_calls.logs(context(), wanted))) == output


def test_an_output_that_cannot_be_resumed_says_so() -> None:
    for wanted in (
        log_calls.LogRequest("t1"),
        log_calls.LogRequest("t1", "stdout", attempt=1, tail=10),
    ):
        simulation = StreamSimulation(lambda _, __: [b"abc", LOST])
        with pytest.raises(LogInterrupted, match="after 3 bytes"):
            simulation.collect(log_calls.logs(context(), wanted))
    # What was there is gone, as with the worker that had it.
    connections: list[list[bytes | Broken | None]] = [[b"abcdef", LOST], [b"abc", None]]
    simulation = StreamSimulation(lambda _, __: connections.pop(0))
    with pytest.raises(LogInterrupted, match="not there any more"):
        simulation.collect(log_calls.logs(context(), log_calls.LogRequest("t1", "stdout", 1)))


def test_a_followed_log_goes_through_all_attempts() -> None:
    looks = [
        task_json("queued", 0),
        task_json("queued", 0),
        task_json("running", 1),
        task_json("scheduled", 1),
        task_json("running", 2),
        task_json("completed", 2),
    ]
    outputs: list[list[bytes | Broken | None]] = [[b"one", None], [b"two", None]]
    simulation = StreamSimulation(lambda _, __: outputs.pop(0), lambda _, __: success(looks.pop(0)))
    wanted = log_calls.LogRequest("t1", follow=True)
    assert simulation.collect(log_calls.logs(context(), wanted)) == [b"one", b"two"]
    assert [dict(request.query)["attempt"] for request in simulation.opened] == ["1", "2"]
