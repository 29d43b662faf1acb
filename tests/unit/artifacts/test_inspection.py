"""The worker process that reads bundles, and what becomes of one that is stopped."""

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.artifacts.bundles import Limits, read_bundle
from services.artifacts.inspection import inspect_bundle, worker_environment
from shared.errors import Invalid, TooLarge
from tests.unit.artifacts.bundles import ITEMS, make, manifest

LOOP = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
SLOW = Limits(render_s=300)


def workers(folder: Path) -> list[bytes]:
    """Command lines of the processes that work on `folder`."""

    def read() -> Iterator[bytes]:
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                yield file.read_bytes()
            except OSError:  # it ended meanwhile
                continue

    return [line for line in read() if str(folder).encode() in line]


async def test_the_worker_reads_what_reading_here_does(tmp_path: Path) -> None:
    archive = make(tmp_path, manifest())
    bundle = await inspect_bundle(archive, tmp_path / "there", Limits())
    assert bundle == read_bundle(archive, tmp_path / "here", Limits())
    name = "items-0.jsonl"
    assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


async def test_problems_come_back_as_they_were(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"bundle has 1 error: dev\.jsonl: line 1: is not JSON") as caught:
        await inspect_bundle(make(tmp_path, manifest(), dev__jsonl="{"), tmp_path / "out", Limits())
    assert caught.value.errors[0]["loc"] == ["dev.jsonl", 1]
    with pytest.raises(TooLarge, match="larger than 10 bytes"):
        await inspect_bundle(make(tmp_path, manifest()), tmp_path / "large", Limits(max_archive_bytes=10))


async def test_memory_is_limited(tmp_path: Path) -> None:
    line = '{"a": [' + "[]," * 5_000_000 + "[]]}"
    archive = make(tmp_path, manifest(), dev__jsonl=line)
    with pytest.raises(Invalid, match="needs more than 300,000,000 bytes of memory"):
        await inspect_bundle(archive, tmp_path / "out", Limits(memory_bytes=300_000_000, max_ratio=10_000))


async def test_cpu_time_is_limited(tmp_path: Path) -> None:
    archive = make(tmp_path, manifest(prompt={"template": LOOP}))
    with pytest.raises(Invalid, match="takes more than 2 s of CPU time"):
        await inspect_bundle(archive, tmp_path / "out", replace(SLOW, cpu_s=2))


async def test_time_is_limited_and_the_event_loop_stays_free(tmp_path: Path) -> None:
    archive = make(tmp_path, manifest(prompt={"template": LOOP}))
    inspection = asyncio.create_task(inspect_bundle(archive, tmp_path / "out", replace(SLOW, wall_s=2)))
    longest = 0.0
    while not inspection.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    with pytest.raises(Invalid, match="takes more than 2 s to read"):
        await inspection
    assert longest < 1
    assert not workers(tmp_path)


async def test_a_cancelled_inspection_leaves_no_process(tmp_path: Path) -> None:
    archive = make(tmp_path, manifest(prompt={"template": LOOP}), dev__jsonl=ITEMS)
    inspection = asyncio.create_task(inspect_bundle(archive, tmp_path / "out", SLOW))
    while not (running := workers(tmp_path)):
        await asyncio.sleep(0.01)
    assert b"services.artifacts.app" not in running[0]
    inspection.cancel()
    with pytest.raises(asyncio.CancelledError):
        await inspection
    assert not workers(tmp_path)


SERVICE = """
import asyncio, sys
from pathlib import Path
from services.artifacts.bundles import Limits
from services.artifacts.inspection import inspect_bundle

asyncio.run(inspect_bundle(Path(sys.argv[1]), Path(sys.argv[2]), Limits(render_s=300)))
"""


async def test_the_worker_dies_with_its_service(tmp_path: Path) -> None:
    archive = make(tmp_path, manifest(prompt={"template": LOOP}))
    out = tmp_path / "out"
    service = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVICE, str(archive), str(out))
    unpacked = out / "bundle" / "dev.jsonl"
    while not unpacked.exists():
        assert service.returncode is None
        await asyncio.sleep(0.01)
    assert len(workers(tmp_path)) == 2
    service.kill()
    await service.wait()
    async with asyncio.timeout(5):
        while workers(tmp_path):
            await asyncio.sleep(0.01)


def test_the_worker_sees_none_of_the_settings() -> None:
    own = {"ASSAY_S3_SECRET_KEY": "secret", "OTHER_TOKEN": "secret", "PATH": "/usr/bin"}
    seen = worker_environment(own)
    assert seen["PATH"] == "/usr/bin"
    assert "secret" not in seen.values()
