"""Functions whose calls are tasks."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from .errors import NotConfigured
from .model import TaskSpec

if TYPE_CHECKING:
    from .executor import Executor, TaskFuture

P = ParamSpec("P")
T = TypeVar("T")

active_executor: contextvars.ContextVar[Executor | None] = contextvars.ContextVar(
    "active_executor", default=None
)
"""Executor of the innermost ``with``."""

_OPTIONS = frozenset(field.name for field in fields(TaskSpec)) - {"command", "local_name"}


class TaskFunction(Generic[P, T]):
    """A function whose calls are tasks of the executor that is active.

    A call returns the future of its result. ``function`` is the function itself, to be called here.
    """

    def __init__(self, function: Callable[P, T], options: dict[str, Any]) -> None:
        self.function = function
        self.options = options
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]:
        """Submit a call to the executor that is active."""
        executor = active_executor.get()
        if executor is None:
            raise NotConfigured(
                f"no executor is active: call {self.function.__qualname__} within "
                "`with Executor(...)`, or its `function` to run it here"
            )
        return executor.submit(self, *args, **kwargs)

    def applied_to(self, spec: TaskSpec) -> TaskSpec:
        """Return a task with the options of this function; labels and variables are added."""
        options = dict(self.options)
        for name in ("env", "secret_env", "labels"):
            if name in options:
                options[name] = {**getattr(spec, name), **options[name]}
        return replace(spec, **options)


def task(**options: Any) -> Callable[[Callable[P, T]], TaskFunction[P, T]]:
    """Make the calls of a function tasks, with these fields of :class:`TaskSpec`.

    ``@cloudai.task(resources=cloudai.Resources(gpu=1), max_attempts=3)``
    """
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise TypeError(f"a task has no {', '.join(unknown)} that could be chosen")

    def decorate(function: Callable[P, T]) -> TaskFunction[P, T]:
        return TaskFunction(function, options)

    return decorate
