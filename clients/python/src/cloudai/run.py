"""Runs a call of a function in the process of a task: ``python -m cloudai.run MODULE:QUALNAME``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from .carriage import CALL_VARIABLE, packed_error, packed_value, resolved, unpacked_call


def main(arguments: list[str]) -> int:
    """Run the function and write its end as the last line of the standard output."""
    call = os.environ.pop(CALL_VARIABLE, None)
    if len(arguments) != 1 or call is None:
        sys.stderr.write(f"usage: {CALL_VARIABLE}=... python -m cloudai.run MODULE:QUALNAME\n")
        return 2
    # What the function and its children write later goes elsewhere: the result stays the last line.
    output = os.dup(1)
    line, exit_code = _end_of(arguments[0], call)
    sys.stdout.flush()
    os.dup2(2, 1)
    # The function may have left a line without its end.
    _write(output, f"\n{line}\n".encode("ascii"))
    os.close(output)
    return exit_code


def _end_of(name: str, call: str) -> tuple[str, int]:
    try:
        function: Callable[..., Any] = resolved(name)
        positional, keywords = unpacked_call(call)
        # A function that is a task itself has the function that it stands for.
        value = getattr(function, "function", function)(*positional, **keywords)
        return packed_value(value), 0
    except (Exception, SystemExit) as error:
        return packed_error(error), 1


def _write(output: int, text: bytes) -> None:
    while text:
        text = text[os.write(output, text) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
