"""Writes `aio.py`, the client for asyncio, from `client.py`.

Both have the same methods and share everything behind them; only who waits differs.
`python tools/make_async.py` writes the file, and `--check` says whether it is as it should be.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "cloudai"

REPLACED = [
    (
        '"""The client for threads."""',
        '"""The client for asyncio. Written by tools/make_async.py."""',
    ),
    ('Self = TypeVar("Self", bound="Client")', 'Self = TypeVar("Self", bound="AsyncClient")'),
    ("class Client:", "class AsyncClient:"),
    (
        "    Threads may share a client. Proxies",
        "    One event loop uses a client. Proxies",
    ),
    ("httpx.Client(", "httpx.AsyncClient("),
    ("httpx.BaseTransport", "httpx.AsyncBaseTransport"),
    ("httpx.HTTPTransport(", "httpx.AsyncHTTPTransport("),
    ("SyncDriver", "AsyncDriver"),
    ("Iterator", "AsyncIterator"),
    ("def __enter__", "async def __aenter__"),
    ("def __exit__", "async def __aexit__"),
    ("        self.close()\n", "        await self.close()\n"),
    ("self._driver.run(", "await self._driver.run("),
    ("self._driver.close()", "await self._driver.close()"),
    ("from .core.calling import Context, Timeouts\n", "from .core.calling import Timeouts\n"),
    (
        "from .core.endpoints import Endpoints, normalized\n",
        "from .client import CONNECTIONS, EndpointList, context_of\n",
    ),
    ("import os\nimport random\n", "import os\n"),
]

METHOD = re.compile(
    r"^    def (\w+)\(.*?(?=^    def |^    async def |^    @|^    # |\Z)", re.MULTILINE | re.DOTALL
)
SHARED = re.compile(r"^CONNECTIONS = .*?(?=^class )", re.MULTILINE | re.DOTALL)


def written() -> str:
    """Return the text of the file."""
    text = (PACKAGE / "client.py").read_text(encoding="utf-8")
    text = SHARED.sub("\n\n", text, count=1)
    for old, new in REPLACED:
        if old not in text:
            raise SystemExit(f"client.py does not contain {old!r} any more")
        text = text.replace(old, new)
    text = METHOD.sub(_waits, text)
    # The import that took another's place belongs beside its neighbors.
    shared = "from .client import CONNECTIONS, EndpointList, context_of\n"
    text = text.replace(shared, "", 1)
    text = text.replace("from .core import", shared + "from .core import", 1)
    return _ruff(
        "format", "-", text=_ruff("check", "--select=F401,I", "--fix", "--quiet", "-", text=text)
    )


def _ruff(*arguments: str, text: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, f"--stdin-filename={PACKAGE / 'aio.py'}"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout


def _waits(method: re.Match[str]) -> str:
    text = method.group(0)
    return text.replace("    def ", "    async def ", 1) if "await " in text else text


def main() -> None:
    """Write the file, or compare it."""
    path = PACKAGE / "aio.py"
    if sys.argv[1:] != ["--check"]:
        path.write_text(written(), encoding="utf-8")
    elif path.read_text(encoding="utf-8") != written():
        raise SystemExit("aio.py is not what tools/make_async.py writes: run it")


if __name__ == "__main__":
    main()
