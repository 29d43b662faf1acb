"""The embedded stack with its real parts: kills, restarts, data that stays, processes that do not."""

import asyncio
import io
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import httpx
import nats
import pymongo
import pytest
from minio import Minio

from deploy.embedded import members, probes, programs
from deploy.embedded.control import PartStatus
from deploy.embedded.stack import Stack, StackError
from shared.settings import EMBEDDED_ONLY

RESTART_S = 10.0
"""Far above the second that a restart takes, since the machine may be busy with other tests."""


Answer = TypeVar("Answer")


def eventually(what: Callable[[], Answer], deadline_s: float = RESTART_S) -> Answer:
    """The first true answer."""
    deadline = time.monotonic() + deadline_s
    while not (answer := what()):
        assert time.monotonic() < deadline, f"still {answer!r} after {deadline_s} s"
        time.sleep(0.1)
    return answer


def row(stack: Stack, part: str) -> PartStatus:
    return next(row for row in stack.status() if row.part == part)


def kill(stack: Stack, part: str) -> int:
    pid = eventually(lambda: row(stack, part).pid)
    assert pid
    os.kill(pid, signal.SIGKILL)
    return pid


def is_back(stack: Stack, part: str, killed: int) -> bool:
    now = row(stack, part)
    return now.state == "running" and now.pid not in (None, killed)


def supervisor_pid(stack: Stack) -> int:
    return int((stack.data / "supervisord.pid").read_text())


class Store(Protocol):
    """One kept text."""

    def __init__(self, environment: dict[str, str]) -> None: ...
    def write(self, text: str) -> None: ...
    def read(self) -> str: ...


class Broker:
    """A message in a stream."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.url, self.token = environment["ASSAY_NATS_URL"], environment["ASSAY_NATS_TOKEN"]

    def write(self, text: str) -> None:
        async def publish() -> None:
            async with await nats.connect(self.url, token=self.token) as connection:
                stream = connection.jetstream()
                await stream.add_stream(name="KEPT", subjects=["kept"])
                await stream.publish("kept", text.encode())

        asyncio.run(publish())

    def read(self) -> str:
        async def last() -> str:
            async with await nats.connect(self.url, token=self.token) as connection:
                message = await connection.jetstream().get_last_msg("KEPT", "kept")
                return (message.data or b"").decode()

        return asyncio.run(last())


class Documents:
    """An acknowledged document."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.url = environment["ASSAY_MONGO_URL"]

    def write(self, text: str) -> None:
        with pymongo.MongoClient[dict[str, str]](self.url, journal=True) as client:
            client.kept.kept.replace_one({"_id": "1"}, {"text": text}, upsert=True)

    def read(self) -> str:
        with pymongo.MongoClient[dict[str, str]](self.url) as client:
            found = client.kept.kept.find_one({"_id": "1"})
        return found["text"] if found else ""


class Objects:
    """A file in a bucket."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.client = Minio(
            environment["ASSAY_S3_ENDPOINT"].removeprefix("http://"),
            environment["ASSAY_S3_ACCESS_KEY"],
            environment["ASSAY_S3_SECRET_KEY"],
            secure=False,
            region="us-east-1",
        )

    def write(self, text: str) -> None:
        if not self.client.bucket_exists("kept"):
            self.client.make_bucket("kept")
        self.client.put_object("kept", "file", io.BytesIO(text.encode()), len(text.encode()))

    def read(self) -> str:
        with self.client.get_object("kept", "file") as answer:
            return answer.data.decode()


STORES: dict[str, type[Store]] = {"nats": Broker, "mongo": Documents, "objects": Objects}


def readable(store: Store) -> str:
    """What the store kept, or nothing as long as it does not answer."""
    try:
        return store.read()
    except Exception:
        return ""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stores alone, in a folder whose name needs quoting."""
    stack = Stack(tmp_path_factory.mktemp("stack") / "a 'deep' folder", port=0, services=())
    assert stack.up()
    yield stack
    stack.down()
    assert members.members(stack.data) == []


@pytest.mark.parametrize("part", STORES)
def test_a_killed_store_is_back_with_its_data(stack: Stack, part: str) -> None:
    store = STORES[part](stack.environment)
    store.write(f"before the kill of {part}")

    killed = kill(stack, part)

    eventually(partial(is_back, stack, part, killed))
    assert eventually(partial(readable, store)) == f"before the kill of {part}"


def test_what_dies_is_started_again_however_often(stack: Stack) -> None:
    store = Broker(stack.environment)
    store.write("before twelve kills")
    for _ in range(12):
        killed = kill(stack, "nats")
        eventually(partial(is_back, stack, "nats", killed))
    assert eventually(partial(readable, store)) == "before twelve kills"


def test_started_twice_says_so(stack: Stack) -> None:
    pids = [row.pid for row in stack.status()]

    assert not Stack(stack.data, port=0, services=()).up()

    assert [row.pid for row in stack.status()] == pids


def test_secrets_are_for_the_owner_alone_and_on_no_command_line(stack: Stack) -> None:
    secrets = [value for name, value in stack.environment.items() if name.endswith(("TOKEN", "KEY"))]
    assert len(secrets) == 3
    for name in ("stack.json", "stack.env", "credentials.json", "supervisord.conf", "mongo.key"):
        assert (stack.data / name).stat().st_mode & 0o077 == 0, name
    for pid in members.members(stack.data):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        assert not any(secret in line for secret in secrets)


def test_every_process_is_marked_and_told_where_the_parts_are(stack: Stack) -> None:
    for part in programs.STORES:
        raw = Path(f"/proc/{row(stack, part).pid}/environ").read_bytes().decode()
        environment = dict(line.split("=", 1) for line in raw.split("\0") if "=" in line)
        assert environment["ASSAY_STACK"] == str(stack.data)
        assert set(EMBEDDED_ONLY) <= set(environment)
        assert stack.environment.items() <= environment.items()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a stack that a test starts, and may leave as it is."""
    yield tmp_path
    Stack(tmp_path).down()


def test_two_starts_at_once_start_one(data: Path) -> None:
    said: list[str] = []
    both = [Stack(data, port=0, services=(), say=said.append) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        started = list(pool.map(Stack.up, both))
    assert sorted(started) == [False, True]
    assert any("another command" in line for line in said)


@pytest.mark.parametrize("everything", [True, False], ids=["all", "supervisor-alone"])
def test_data_survives_a_crash_of_the_stack(data: Path, everything: bool) -> None:
    stack = Stack(data, port=0, services=())
    stack.up()
    for part, store in STORES.items():
        store(stack.environment).write(f"kept by {part}")
    left_over = data / "objects/kept/.rclone_temp_put_1"
    left_over.write_text("half of an upload")
    before = members.members(data)

    os.kill(supervisor_pid(stack), signal.SIGKILL)
    for pid in members.members(data) if everything else ():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not stack.running())

    assert stack.up()
    assert not set(before) & set(members.members(data))
    assert not left_over.exists()
    for part, store in STORES.items():
        assert store(stack.environment).read() == f"kept by {part}"


def test_down_leaves_no_process_and_keeps_the_credentials(data: Path) -> None:
    stack = Stack(data, port=0, services=())
    stack.up()
    kept = (data / "credentials.json").read_bytes()

    assert stack.down()

    assert members.members(data) == []
    assert stack.status() == []
    assert not stack.down()
    assert not (data / "stack.json").exists()
    assert (data / "credentials.json").read_bytes() == kept


def test_down_ends_what_a_crashed_supervisor_left(data: Path) -> None:
    said: list[str] = []
    stack = Stack(data, port=0, services=(), say=said.append)
    stack.up()
    os.kill(supervisor_pid(stack), signal.SIGKILL)
    eventually(lambda: not stack.running())
    assert len(members.members(data)) == len(programs.STORES)

    assert not stack.down()

    assert members.members(data) == []
    assert "crashed" in said[-1]


def test_a_store_that_cannot_start_is_named_with_its_log(data: Path) -> None:
    (data / "mongo").mkdir()
    (data / "mongo/storage.bson").write_text("not a database")
    stack = Stack(data, port=0, services=())

    with pytest.raises(StackError, match="did not become ready") as failure:
        stack.up(timeout=6)

    assert "mongo, last lines of" in str(failure.value)
    assert "fassert() failure" in str(failure.value)
    assert "nats, last lines" not in str(failure.value)
    assert members.members(data) == []


def test_a_taken_port_is_named_before_anything_starts(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} on 127.0.0.1 is taken"):
            Stack(data, port=port).up()
    assert members.members(data) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Every service, as `make up` starts them."""
    stack = Stack(tmp_path_factory.mktemp("whole"), port=0, predictors=2)
    assert stack.up()
    yield stack
    assert stack.down()
    assert members.members(stack.data) == []
    # The supervisor says so of a part that did not end in the time that it has for it.
    assert "killing " not in (stack.data / "logs" / "supervisord.log").read_text()


def test_one_process_a_replica_shows_its_module(whole: Stack) -> None:
    lines = [
        Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ") for pid in members.members(whole.data)
    ]
    for name, module in programs.SERVICES.items():
        assert sum(module in line for line in lines) == (2 if name == "predictor" else 1), name


@pytest.mark.parametrize("part", [*programs.STORES, *(name for name in programs.SERVICES if name != "gateway")])
def test_readiness_names_the_part_that_is_stopped(whole: Stack, part: str) -> None:
    def unready() -> httpx.Response | None:
        answer = httpx.get(f"{whole.url}/readyz", timeout=10, trust_env=False)
        return answer if answer.status_code == 503 else None

    eventually(lambda: probes.gateway(whole.url) is None, 60)
    whole.control.stop(part)
    try:
        answer = eventually(unready, 30)
        assert answer
        assert answer.headers["content-type"] == "application/problem+json"
        assert part in answer.json()["detail"].lower()
    finally:
        eventually(lambda: all(row.state == "stopped" for row in whole.status() if row.part.split("-")[0] == part), 30)
        whole.control.start(part)
    eventually(lambda: probes.gateway(whole.url) is None, 60)


@pytest.mark.parametrize("name", programs.SERVICES)
def test_a_killed_service_is_back(whole: Stack, name: str) -> None:
    part = "predictor-1" if name == "predictor" else name
    killed = kill(whole, part)
    eventually(partial(is_back, whole, part, killed))
    eventually(lambda: probes.gateway(whole.url) is None, 60)
