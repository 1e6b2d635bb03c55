"""A call is repeated where that is safe, and its end says what has become of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudai import (
    CloudAIError,
    Conflict,
    IdempotencyConflict,
    Invalid,
    NoLeader,
    Outcome,
    OutcomeUnknown,
    Overloaded,
    ServerError,
    TaskSpec,
    TaskState,
    Unauthorized,
    Unavailable,
    Untrusted,
)
from cloudai.core import cluster_calls, task_calls
from cloudai.core.effects import Reply, Request
from simulated import (
    ENDPOINTS,
    LOST,
    TIMED_OUT,
    UNREACHABLE,
    UNTRUSTED,
    Answer,
    Simulation,
    context,
    problem,
    success,
)

SPEC = TaskSpec(command=["true"])
ACCEPTED = {"task_id": "t1", "state": "queued"}
WORKER = {
    "worker_id": "w",
    "is_active": True,
    "state": "active",
    "reason": "registered",
    "epoch": 1,
    "index": 1,
}

NOTHING_DONE: list[Answer] = [
    UNREACHABLE,
    UNTRUSTED,
    problem(503, "no-leader", "rejected", retry_after=1),
    problem(503, "not-leader", "rejected", retry_after=1),
    problem(429, "overloaded", "rejected", retry_after=1),
    problem(429, "queue-full", "rejected"),
    problem(401, "unauthenticated"),
    problem(422, "invalid-task", "rejected"),
]
PERHAPS_DONE: list[Answer] = [
    LOST,
    TIMED_OUT,
    problem(504, "timeout"),
    problem(503, "no-leader", "unknown"),
    problem(500, "internal"),
    Reply(502, {}, b"<html>"),
    Reply(504, {}, b""),
]


@dataclass
class Cluster:
    """Does what it is asked, and loses what it is told to lose."""

    faults: list[tuple[Answer, bool]]
    done: list[str | None] = field(default_factory=list)

    def answer(self, endpoint: str, request: Request) -> Answer:
        key = dict(request.headers).get("idempotency-key")
        fault, is_done = self.faults.pop(0) if self.faults else (None, True)
        if is_done and (key is None or key not in self.done):
            self.done.append(key)
        if fault is not None:
            return fault
        return success(WORKER if "workers" in request.path else ACCEPTED, 201)


def some_faults() -> st.SearchStrategy[list[tuple[Answer, bool]]]:
    nothing_done = st.tuples(st.sampled_from(NOTHING_DONE), st.just(False))
    perhaps_done = st.tuples(st.sampled_from(PERHAPS_DONE), st.booleans())
    return st.lists(nothing_done | perhaps_done, max_size=60)


@given(some_faults())
def test_a_submission_is_one_task_whatever_is_lost(
    faults: list[tuple[Answer, bool]],
) -> None:
    cluster = Cluster(faults)
    simulation = Simulation(cluster.answer)
    try:
        simulation.run(task_calls.submit(context(), SPEC, None))
    except CloudAIError as error:
        if error.outcome is Outcome.REJECTED:
            assert cluster.done == []
        else:
            assert isinstance(error, OutcomeUnknown)
            assert error.idempotency_key is not None
            assert cluster.done in ([], [error.idempotency_key])
    else:
        assert len(cluster.done) == 1
    assert simulation.clock < 30 + 6 + 1


@given(some_faults())
def test_a_change_without_a_key_is_made_once_at_most(
    faults: list[tuple[Answer, bool]],
) -> None:
    cluster = Cluster(faults)
    try:
        Simulation(cluster.answer).run(cluster_calls.cordon(context(), "w"))
    except OutcomeUnknown as error:
        assert error.idempotency_key is None
        assert cluster.done in ([], [None])
    except CloudAIError:
        assert cluster.done == []
    else:
        assert cluster.done == [None]


def end_of(*answers: Answer, **times: float) -> tuple[CloudAIError, Simulation]:
    """Return how a submission ends whose attempts are answered so, the last one for ever."""
    left = list(answers)
    simulation = Simulation(lambda _, __: left.pop(0) if len(left) > 1 else left[0])
    with pytest.raises(CloudAIError) as caught:
        simulation.run(task_calls.submit(context(times), SPEC, "my-key"))
    return caught.value, simulation


def test_every_endpoint_is_asked_before_any_is_asked_again() -> None:
    error, simulation = end_of(UNREACHABLE)
    assert type(error) is Unavailable
    assert error.outcome is Outcome.REJECTED
    assert [endpoint for _, endpoint in simulation.asked[:6]] == [*ENDPOINTS, *ENDPOINTS]
    assert simulation.asked[2][0] < 0.01


def test_a_cluster_without_a_leader_is_asked_as_often_as_it_wants() -> None:
    error, simulation = end_of(problem(503, "no-leader", "rejected", retry_after=1), call=10.0)
    assert isinstance(error, NoLeader)
    assert error.outcome is Outcome.REJECTED
    for endpoint in ENDPOINTS:
        times = [time for time, asked in simulation.asked if asked == endpoint]
        assert len(times) >= 8
        assert all(after - before >= 1.0 for before, after in itertools.pairwise(times))


def test_an_overloaded_cluster_is_given_the_time_that_it_asks_for() -> None:
    error, simulation = end_of(problem(429, "overloaded", "rejected", retry_after=2), call=10.0)
    assert isinstance(error, Overloaded)
    times = [time for time, _ in simulation.asked]
    assert all(after - before >= 2.0 for before, after in itertools.pairwise(times))


def test_masters_that_do_not_believe_each_other_are_not_asked_for_ever() -> None:
    error, simulation = end_of(UNTRUSTED)
    assert type(error) is Untrusted
    assert len(simulation.asked) == len(ENDPOINTS)


def test_a_lost_answer_is_unknown_until_another_tells() -> None:
    error, _ = end_of(LOST, UNREACHABLE)
    assert isinstance(error, OutcomeUnknown)
    assert error.idempotency_key == "my-key"
    assert isinstance(error.__cause__, Unavailable)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(401, "unauthenticated"), Unauthorized),
        (problem(422, "invalid-task", "rejected"), Invalid),
        (problem(409, "idempotency-conflict", "rejected"), IdempotencyConflict),
        (problem(500, "internal", "rejected"), ServerError),
        (Reply(501, {}, b"no"), OutcomeUnknown),
        (Reply(418, {}, b"a teapot"), Invalid),
    ],
)
def test_what_would_not_change_is_not_asked_again(answer: Reply, kind: type[CloudAIError]) -> None:
    error, simulation = end_of(answer)
    assert type(error) is kind
    assert len(simulation.asked) == 1


def test_calls_stay_with_the_endpoint_that_answers() -> None:
    shared = context()
    down = {ENDPOINTS[0]}
    simulation = Simulation(
        lambda endpoint, _: UNREACHABLE if endpoint in down else success(ACCEPTED, 201)
    )
    for _ in range(3):
        simulation.run(task_calls.submit(shared, SPEC, None))
    assert [endpoint for _, endpoint in simulation.asked] == [ENDPOINTS[0], *[ENDPOINTS[1]] * 3]


def test_a_cancel_that_finds_its_own_effect_has_succeeded() -> None:
    task = {
        "task_id": "t1",
        "state": "cancelled",
        "priority": 50,
        "command": ["true"],
        "submitted_at": "2026-01-01T00:00:00.000Z",
        "index": 7,
    }
    answers: list[Answer] = [LOST, problem(409, "conflict", "rejected"), success(task)]
    found = Simulation(lambda _, __: answers.pop(0)).run(task_calls.cancel(context(), "t1"))
    assert found.state is TaskState.CANCELLED

    # Somebody else's end of the task is no success of ours.
    answers = [LOST, problem(409, "conflict", "rejected"), success({**task, "state": "completed"})]
    with pytest.raises(Conflict):
        Simulation(lambda _, __: answers.pop(0)).run(task_calls.cancel(context(), "t1"))


def test_a_wait_goes_on_over_leaders_that_come_and_go() -> None:
    over = {
        "task_id": "t1",
        "state": "failed",
        "priority": 50,
        "command": ["false"],
        "submitted_at": "2026-01-01T00:00:00.000Z",
        "index": 7,
        "exit_code": 1,
    }
    answers: list[Answer] = [
        Reply(204),
        LOST,
        problem(503, "no-leader"),
        Reply(204),
        TIMED_OUT,
        success(over),
    ]
    simulation = Simulation(lambda _, __: answers.pop(0))
    found = simulation.run(task_calls.wait(context(), "t1", None))
    assert (found.state, found.exit_code) == (TaskState.FAILED, 1)
