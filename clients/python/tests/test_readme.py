"""The examples of README.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from local_cluster import LocalCluster

README = Path(__file__).resolve().parent.parent / "README.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_examples_run(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    files = cluster.options()
    monkeypatch.setenv("CLOUDAI_HTTP_ENDPOINTS", ",".join(cluster.endpoints))
    monkeypatch.setenv("CLUSTERCTL_CACERT", files["ca"])
    monkeypatch.setenv("CLUSTERCTL_CERT", files["cert"])
    monkeypatch.setenv("CLUSTERCTL_KEY", files["key"])
    examples = EXAMPLE.findall(README.read_text(encoding="utf-8"))
    assert len(examples) > 4
    names: dict[str, Any] = {"__name__": "examples"}
    for number, example in enumerate(examples, start=1):
        exec(compile(example, f"README.md, example {number}", "exec"), names)
