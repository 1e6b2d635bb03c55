"""Runs a call of a function in the process of a task: ``python -m cloudai.run MODULE:QUALNAME``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .carriage import RESULT_VARIABLE, packed_error, packed_value, resolved, unpacked_call


def main(arguments: list[str]) -> int:
    """Run the function whose arguments are the standard input, and write its end into the result."""
    result = os.environ.get(RESULT_VARIABLE)
    if len(arguments) != 1 or not result:
        sys.stderr.write(
            f"usage: {RESULT_VARIABLE}=FILE python -m cloudai.run MODULE:QUALNAME <CALL\n"
        )
        return 2
    ending, exit_code = _end_of(arguments[0], sys.stdin.buffer.read())
    Path(result).write_bytes(ending)
    return exit_code


def _end_of(name: str, call: bytes) -> tuple[bytes, int]:
    try:
        function: Callable[..., Any] = resolved(name)
        positional, keywords = unpacked_call(call)
        # A function that is a task itself has the function that it stands for.
        value = getattr(function, "function", function)(*positional, **keywords)
        return packed_value(value), 0
    except (Exception, SystemExit) as error:
        return packed_error(error), 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
