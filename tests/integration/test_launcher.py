"""A launcher against a real broker, with tiny engines: what it starts, says, restarts and stops, and that it leaves no process behind."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
import yaml
from faststream import FastStream
from nats.aio.client import Client
from nats.js.errors import KeyNotFoundError

from services.launcher import engine, local
from services.launcher.app import build
from services.launcher.processes import stat
from shared import subjects
from shared.contracts import EngineLines, EngineOrder, EngineSettings, EngineState, Event, ModelStatus
from shared.provision import provision
from shared.readback import read_back
from shared.settings import Settings
from shared.storage.objects import Objects

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

    async def order(self, model: str, *args: str, until_s: float = 600, request: int = 1, **settings: Any) -> None:
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

    async def told(self, model: str) -> list[str]:
        """The lines of the model's `assay.model.log` events."""
        lines: list[str] = []
        async for message in read_back(self.nc, self.js, subjects.EVENTS, subjects.event("_", "assay.model.log"), 0):
            event = Event.model_validate_json(message.data)
            if event.data["model"] == model:
                lines += event.data["lines"]
        return lines

    async def put_state(self, state: EngineState) -> None:
        await self.store.put(subjects.engine_state(state.model), state.model_dump_json().encode())

    async def until_forgotten(self, model: str) -> None:
        async with asyncio.timeout(20):
            while await self.state(model):
                await asyncio.sleep(0.05)

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

    def engines(self) -> dict[str, int]:
        """What each model's engine was started as, by the model."""
        found = {}
        for pid in self.processes():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            leads = stat(pid)
            if str(TINY) in words and str(local.KEEPER) not in words and leads and leads.parent in self._keepers():
                found[words[words.index(str(TINY)) + 2].removeprefix("served-")] = pid
        return found

    def engine(self, model: str) -> int:
        return self.engines()[model]

    def keeper(self, model: str) -> int:
        found = stat(self.engine(model))
        assert found
        return found.parent

    def _keepers(self) -> set[int]:
        return {
            pid
            for pid in self.processes()
            if str(local.KEEPER) in Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        }

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


@asynccontextmanager
async def running_launcher() -> AsyncIterator[FastStream]:
    """In this process, with the settings of the environment."""
    app = await build()
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


@pytest.fixture
async def launcher(desk: Desk) -> AsyncIterator[FastStream]:
    async with running_launcher() as app:
        yield app


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
    assert await desk.told("m1") == [f"loading {desk.checkpoint}", "serving"]
    await desk.until_no_process()
    await desk.store.delete(subjects.engine_wanted("m1"))
    await desk.until_forgotten("m1")


async def test_it_is_stopped_once_its_time_has_passed(desk: Desk, launcher: FastStream) -> None:
    await desk.order("m2", until_s=3)
    await desk.until("m2", ModelStatus.RUNNING)
    await desk.until("m2", ModelStatus.STOPPED)
    await desk.until_no_process()


async def test_an_engine_may_be_stopped_while_it_loads(desk: Desk, launcher: FastStream) -> None:
    await desk.order("m3", "slow")
    await desk.until("m3", ModelStatus.STARTING, lambda state: f"loading {desk.checkpoint}" in state.detail)
    await desk.order("m3", "slow", until_s=-1)
    await desk.until("m3", ModelStatus.STOPPED)
    await desk.until_no_process()


def was_restarted(times: int, state: EngineState) -> bool:
    return state.restarts == times


async def test_a_killed_engine_is_started_again_three_times(
    desk: Desk, launcher: FastStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RESTART_PAUSE_S", 0.01)
    await desk.order("m4", "forks")
    addresses = set()
    for restarts in range(engine.MOST_RESTARTS + 1):
        running = await desk.until("m4", ModelStatus.RUNNING, partial(was_restarted, restarts))
        addresses.add(running.base_url)
        os.kill(desk.engine("m4"), signal.SIGKILL)
    failed = await desk.until("m4", ModelStatus.FAILED)
    assert "was killed by signal 9 after it had been started again 3 times; its last lines:" in failed.detail
    assert len(addresses) > 1
    await desk.until_no_process()


async def test_what_a_killed_keeper_leaves_is_ended_and_the_engine_started_again(
    desk: Desk, launcher: FastStream
) -> None:
    await desk.order("m5", "forks")
    await desk.until("m5", ModelStatus.RUNNING)
    before = set(desk.processes())
    assert len(before) == 3
    os.kill(desk.keeper("m5"), signal.SIGKILL)
    await desk.until("m5", ModelStatus.RUNNING, lambda state: state.restarts == 1)
    assert before.isdisjoint(desk.processes())


async def test_a_keeper_that_hangs_holds_up_nothing(
    desk: Desk, launcher: FastStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.1)
    monkeypatch.setattr(local, "MARGIN_S", 0.1)
    await desk.order("m24", "forks")
    await desk.until("m24", ModelStatus.RUNNING)
    os.kill(desk.keeper("m24"), signal.SIGSTOP)
    await desk.order("m24", until_s=-1)
    await desk.until("m24", ModelStatus.STOPPED)
    assert desk.processes() == []


@pytest.mark.parametrize("behaviour", ["deaf", "forks"])
async def test_what_does_not_end_is_killed(
    desk: Desk, launcher: FastStream, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.3)
    await desk.order("m6", behaviour)
    await desk.until("m6", ModelStatus.RUNNING)
    await desk.order("m6", until_s=-1)
    await desk.until("m6", ModelStatus.STOPPED)
    assert desk.processes() == []


async def test_an_engine_that_never_answers_fails_in_time(desk: Desk, launcher: FastStream) -> None:
    await desk.order("m7", "silent", start_timeout_s=1)
    failed = await desk.until("m7", ModelStatus.FAILED)
    assert failed.detail == (
        "the engine did not answer within 1 s (start_timeout_s), and was stopped; its last lines:\n"
        f"loading {desk.checkpoint}"
    )
    await desk.until_no_process()


async def test_an_engine_that_ends_before_it_answers_fails_with_its_own_words(desk: Desk, launcher: FastStream) -> None:
    await desk.order("m8", "dies")
    failed = await desk.until("m8", ModelStatus.FAILED)
    assert failed.detail.startswith("the engine ended with exit code 3 after ")
    assert failed.detail.endswith("its last lines:\n" + f"loading {desk.checkpoint}\nout of memory")
    # Only a new request tries it again.
    await desk.order("m8", request=1)
    await desk.order("m9")
    await desk.until("m9", ModelStatus.RUNNING)
    assert await desk.state("m8") == failed
    await desk.order("m8", request=2)
    await desk.until("m8", ModelStatus.RUNNING, lambda state: state.request == 2)


async def test_a_port_that_is_taken_is_not_the_engines(
    desk: Desk, launcher: FastStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = [other.getsockname()[1], local.free_port("127.0.0.1")]
        monkeypatch.setattr(local, "free_port", lambda host: ports.pop(0))
        wanted = ports[1]
        await desk.order("m10", "slow")
        await desk.until("m10", ModelStatus.STARTING, lambda state: "loading" in state.detail)
        (desk.checkpoint / "go").touch()
        running = await desk.until("m10", ModelStatus.RUNNING)
    assert running.base_url == f"http://127.0.0.1:{wanted}/v1"
    assert "[launcher] another program took the port; trying the next one" in await desk.lines("m10")
    assert running.restarts == 0


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        ({"name": "tinny"}, "there is no engine 'tinny'; did you mean 'tiny'? There are "),
        ({"name": "sglang"}, "the python3 on PATH has no module sglang: pip install sglang"),
        ({"checkpoint": "/no/such/folder"}, "checkpoint: there is no /no/such/folder on the launcher's machine"),
        ({"checkpoint": str(TINY)}, "checkpoint: tiny takes a folder or an S3 prefix or a Hub id, not a file"),
        ({"checkpoint": "s3://no-such-bucket/x"}, "checkpoint: the object store has no bucket no-such-bucket"),
        ({"adapter": "/no/such/adapter"}, "adapter: tiny loads none"),
        ({"args": ["-I"]}, "args: -I is set by the launcher; leave it out"),
    ],
)
async def test_what_cannot_be_started_says_why(
    desk: Desk, launcher: FastStream, settings: dict[str, Any], detail: str
) -> None:
    await desk.order("m11", **settings)
    failed = await desk.until("m11", ModelStatus.FAILED)
    assert failed.detail[: len(detail)] == detail
    assert desk.processes() == []


async def test_what_has_no_room_waits_and_says_for_whom(desk: Desk, launcher: FastStream) -> None:
    await desk.order("m12")
    await desk.order("m13")
    await desk.until("m12", ModelStatus.RUNNING)
    await desk.until("m13", ModelStatus.RUNNING)
    await desk.order("m14")
    waits = await desk.until("m14", ModelStatus.STARTING)
    assert waits.detail == "waits for room: 2 of 2 engines run: name of m12, name of m13"
    assert waits.launcher is None
    assert len(desk.engines()) == 2
    await desk.order("m12", until_s=-1)
    running = await desk.until("m14", ModelStatus.RUNNING)
    assert running.request == 1


async def test_an_engine_sees_no_secret_and_tells_none(desk: Desk, launcher: FastStream) -> None:
    await desk.order("m15", "tells")
    await desk.until("m15", ModelStatus.RUNNING)
    await desk.order("m15", until_s=-1)
    await desk.until("m15", ModelStatus.STOPPED)
    lines = await desk.lines("m15")
    assert "HF_TOKEN=***" in lines
    assert [line for line in lines if line.startswith("ASSAY_") and not line.startswith("ASSAY_ENGINE=")] == []
    assert "hf_marked-token" not in "".join(lines + await desk.told("m15"))


async def test_a_flood_is_cut(desk: Desk, launcher: FastStream) -> None:
    await desk.order("m16", "floods")
    await desk.until("m16", ModelStatus.RUNNING)
    await desk.order("m16", until_s=-1)
    await desk.until("m16", ModelStatus.STOPPED)
    lines = await desk.lines("m16")
    assert len(lines) == 200
    assert max(map(len, lines)) == 500
    assert lines[-1] == "serving"
    told = await desk.told("m16")
    assert any(line.endswith("lines left out") for line in told)
    assert len(told) < 2000


async def test_a_checkpoint_comes_from_another_bucket(desk: Desk, launcher: FastStream) -> None:
    objects = Objects(desk.settings.model_copy(update={"s3_bucket": "checkpoints"}))
    await objects.provision()
    await objects.put_bytes("tuned/config.json", b"{}")
    await objects.put_bytes("tuned/weights/model.safetensors", b"w" * 5000)
    await objects.put_bytes("tuned-not/config.json", b"{}")
    await objects.aclose()
    await desk.order("m17", checkpoint="s3://checkpoints/tuned")
    await desk.until("m17", ModelStatus.RUNNING)
    await desk.order("m17", until_s=-1)
    await desk.until("m17", ModelStatus.STOPPED)
    first, second, third, _ = await desk.lines("m17")
    assert first == "[launcher] downloading 1 of 2 files: config.json, 2 bytes of 5 KB in all"
    assert second == "[launcher] downloading 2 of 2 files: weights/model.safetensors, 5 KB of 5 KB in all"
    folder = Path(third.removeprefix("loading "))
    assert (folder / "weights/model.safetensors").read_bytes() == b"w" * 5000
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    await desk.order("m17", checkpoint="s3://checkpoints/tuned", request=2)
    await desk.until("m17", ModelStatus.RUNNING)
    await desk.order("m17", until_s=-1)
    await desk.until("m17", ModelStatus.STOPPED, lambda state: state.request == 2)
    assert (await desk.lines("m17"))[0] == "[launcher] s3://checkpoints/tuned is here already: 2 files, 5 KB"
    await desk.order("m18", checkpoint="s3://checkpoints/nothing")
    failed = await desk.until("m18", ModelStatus.FAILED)
    assert failed.detail == "checkpoint: there is nothing under s3://checkpoints/nothing/"


async def test_what_a_launcher_that_is_gone_held_is_taken_over(desk: Desk, launcher: FastStream) -> None:
    gone = EngineState(
        model="m19", status=ModelStatus.RUNNING, since=1.0, at=time.time() - 60, request=1, launcher="gone",
        base_url="http://127.0.0.1:1/v1",
    )  # fmt: skip
    await desk.put_state(gone)
    await desk.order("m19")
    running = await desk.until("m19", ModelStatus.RUNNING, lambda state: state.launcher != "gone")
    # And what this one holds, it stops when another has taken it over.
    await desk.put_state(running.model_copy(update={"launcher": "another", "at": time.time() + 60}))
    await desk.until_no_process()
    state = await desk.state("m19")
    assert state
    assert state.launcher == "another"
    await desk.order("m20", until_s=-1)
    await desk.put_state(gone.model_copy(update={"model": "m20"}))
    assert (await desk.until("m20", ModelStatus.STOPPED)).detail == "its launcher is gone"


async def test_a_launcher_that_stops_stops_its_engines_and_the_next_one_starts_them(desk: Desk) -> None:
    async with running_launcher():
        await desk.order("m21")
        await desk.until("m21", ModelStatus.RUNNING)
    state = await desk.state("m21")
    assert state
    assert (state.status, state.detail) == (ModelStatus.STOPPED, "its launcher was stopped")
    assert desk.processes() == []
    async with running_launcher():
        await desk.until("m21", ModelStatus.RUNNING)


async def test_a_killed_launcher_leaves_nothing_and_the_next_one_takes_over(desk: Desk) -> None:
    """With one keeper killed at the same time, which nothing but the next launcher can mend."""
    killed = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.launcher.app", cwd=ROOT)
    try:
        await desk.order("m22", "forks")
        await desk.order("m23", "forks")
        first = await desk.until("m22", ModelStatus.RUNNING)
        await desk.until("m23", ModelStatus.RUNNING)
        before = set(desk.processes())
        assert len(before) == 6
        keeper = desk.keeper("m22")
    finally:
        killed.kill()
    os.kill(keeper, signal.SIGKILL)
    await killed.wait()
    # The other engine's keeper sees to its own; the process that left the session of this one is nobody's.
    async with asyncio.timeout(20):
        while len(desk.processes()) > 1:
            await asyncio.sleep(0.05)
    async with running_launcher():
        second = await desk.until("m22", ModelStatus.RUNNING, lambda state: state.launcher != first.launcher)
        assert second.base_url
        await desk.until("m23", ModelStatus.RUNNING, lambda state: state.launcher == second.launcher)
        assert before.isdisjoint(desk.processes())


async def test_templates_say_what_is_missing(desk: Desk, launcher: FastStream) -> None:
    answer = await desk.nc.request("launcher.engines", b"{}", timeout=20)
    offered = {one["name"]: one for one in json.loads(answer.data)["ok"]["engines"]}
    assert offered["tiny"] == {
        "name": "tiny", "title": "A tiny engine", "takes": ["folder", "s3", "hub"], "missing": None,
    }  # fmt: skip
    assert offered["vllm"]["missing"] == "there is no program vllm on PATH: pip install vllm"
    assert list(offered) == ["llama.cpp", "sglang", "tiny", "transformers", "vllm"]
