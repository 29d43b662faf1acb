"""A launcher against a real broker, with tiny engines: what it starts, says, restarts and stops, and that it leaves no process behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import httpx
import nats
import pytest
import yaml
from faststream import FastStream
from nats.aio.client import Client
from nats.js.errors import KeyNotFoundError

from services.launcher import local
from services.launcher.app import build
from shared import subjects
from shared.contracts import EngineLines, EngineOrder, EngineSettings, EngineState, ModelStatus
from shared.provision import provision
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "tiny_engine.py"


class Desk:
    """Orders engines as the orchestrator does, and reads what the launchers say."""

    def __init__(self, nc: Client, settings: Settings, folder: Path) -> None:
        self.nc, self.js, self.settings, self.folder = nc, nc.jetstream(), settings, folder
        self.checkpoint = folder / "checkpoint"
        self.checkpoint.mkdir()
        self.models: list[str] = []

    async def open(self) -> None:
        await provision(self.js, self.settings)
        self.store = await self.js.key_value(subjects.KV_ENGINES)

    async def order(self, model: str, *args: str, until_s: float = 600, request: int = 1, **settings: object) -> None:
        chosen = {"name": "tiny", "checkpoint": str(self.checkpoint), "args": list(args), **settings}
        order = EngineOrder(
            model=model,
            model_name=f"name of {model}",
            served_name=f"served-{model}",
            settings=EngineSettings.model_validate(chosen),
            until=time.time() + until_s,
            request=request,
        )
        self.models.append(model)
        await self.store.put(subjects.engine_wanted(model), order.model_dump_json().encode())

    async def state(self, model: str) -> EngineState | None:
        try:
            entry = await self.store.get(subjects.engine_state(model))
        except KeyNotFoundError:
            return None
        return EngineState.model_validate_json(entry.value or b"")

    async def until(self, model: str, status: ModelStatus, holds: Callable[[EngineState], bool] = bool) -> EngineState:
        """Follows the bucket until the model's state is this."""
        watcher = await self.store.watch(subjects.engine_state(model))
        try:
            seen = None
            async with asyncio.timeout(30):
                async for entry in watcher:
                    if entry is None or not entry.value:
                        continue
                    seen = EngineState.model_validate_json(entry.value)
                    if seen.status is status and holds(seen):
                        return seen
        except TimeoutError:
            pytest.fail(f"{model} never was {status}; the last was {seen}")
        finally:
            await watcher.stop()  # type: ignore[no-untyped-call]
        raise AssertionError("the watch ended")

    async def lines(self, model: str) -> list[str]:
        entry = await self.store.get(subjects.engine_log(model))
        return EngineLines.model_validate_json(entry.value or b"").lines

    def processes(self) -> list[int]:
        """Engines of this test, their keepers, and what they started: each has the folder in its environment."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and f"TINY={self.folder}".encode() in (entry / "environ").read_bytes().split(
                    b"\0"
                ):
                    found.append(int(entry.name))
        return found

    def engines(self) -> list[int]:
        """Those that are told where to listen, without their keepers."""
        found = []
        for pid in self.processes():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if str(local.KEEPER).encode() not in words:
                found.append(pid)
        return found

    async def until_no_process(self) -> None:
        async with asyncio.timeout(20):
            while self.processes():
                await asyncio.sleep(0.05)


@pytest.fixture
async def desk(stores: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    assert stores.nats_token
    template = {
        "title": "A tiny engine",
        "takes": ["folder", "s3", "hub"],
        "requires": {"program": "python3", "get": "install Python"},
        "command": ["python3", "-I", "-S", str(TINY), "{port}", "{served_name}", "{checkpoint}"],
        "environment": {"TINY": str(tmp_path)},
    }
    engines = tmp_path / "engines.yaml"
    engines.write_text(yaml.safe_dump({"tiny": template}))
    for name in ("nats_url", "s3_endpoint", "s3_access_key"):
        monkeypatch.setenv(f"ASSAY_{name.upper()}", getattr(stores, name))
    monkeypatch.setenv("ASSAY_NATS_TOKEN", stores.nats_token.get_secret_value())
    monkeypatch.setenv("ASSAY_S3_SECRET_KEY", stores.s3_secret_key.get_secret_value())
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ASSAY_ENGINES_FILE", str(engines))
    monkeypatch.setenv("ASSAY_HF_TOKEN", "hf_marked-token")
    nc = await nats.connect(stores.nats_url, token=stores.nats_token.get_secret_value())
    desk = Desk(nc, stores, tmp_path)
    await desk.open()
    yield desk
    for model in desk.models:
        for key in (subjects.engine_wanted(model), subjects.engine_state(model), subjects.engine_log(model)):
            await desk.store.delete(key)
    await nc.close()
    await desk.until_no_process()


@pytest.fixture
async def launcher(desk: Desk) -> AsyncIterator[FastStream]:
    app = await build()
    await app.start()
    yield app
    await app.stop()


async def test_an_engine_is_started_told_of_and_stopped(desk: Desk, launcher: FastStream) -> None:
    await desk.order("m1")
    running = await desk.until("m1", ModelStatus.RUNNING)
    assert running.base_url
    assert running.served_name == "served-m1"
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{running.base_url}/models")
    assert answer.json()["data"][0]["id"] == "served-m1"
    await desk.order("m1", until_s=-1)
    stopped = await desk.until("m1", ModelStatus.STOPPED)
    assert (stopped.detail, stopped.base_url, stopped.launcher) == ("nobody needs it any more", None, None)
    assert await desk.lines("m1") == [f"loading {desk.checkpoint}", "serving"]
    await desk.until_no_process()
