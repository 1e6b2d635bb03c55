"""Functions run as tasks, and what becomes of them comes back."""

from __future__ import annotations

import concurrent.futures
import functools
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cloudai
import remote_functions
from cloudai import Executor, NotConfigured, RemoteError, Resources, TaskFailed, TaskSpec, TooLarge
from cloudai.carriage import (
    BYTES_MAX,
    RESULT_VARIABLE,
    name_of,
    packed_call,
    packed_error,
    packed_value,
    unpacked_call,
    unpacked_ending,
)
from local_cluster import LocalCluster, eventually

PATIENCE = 120
TESTS = Path(__file__).resolve().parent
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
)


@settings(max_examples=30)
@given(st.lists(VALUES).map(tuple), st.dictionaries(st.text(), VALUES), VALUES)
def test_calls_and_values_travel_as_they_are(
    arguments: tuple[Any, ...], keywords: dict[str, Any], value: object
) -> None:
    assert unpacked_call(packed_call(arguments, keywords)) == (arguments, keywords)
    ending = unpacked_ending(packed_value(value))
    assert (ending.value, ending.has_failed) == (value, False)


def raised(function: Any, *arguments: Any) -> BaseException:
    try:
        function(*arguments)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_an_exception_travels_with_its_traceback() -> None:
    ending = unpacked_ending(packed_error(raised(remote_functions.fail, 7)))
    assert isinstance(ending.error, remote_functions.Unlucky)
    assert ending.error.number == 7
    assert "raise Unlucky(number)" in str(ending.error.__cause__)


@pytest.mark.parametrize(
    "error",
    [
        raised(remote_functions.fail_stubbornly),
        raised(remote_functions.leave, 3),
        raised(functools.partial(next, iter(())), *[]),
        ValueError("x" * 3 * BYTES_MAX),
        ValueError(lambda: None),
    ],
    ids=["stubborn", "exit", "stop", "large", "unpicklable"],
)
def test_an_exception_that_cannot_travel_is_told_of(error: BaseException) -> None:
    packed = packed_error(error)
    assert len(packed) <= BYTES_MAX
    ending = unpacked_ending(packed)
    assert isinstance(ending.error, (RemoteError, StopIteration))
    assert type(error).__name__ in str(ending.traceback) or "xxx" in str(ending.traceback)


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(TooLarge, match="65536 are allowed"):
        packed_call((b"x" * BYTES_MAX,), {})
    with pytest.raises(TooLarge):
        packed_value(b"x" * BYTES_MAX)


def test_a_function_has_a_name_or_is_refused() -> None:
    assert name_of(remote_functions.square) == "remote_functions:square"
    assert name_of(remote_functions.double) == "remote_functions:double"
    assert name_of(math.sqrt) == "math:sqrt"
    for nameless in (
        lambda: None,
        functools.partial(math.pow, 2),
        remote_functions.double.function,
        "abc".upper,
    ):
        with pytest.raises(NotConfigured):
            name_of(nameless)


def run(name: str, call: bytes, result: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": python_path(), RESULT_VARIABLE: str(result)}
    command = [sys.executable, "-m", "cloudai.run", name]
    return subprocess.run(
        command, input=call, env=environment, capture_output=True, timeout=PATIENCE, check=False
    )


def python_path() -> str:
    given = [
        str(Path(place).resolve()) for place in os.environ.get("PYTHONPATH", "").split(":") if place
    ]
    return ":".join([str(TESTS), *given])


def test_the_result_is_a_file_of_its_own(tmp_path: Path) -> None:
    result = tmp_path / "result"
    done = run("remote_functions:square", packed_call((3,), {}), result)
    assert (done.returncode, done.stdout) == (0, b"squaring 3")
    assert unpacked_ending(result.read_bytes()).value == 9

    done = run("remote_functions:absent", packed_call((3,), {}), result)
    assert done.returncode == 1
    error = unpacked_ending(result.read_bytes()).error
    assert "cannot import remote_functions:absent" in str(error)


def test_options_of_a_task_are_known() -> None:
    with pytest.raises(TypeError, match="comand"):
        cloudai.task(comand=["x"])
    with pytest.raises(NotConfigured, match="no executor is active"):
        remote_functions.double(2)
    assert remote_functions.double.function(2) == 4
    assert remote_functions.double.__doc__ == "Double a number."


TEMPLATE = TaskSpec(
    command=[sys.executable],
    env={"PYTHONPATH": python_path()},
    resources=Resources(cpu=0.1, memory_mb=64),
)


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[cloudai.Client]:
    with cluster.client(timeout=PATIENCE) as client:
        yield client


def test_results_and_exceptions_come_back(client: cloudai.Client) -> None:
    with Executor(client, TEMPLATE) as executor:
        futures = {executor.submit(remote_functions.square, n): n * n for n in range(6)}
        done, _ = concurrent.futures.wait(futures, PATIENCE)
        assert {future.result(): number for future, number in futures.items()} == {
            number: number for number in futures.values()
        }
        assert done == set(futures)
        where = executor.submit(remote_functions.whereabouts, a=[1]).result(PATIENCE)
        assert where["worker"].startswith("worker-")
        assert where["a"] == [1]
        with pytest.raises(remote_functions.Unlucky) as caught:
            executor.submit(remote_functions.fail, 7).result(PATIENCE)
        assert caught.value.number == 7
        with pytest.raises(TaskFailed, match="has no result") as failed:
            executor.submit(remote_functions.vanish).result(PATIENCE)
        assert failed.value.task.state is cloudai.TaskState.COMPLETED
        with pytest.raises(RemoteError, match="SystemExit"):
            executor.submit(remote_functions.leave, 3).result(PATIENCE)
        assert len(executor.submit(remote_functions.noise, 60_000).result(PATIENCE)) == 60_000
        with pytest.raises(TooLarge, match="65536 are allowed"):
            executor.submit(remote_functions.noise, BYTES_MAX).result(PATIENCE)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(remote_functions.square, 1)


def test_a_map_keeps_its_order_and_calls_of_tasks_are_tasks(client: cloudai.Client) -> None:
    with Executor(client, TEMPLATE) as executor:
        assert list(executor.map(remote_functions.square, range(20), timeout=PATIENCE)) == [
            number * number for number in range(20)
        ]
        future = remote_functions.double(21)
        assert future.result(PATIENCE) == 42
        task = client.get(future.task_id)
        assert (task.name, task.labels["kind"]) == ("double", "decorated")


def test_calls_that_wait_and_calls_that_run_are_cancelled(client: cloudai.Client) -> None:
    with Executor(client, TEMPLATE) as executor:
        running = executor.submit(remote_functions.sleep, 600)
        eventually(lambda: running.running() or None, "the call runs", PATIENCE)
        assert running.cancel()
        assert running.cancelled()
        assert running.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            running.result()
        assert client.wait(running.task_id, PATIENCE).state is cloudai.TaskState.CANCELLED

        cancelled_elsewhere = executor.submit(remote_functions.sleep, 600)
        client.cancel(cancelled_elsewhere.task_id)
        done, _ = concurrent.futures.wait([cancelled_elsewhere], PATIENCE)
        assert cancelled_elsewhere in done
        assert cancelled_elsewhere.cancelled()

        over = executor.submit(remote_functions.square, 1)
        assert over.result(PATIENCE) == 1
        assert not over.cancel()
        left = [executor.submit(remote_functions.sleep, 600) for _ in range(3)]
        executor.shutdown(cancel_futures=True)
        assert all(future.cancelled() for future in left)


def test_calls_outlive_a_frozen_leader(client: cloudai.Client, cluster: LocalCluster) -> None:
    """The leader is frozen, not killed: other tests need three masters."""
    leader = cluster.leader()
    with Executor(client, TEMPLATE) as executor:
        futures = [executor.submit(remote_functions.sleep, 1) for _ in range(4)]
        cluster.signal(leader, signal.SIGSTOP)
        try:
            futures += [executor.submit(remote_functions.sleep, 0) for _ in range(4)]
            assert [future.result(PATIENCE) for future in futures] == [None] * 8
        finally:
            cluster.signal(leader, signal.SIGCONT)
