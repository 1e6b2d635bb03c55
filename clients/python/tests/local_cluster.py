"""A real cluster on this machine: three masters and two workers, started by `clusterctl dev`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cloudai import Client

T = TypeVar("T")

START_SECONDS_MAX = 120
PORTS = (1, 2, 3, 101, 102, 103, 201, 202)


def programs() -> Path | None:
    """Return the directory of the built programs, if there is one."""
    target = os.environ.get("CARGO_TARGET_DIR")
    root = Path(__file__).resolve().parents[3]
    built = Path(target) if target else root / "target"
    directory = Path(os.environ.get("CLOUDAI_BIN") or built / "release")
    return directory if (directory / "clusterctl").exists() else None


def free_base_port() -> int:
    """Find ports that nobody listens on."""
    for base in range(18_400, 30_000, 400):
        with contextlib.ExitStack() as open_sockets:
            try:
                for port in PORTS:
                    listener = open_sockets.enter_context(socket.socket())
                    listener.bind(("127.0.0.1", base + port))
            except OSError:
                continue
            return base
    raise RuntimeError("there are no free ports")


def eventually(told: Callable[[], T | None], what: str, seconds: float = 60) -> T:
    """Wait until there is a value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = told()
        if value is not None:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass
class LocalCluster:
    """Processes and addresses of the cluster."""

    overview: dict[str, Any]

    @property
    def endpoints(self) -> list[str]:
        return [process["http"] for process in self._masters()]

    def _masters(self) -> list[dict[str, Any]]:
        return [process for process in self.overview["processes"] if process["http"]]

    def options(self) -> dict[str, Any]:
        """Return what a client shows to this cluster."""
        files = self.overview["files"]
        return {"ca": files["cacert"], "cert": files["cert"], "key": files["key"]}

    def client(self, **options: Any) -> Client:
        return Client(self.endpoints, **{**self.options(), **options})

    def pid_of(self, node_id: int) -> int:
        name = f"master-{node_id}"
        return next(int(process["pid"]) for process in self._masters() if process["name"] == name)

    def http_of(self, node_id: int) -> str:
        name = f"master-{node_id}"
        return next(str(process["http"]) for process in self._masters() if process["name"] == name)

    def leader(self) -> int:
        with self.client() as client:
            return eventually(lambda: client.status().leader_id, "a leader")

    def signal(self, node_id: int, number: signal.Signals) -> None:
        os.kill(self.pid_of(node_id), number)


@contextlib.contextmanager
def started(bin_dir: Path, log: Path) -> Iterator[LocalCluster]:
    """Start a cluster, with certificates, and stop it at the end."""
    command = [
        str(bin_dir / "clusterctl"),
        "--output=json",
        "dev",
        f"--base-port={free_base_port()}",
    ]
    with (
        log.open("w") as messages,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages, text=True) as process,
    ):
        try:
            yield LocalCluster(_overview(process, log))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _overview(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    text = ""
    deadline = time.monotonic() + START_SECONDS_MAX
    for line in process.stdout:
        text += line
        with contextlib.suppress(ValueError):
            overview: dict[str, Any] = json.loads(text)
            return overview
        if time.monotonic() > deadline:
            break
    raise AssertionError(f"the cluster has not started: {log.read_text()}{text}")
