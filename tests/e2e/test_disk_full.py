"""A disk that is full in mid-run, under everything at once: nothing is lost, `/readyz` says so, and it goes on when there is room."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_kills import same
from tests.running import RunningStack

pytestmark = [
    pytest.mark.large,
    pytest.mark.timeout(300),
]  # a stack of its own, a minute of recovery, on a machine that others use


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if not shutil.which("mount"):
        pytest.skip("a small disk needs `mount`, which is not here")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1g", "none", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill(disk: Path) -> Path:
    filling = disk / "filling"
    with filling.open("wb", buffering=0) as file:  # a buffer that is not empty would be written again by closing
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            return filling


def test_a_full_disk(disk: Path) -> None:
    room = str(8 * 1024**2)
    with RunningStack(disk / "stack", ASSAY_JOBS_MAX_BYTES=room, ASSAY_EVENTS_MAX_BYTES=room) as running:
        running.push_sample_environment()
        model = running.add_model("sample-80", max_concurrency=16)
        undisturbed = running.wait(running.evaluate("word-problems", [model], phase="test"))[0]
        running.endpoint.reset()
        running.endpoint.behave(latency_ms=30)
        started = running.evaluate("word-problems", [model], phase="test")
        running.endpoint.wait(requests=100)
        # Nothing comes to its end before the disk is full.
        running.endpoint.gate(closed=True)
        filling = fill(disk)
        running.endpoint.gate(closed=False)
        named = ""
        deadline = time.monotonic() + 60
        while not any(part in named for part in ("nats", "mongodb", "objects")):
            assert time.monotonic() < deadline, "/readyz never named a part"
            answer = httpx.get(f"{running.url}/readyz", timeout=30)
            named = answer.json()["detail"] if answer.status_code == 503 else ""
        filling.unlink()
        # nats-server's JetStream does not come back by itself from a full disk (2.9.10): it has to be started again.
        running.kill("nats")
        running.until_ready()
        same(running, running.wait(started, timeout=120)[0], undisturbed)
