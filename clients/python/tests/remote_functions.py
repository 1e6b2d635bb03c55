"""Functions that tests have workers run."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import cloudai


def square(number: int) -> int:
    print("squaring", number, end="")
    return number * number


def whereabouts(**named: Any) -> dict[str, Any]:
    return {"worker": os.environ["CLOUDAI_WORKER_ID"], **named}


class Unlucky(Exception):
    """An exception with what it was about."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stubborn(Exception):
    """An exception that cannot be read again."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__("both are needed")


def fail(number: int) -> None:
    raise Unlucky(number)


def fail_stubbornly() -> None:
    raise Stubborn(1, 2)


def leave(code: int) -> None:
    sys.exit(code)


def vanish() -> None:
    os._exit(0)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def noise(size: int) -> bytes:
    return os.urandom(size)


@cloudai.task(labels={"kind": "decorated"}, resources=cloudai.Resources(cpu=0.1, memory_mb=64))
def double(number: int) -> int:
    """Double a number."""
    return 2 * number
