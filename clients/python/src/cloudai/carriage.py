"""How a call of a function travels to a worker, and its result back.

Both travel as pickles. **To read a pickle is to run what its author wants**: a worker runs what whoever
submits tasks wants, as with any task, and a client that reads a result trusts the machine that the
function ran on and the masters between.
"""

from __future__ import annotations

import importlib
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import NotConfigured, RemoteError

BYTES_MAX = 64 << 10
"""Largest pickle: as much as a task may read from its standard input, and write as its result."""
RESULT_VARIABLE = "CLOUDAI_RESULT"
"""Environment variable that names the file of the result."""

# Every Python that this package runs on reads it, so client and worker need not be of one release.
_PROTOCOL = 4


class TooLarge(NotConfigured):
    """Arguments or a result do not fit: pass the name of a place where the data is."""


@dataclass(frozen=True)
class Ending:
    """End of a function: its value, or its exception with the text of its traceback."""

    value: Any = None
    error: BaseException | None = None
    traceback: str | None = None

    @property
    def has_failed(self) -> bool:
        """True if it has raised an exception."""
        return self.traceback is not None


def name_of(function: Callable[..., Any]) -> str:
    """Return the name, ``module:qualname``, by which a worker finds a function."""
    module = getattr(function, "__module__", None)
    qualname = getattr(function, "__qualname__", None)
    if not module or not qualname or "<" in qualname:
        raise NotConfigured(f"{function!r} has no name by which a worker could import it")
    if module == "__main__":
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        if spec is None or not spec.name:
            raise NotConfigured(
                f"{qualname} is of the program itself: put it into a module that workers can import"
            )
        module = spec.name
    name = f"{module}:{qualname}"
    if module == getattr(function, "__module__", None) and resolved(name) is not function:
        raise NotConfigured(f"{name} names something else than {function!r}")
    return name


def resolved(name: str) -> Any:
    """Import what a name means."""
    module, separator, qualname = name.partition(":")
    if not separator or not module or not qualname:
        raise NotConfigured(f"'{name}' is not module:qualname")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise NotConfigured(f"cannot import {name}: {error}") from error
    return found


def packed_call(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> bytes:
    """Write the arguments of a call."""
    return _bounded(pickle.dumps((arguments, dict(keywords)), _PROTOCOL), "the arguments")


def unpacked_call(packed: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read the arguments of a call."""
    arguments, keywords = pickle.loads(packed)  # noqa: S301
    return tuple(arguments), dict(keywords)


def packed_value(value: object) -> bytes:
    """Write the value that a function has returned."""
    return _bounded(pickle.dumps(("value", value), _PROTOCOL), "the result")


def packed_error(error: BaseException) -> bytes:
    """Write an exception, without the exception itself where it cannot be carried."""
    told = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    # What a client shows to people; half of it leaves room for the exception itself.
    told = told[-BYTES_MAX // 2 :]
    try:
        if not isinstance(error, Exception):
            # Raised at the client, it would end the client.
            raise TypeError("it is no exception of a function")
        packed = pickle.dumps(("error", error, told), _PROTOCOL)
        # Some exceptions can be written, and not be read again.
        pickle.loads(packed)  # noqa: S301
        return _bounded(packed, "the exception")
    except Exception:
        told = told[-BYTES_MAX // 8 :]
        return _bounded(pickle.dumps(("error", None, told), _PROTOCOL), "a traceback")


def unpacked_ending(packed: bytes) -> Ending:
    """Read the end of a function."""
    kind, *rest = pickle.loads(packed)  # noqa: S301
    if kind == "value":
        return Ending(value=rest[0])
    error, told = rest
    if error is None:
        return Ending(error=RemoteError(told), traceback=told)
    error.__cause__ = RemoteError(f"on the worker:\n{told}")
    return Ending(error=error, traceback=told)


def _bounded(packed: bytes, what: str) -> bytes:
    if len(packed) > BYTES_MAX:
        raise TooLarge(f"too large: {what}, {len(packed)} bytes; {BYTES_MAX} are allowed")
    return packed
