"""Records are written as the API takes them and read as it gives them, also by later releases."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai import (
    AttemptOutcome,
    Constraint,
    Resources,
    ScheduleSpec,
    SubmittedTask,
    Task,
    TaskSelection,
    TaskSpec,
    TaskState,
    UnreadableAnswer,
)
from cloudai.core.requests import path, query
from cloudai.model.codec import decode, duration_text, parse_time, time_text


def test_a_task_is_written_without_what_is_absent() -> None:
    assert TaskSpec(command=["true"]).to_json() == {"command": ["true"]}
    spec = TaskSpec(
        command=("make", "test"),
        env={"SHARD": "1"},
        resources=Resources(cpu=0.5, custom={"license": 1}),
        constraints=[
            Constraint(label="zone", op="in", value=["a", "b"]),
            Constraint(label="ssd", op="exists"),
        ],
        run_timeout=timedelta(minutes=10),
        retry_backoff=0.25,
        queue_timeout="1h 30m",
        deadline=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc),
        no_retry_exit_codes=[2, "64-78"],
        after=["t17"],
        priority=0,
    )
    assert spec.to_json() == {
        "command": ["make", "test"],
        "env": {"SHARD": "1"},
        "resources": {"cpu": 0.5, "custom": {"license": 1}},
        "constraints": [
            {"label": "zone", "op": "in", "value": ["a", "b"]},
            {"label": "ssd", "op": "exists"},
        ],
        "run_timeout": "600000ms",
        "retry_backoff": "250ms",
        "queue_timeout": "1h 30m",
        "deadline": "2026-01-02T03:04:05.678Z",
        "no_retry_exit_codes": [2, "64-78"],
        "after": ["t17"],
        "priority": 0,
    }


def test_selections_and_schedules_are_written_by_their_fields() -> None:
    selection = TaskSelection(states=[TaskState.FAILED, "aborted"], labels=["team=x"])
    assert selection.to_json() == {"states": ["failed", "aborted"], "labels": ["team=x"]}
    assert TaskSelection(all=True).to_json() == {"all": True}
    spec = ScheduleSpec(
        name="n", cron="@daily", task=TaskSpec(command=["true"], delay=1), catch_up_window="2h"
    )
    assert spec.to_json() == {
        "name": "n",
        "cron": "@daily",
        "task": {"command": ["true"], "delay": "1000ms"},
        "catch_up_window": "2h",
    }


def test_what_cannot_be_written_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="list of texts"):
        TaskSpec(command="make test")
    with pytest.raises(ValueError, match="no time zone"):
        TaskSpec(command=["a"], not_before=datetime(2026, 1, 1)).to_json()
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="no time span"):
            duration_text(wrong)


@given(st.binary(max_size=50) | st.text(max_size=50))
def test_bytes_are_a_text_where_they_are_one(content: bytes | str) -> None:
    written = TaskSpec(command=["cat"], stdin=content).to_json()["stdin"]
    read = decode(Task, {**TASK, "result": json.loads(json.dumps(written))}).result
    assert read == (content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("wrong", [7, {}, {"base64": "?"}, {"base64": 7}])
def test_what_are_no_bytes_is_named(wrong: object) -> None:
    with pytest.raises(UnreadableAnswer, match="at '/result'"):
        decode(Task, {**TASK, "result": wrong})


def test_secrets_are_not_shown() -> None:
    assert "hunter2" not in repr(TaskSpec(command=["a"], secret_env={"TOKEN": "hunter2"}))


TASK = {
    "task_id": "t17",
    "state": "running",
    "priority": 50,
    "command": ["python3", "train.py"],
    "submitted_at": "2025-11-17T10:30:00.000Z",
    "index": 1042,
    "attempts": [{"number": 1, "worker_id": "worker-1", "started_at": None, "outcome": "lost"}],
    "resources": {"cpu": 2, "memory_mb": 4096, "custom": {}},
}


def test_a_record_of_a_later_release_is_read() -> None:
    task = decode(Task, {**TASK, "state": "levitating", "mood": "calm"})
    assert task.state == "levitating"
    assert isinstance(task.state, TaskState)
    assert not task.is_terminal
    assert task.attempts[0].outcome is AttemptOutcome.LOST
    assert task.submitted_at == datetime(2025, 11, 17, 10, 30, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"priority": "high"}, "/priority"),
        ({"priority": True}, "/priority"),
        ({"command": "true"}, "/command"),
        ({"command": [1]}, "/command/0"),
        ({"submitted_at": "yesterday"}, "/submitted_at"),
        ({"attempts": [{"number": 1}]}, "/attempts/0/worker_id"),
        ({"labels": []}, "/labels"),
        ({"state": 7}, "/state"),
        ({"index": None}, "/index"),
    ],
)
def test_a_wrong_answer_is_named_with_its_place(change: dict[str, object], place: str) -> None:
    with pytest.raises(UnreadableAnswer, match=f"at '{place}'"):
        decode(Task, {**TASK, **change})


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_any_other_json_is_no_record(value: object) -> None:
    with pytest.raises(UnreadableAnswer):
        decode(SubmittedTask, value)


@given(st.integers(0, 4_000_000_000_000), st.integers(-14 * 60, 14 * 60))
def test_times_read_back_to_the_millisecond(millis: int, offset: int) -> None:
    zone = timezone(timedelta(minutes=offset))
    time = datetime(1970, 1, 1, tzinfo=zone) + timedelta(milliseconds=millis)
    assert parse_time(time_text(time)) == time


@given(st.floats(0, 1e9))
def test_spans_are_written_to_the_millisecond(seconds: float) -> None:
    text = duration_text(seconds)
    assert text.endswith("ms")
    assert abs(int(text[:-2]) / 1000 - seconds) <= 0.001


def test_paths_and_queries_hold_whatever_is_named() -> None:
    assert path("tasks", "a/../b?c#d%é") == "/api/tasks/a%2F..%2Fb%3Fc%23d%25%C3%A9"
    assert query({"a": None, "b": "", "c": True, "d": 7, "e": ["x", "y"]}) == (
        ("c", "true"),
        ("d", "7"),
        ("e", "x"),
        ("e", "y"),
    )
