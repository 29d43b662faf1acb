"""The gateway over real stores. The tests themselves are the orchestrator and artifacts, at the other end of the broker."""

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx
import nats
import pytest
from nats.aio.msg import Msg
from pydantic import SecretStr

from gateway.app import GatewayServer, create_app
from gateway.auth import check_settings
from shared.errors import Conflict, Invalid, NotFound
from shared.secrets import Cipher
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.objects import Objects

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FERNET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ROOT = Path(__file__).parents[2]

Answer = Callable[[dict[str, Any]], Any]


async def until(what: Callable[[], Any], deadline_s: float = 20) -> None:
    async with asyncio.timeout(deadline_s):
        while not what():
            await asyncio.sleep(0.01)


class RunningGateway:
    """A gateway in this process, its database of its own, and the hands of those that it hands commands to."""

    def __init__(self, stores: Settings, **settings: Any) -> None:
        fields = {
            "host": "127.0.0.1",
            "port": 0,
            "mongo_database": f"gateway_{uuid4().hex[:8]}",
            "api_keys": SecretStr(""),
        }
        self.settings = stores.model_copy(update={**fields, "secret_key": SecretStr(FERNET), **settings})
        self.app = create_app(self.settings, check_settings(self.settings))
        self.server = GatewayServer(self.app, self.settings)
        self.objects = Objects(self.settings)
        self._mongo = mongo.connect(self.settings)
        self.database = self._mongo[self.settings.mongo_database]
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self.objects.provision()
        await mongo.provision(self.database)
        token = self.settings.nats_token
        self.nc = await nats.connect(self.settings.nats_url, token=token.get_secret_value() if token else None)
        serving = asyncio.create_task(self.server.serve())
        await until(lambda: self.server.started and self.app.state.parts.connected)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=30)

        async def stop() -> None:
            await self.http.aclose()
            self.server.should_exit = True
            await serving
            await self.nc.close()
            await self.objects.aclose()
            await self._mongo.drop_database(self.settings.mongo_database)
            self._mongo.close()

        self._exits.push_async_callback(stop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    @asynccontextmanager
    async def owner(self, subject: str, answer: Answer) -> AsyncIterator[list[dict[str, Any]]]:
        """Answer a command as its owner would; what it was asked is in the list."""
        asked: list[dict[str, Any]] = []

        async def reply(message: Msg) -> None:
            body = json.loads(message.data or b"{}")
            asked.append(body)
            try:
                told = {"ok": answer(body)}
            except (NotFound, Conflict, Invalid) as problem:
                told = {"problem": problem.as_dict()}
            await message.respond(json.dumps(told).encode())

        subscription = await self.nc.subscribe(subject, cb=reply)
        await self.nc.flush()
        try:
            yield asked
        finally:
            await subscription.unsubscribe()

    async def add_environment(self, version: str = "0a1b", slug: str = "sums", **fields: Any) -> None:
        manifest = {
            "slug": slug,
            "title": "Sums",
            "prompt": {"template": "{{ input }}"},
            "phases": [{"name": "dev", "data": "dev.jsonl"}, {"name": "test", "data": "test.jsonl"}],
            "scoring": {"scorer": "numeric"},
        }
        environment = {
            "_id": f"{slug}@{version}",
            "slug": slug,
            "version": version,
            "title": "Sums",
            "description": "Adding up (a lot)",
            "tags": ["math"],
            "overview": "# Sums",
            "manifest": manifest,
            "phases": [{"name": "dev", "items": 5}, {"name": "test", "items": 2}],
            "created_at": WHEN,
            **fields,
        }
        items = [
            {
                "_id": f"{environment['_id']}:dev:{index}",
                "environment": environment["_id"],
                "phase": "dev",
                "index": index,
                "item_id": f"item-{index}",
                "input": f"What is {index} + 1? [{'even' if index % 2 == 0 else 'odd'}]",
                "messages": [{"role": "user", "content": f"What is {index} + 1?"}],
                "target": str(index + 1),
                "hints": {},
                "metadata": {"level": index},
            }
            for index in range(5)
        ]
        await self.database["items"].insert_many(items)
        await self.database["environments"].insert_one(environment)

    async def add_evaluation(self, number: int, **fields: Any) -> str:
        evaluation_id = f"e{number:04}{uuid4().hex[:8]}"
        version = fields.get("version", "0a1b")
        await self.database["evaluations"].insert_one(
            {
                "_id": evaluation_id,
                "number": number,
                "group": "g1",
                "status": "completed",
                "error": None,
                "model": "m1",
                "model_name": "m0.26",
                "environment": f"sums@{version}",
                "slug": "sums",
                "version": version,
                "environment_title": "Sums",
                "phase": "dev",
                "params": {"temperature": 0},
                "limit": None,
                "samples_per_item": 1,
                "priority": 1,
                "round": 0,
                "created_at": WHEN + timedelta(seconds=number),
                "started_at": None,
                "finished_at": None,
                "progress": {"done": 5, "total": 5, "scored": 5},
                "metrics": {"overall_score": 0.5, "accuracy": 0.5, "accuracy_ci95": [0.1, 0.9], "coverage": 1.0},
                "files": [],
                "outbox": [],
                "archived_to": None,
                **fields,
            }
        )
        return evaluation_id

    async def add_model(self, model_id: str, **fields: Any) -> None:
        await self.database["models"].insert_one(
            {**MODEL, "_id": model_id, "created_at": WHEN, "api_key": None, **fields}
        )


MODEL: dict[str, Any] = {
    "name": "m0.26",
    "source": "running",
    "base_url": "http://127.0.0.1:1/v1",
    "model": "sample",
    "max_concurrency": 4,
    "timeout_s": 60,
    "connect_timeout_s": 5,
    "max_attempts": 3,
    "status": "running",
    "status_detail": "answers",
}
PUBLIC_MODEL = {**MODEL, "id": "m1", "created_at": "2026-01-02T03:04:05Z", "has_api_key": True}

REGISTERED = {
    "slug": "sums",
    "version": "0a1b",
    "title": "Sums",
    "phases": [{"name": "dev", "items": 5}],
    "created_at": "2026-01-02T03:04:05Z",
    "scoring": {"scorer": "numeric"},
}


@pytest.fixture
async def gateway(stores: Settings) -> AsyncIterator[RunningGateway]:
    async with RunningGateway(stores) as running:
        yield running


@pytest.fixture(scope="module")
async def empty_gateway(stores: Settings) -> AsyncIterator[RunningGateway]:
    """For what leaves nothing behind."""
    async with RunningGateway(stores) as running:
        yield running


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"]
    assert body["title"]
    assert body["detail"]
    return body


def good(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


async def pages(gateway: RunningGateway, path: str, limit: int = 2, **query: Any) -> list[Any]:
    """All rows of a list, page by page."""
    rows: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        body = good(await gateway.http.get(path, params={**query, "limit": limit, **cursor}))
        assert len(body["items"]) <= limit
        rows += body["items"]
        if body["next"] is None:
            return rows
        cursor = {"cursor": body["next"]}


# Health


async def test_liveness_says_nothing_of_the_others(empty_gateway: RunningGateway) -> None:
    assert good(await empty_gateway.http.get("/healthz")) == {"status": "ok"}


async def test_readiness_names_what_is_missing(gateway: RunningGateway) -> None:
    body = problem(await gateway.http.get("/readyz"), 503)
    assert body["title"] == "Not ready"
    assert "orchestrator is not running" in body["detail"]
    assert {name for name, state in body["parts"].items() if state == "ok"} == {"nats", "mongodb", "objects"}

    async def serve(exits: AsyncExitStack, name: str, **parts: str) -> None:
        async def answer(message: Msg) -> None:
            await message.respond(json.dumps({"service": name, "parts": {"nats": "ok", **parts}}).encode())

        subscription = await gateway.nc.subscribe(f"health.{name}", cb=answer)
        exits.push_async_callback(subscription.unsubscribe)

    async with AsyncExitStack() as exits:
        for name in ("orchestrator", "predictor", "artifacts"):
            await serve(exits, name)
        await serve(exits, "scorer", mongodb="no answer within 3 s")
        await gateway.nc.flush()
        body = problem(await gateway.http.get("/readyz"), 503)
        assert body["detail"] == "scorer finds: mongodb no answer within 3 s"
        assert body["parts"]["predictor"] == "ok"
        # A replica that works is enough, whichever answers first.
        await serve(exits, "scorer")
        await gateway.nc.flush()
        body = good(await gateway.http.get("/readyz"))
        assert body["status"] == "ready"
        assert set(body["parts"].values()) == {"ok"}


async def test_stores_that_are_away_are_named(stores: Settings) -> None:
    away = {
        "mongo_url": SecretStr("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"),
        "s3_endpoint": "http://127.0.0.1:1",
    }
    settings = stores.model_copy(update={**away, "port": 0, "api_keys": SecretStr("")})
    app = create_app(settings, check_settings(settings))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        await until(lambda: app.state.parts.connected)
        answer = await http.get("/v1/models")
        assert problem(answer, 503)["detail"] == "mongodb does not answer"
        assert int(answer.headers["retry-after"]) > 0
        body = problem(await http.get("/readyz"), 503)
        assert body["parts"]["nats"] == "ok"
        assert "mongodb" in body["detail"]
        assert "objects" in body["detail"]
        bundle = {"bundle": ("b.zip", b"zip")}
        assert "object store" in problem(await http.post("/v1/environments", files=bundle), 503)["detail"]


async def test_a_broker_that_is_away_is_named_and_http_is_there(stores: Settings) -> None:
    settings = stores.model_copy(update={"nats_url": "nats://127.0.0.1:1", "port": 0, "api_keys": SecretStr("")})
    app = create_app(settings, check_settings(settings))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        assert good(await http.get("/healthz")) == {"status": "ok"}
        body = problem(await http.get("/readyz"), 503)
        assert body["parts"]["mongodb"] == "ok"
        assert "nats" in body["detail"]
        assert "nats" in problem(await http.post("/v1/models/m1/probe"), 503)["detail"]
        assert "nats" in problem(await http.get("/v1/events"), 503)["detail"]


# Environments


async def test_environments_are_listed_by_their_latest_version(gateway: RunningGateway) -> None:
    await gateway.add_environment("0a", created_at=WHEN)
    await gateway.add_environment("0b", created_at=WHEN + timedelta(days=1), title="Sums, again")
    await gateway.add_environment("0c", slug="words", created_at=WHEN + timedelta(hours=1), tags=["text", "a.b"])
    await gateway.add_environment("0d", slug="maps", created_at=WHEN + timedelta(hours=1))
    rows = await pages(gateway, "/v1/environments", limit=1)
    assert [(row["slug"], row["version"]) for row in rows] == [("sums", "0b"), ("words", "0c"), ("maps", "0d")]
    assert rows[0]["phases"][0]["items"] == 5
    assert [row["slug"] for row in await pages(gateway, "/v1/environments", q="AGAIN")] == ["sums"]
    assert [row["slug"] for row in await pages(gateway, "/v1/environments", q="A.B")] == ["words"]
    assert [row["slug"] for row in await pages(gateway, "/v1/environments", q="(a LOT")] == ["sums", "words", "maps"]
    assert await pages(gateway, "/v1/environments", q=".*") == []

    latest = good(await gateway.http.get("/v1/environments/sums"))
    assert (latest["version"], latest["title"], latest["overview"]) == ("0b", "Sums, again", "# Sums")
    assert [entry["version"] for entry in latest["versions"]] == ["0b", "0a"]
    assert latest["scoring"]["scorer"] == "numeric"
    assert latest["columns"][0]["key"] == "overall_score"
    assert good(await gateway.http.get("/v1/environments/sums@0a"))["version"] == "0a"
    assert "sums@ff" in problem(await gateway.http.get("/v1/environments/sums@ff"), 404)["detail"]


async def test_test_cases_in_their_order(gateway: RunningGateway) -> None:
    await gateway.add_environment()
    rows = await pages(gateway, "/v1/environments/sums/items")
    assert [row["id"] for row in rows] == [f"item-{index}" for index in range(5)]
    assert rows[3] == {
        "id": "item-3",
        "index": 3,
        "input": "What is 3 + 1? [odd]",
        "messages": [{"role": "user", "content": "What is 3 + 1?"}],
        "target": "4",
        "metadata": {"level": 3},
    }
    assert await pages(gateway, "/v1/environments/sums/items", phase="test") == []
    body = problem(await gateway.http.get("/v1/environments/sums/items?phase=final"), 422)
    assert body["errors"][0]["loc"] == ["phase"]
    assert "dev, test" in body["detail"]


async def test_a_leaderboard_of_completed_evaluations(gateway: RunningGateway) -> None:
    await gateway.add_environment("0a", created_at=WHEN - timedelta(days=1))
    await gateway.add_environment("0a1b")
    await gateway.add_evaluation(1, metrics={"overall_score": 0.4, "accuracy": 0.4, "accuracy_ci95": [0.1, 0.8]})
    await gateway.add_evaluation(2, metrics={"overall_score": 0.6})
    await gateway.add_evaluation(3, metrics={"overall_score": 0.4})
    await gateway.add_evaluation(4, version="0a", metrics={"overall_score": 1.0})
    await gateway.add_evaluation(5, limit=2, metrics={"overall_score": 1.0})
    await gateway.add_evaluation(6, status="running", metrics=None)
    await gateway.add_evaluation(7, phase="test", metrics={"overall_score": 0.2})
    rows = await pages(gateway, "/v1/environments/sums/leaderboard")
    assert [(row["number"], row["rank"], row["tied"]) for row in rows] == [
        (2, 1, False),
        (1, 2, True),
        (3, 2, True),
        (4, None, False),
        (5, None, False),
    ]
    assert rows[1]["accuracy_ci95"] == [0.1, 0.8]
    assert rows[4]["partial"]
    answer = good(await gateway.http.get("/v1/environments/sums/leaderboard?phase=test"))
    assert (answer["phase"], answer["version"], answer["next"]) == ("test", "0a1b", None)
    assert [row["number"] for row in answer["items"]] == [7]
    assert answer["columns"][0]["key"] == "overall_score"


# Uploads


async def test_a_bundle_is_staged_and_handed_to_artifacts(gateway: RunningGateway) -> None:
    data = bytes(range(256)) * 20_000
    staged: list[bytes] = []

    async def read(key: str) -> None:
        staged.append(await gateway.objects.get_bytes(key))

    reads: list[asyncio.Task[None]] = []

    def register(body: dict[str, Any]) -> dict[str, Any]:
        reads.append(asyncio.ensure_future(read(body["key"])))
        return REGISTERED

    async with gateway.owner("artifacts.environments.register", register) as asked:
        answer = await gateway.http.post("/v1/environments", files={"bundle": ("sums.zip", data)})
        body = good(answer, 201)
        await asyncio.gather(*reads)
    assert (body["slug"], body["columns"]) == ("sums", [])
    assert answer.headers["location"] == "/v1/environments/sums@0a1b"
    assert asked[0]["filename"] == "sums.zip"
    assert asked[0]["key"].startswith("staging/")
    assert staged == [data]


async def test_what_artifacts_refuses_is_told_as_it_said_it(gateway: RunningGateway) -> None:
    def refuse(body: dict[str, Any]) -> Any:
        raise Invalid(
            "dev.jsonl has no field answer", [{"loc": ["bundle", "dev.jsonl", 3, "answer"], "msg": "missing"}]
        )

    async with gateway.owner("artifacts.environments.register", refuse):
        body = problem(await gateway.http.post("/v1/environments", files={"bundle": ("b.zip", b"zip")}), 422)
    assert body["errors"] == [{"loc": ["bundle", "dev.jsonl", 3, "answer"], "msg": "missing"}]


async def test_a_bundle_that_nobody_registers_is_not_left_behind(gateway: RunningGateway) -> None:
    def staged() -> set[str]:
        return {entry.object_name for entry in client.list_objects(gateway.objects.bucket, "staging/", recursive=True)}

    client = gateway.objects._minio
    before = await asyncio.to_thread(staged)
    answer = await gateway.http.post("/v1/environments", files={"bundle": ("b.zip", b"zip")})
    assert problem(answer, 503)["detail"] == "no artifacts is running"
    assert await asyncio.to_thread(staged) == before


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_bundle_that_is_too_large_is_told_so(stores: Settings, chunked: bool) -> None:
    async with RunningGateway(stores, max_upload_mb=1) as gateway:
        boundary = b"--x\r\nContent-Disposition: form-data; name=bundle; filename=b.zip\r\n\r\n"
        data = boundary + b"0" * 20_000_000 + b"\r\n--x--\r\n"

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(data), 65536):
                yield data[start : start + 65536]

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        if not chunked:
            headers["Content-Length"] = str(len(data))
        answer = await gateway.http.post("/v1/environments", content=chunks(), headers=headers)
        assert "1 MB (ASSAY_MAX_UPLOAD_MB)" in problem(answer, 413)["detail"]
        nearly = {"bundle": ("b.zip", b"0" * (1024 * 1024 + 1))}
        problem(await gateway.http.post("/v1/environments", files=nearly), 413)


@pytest.mark.parametrize(
    ("request_", "status", "word"),
    [
        ({"files": {"file": ("b.zip", b"zip")}}, 422, "bundle"),
        ({"files": [("bundle", ("a.zip", b"a")), ("bundle", ("b.zip", b"b"))]}, 422, "bundle"),
        ({"files": {"other": ("b.zip", b"zip")}}, 422, "other"),
        ({"json": {"import": {"hub": "x"}}}, 422, "import"),
        ({"json": {"impart": {}}}, 422, "bundle"),
        ({"json": [1]}, 422, "bundle"),
        ({"content": b"PK\x03\x04"}, 400, "bundle"),
        (
            {"content": b"--x\r\nnonsense\r\n\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            400,
            "",
        ),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "boundary"),
    ],
)
async def test_an_upload_that_is_none(empty_gateway: RunningGateway, request_: Any, status: int, word: str) -> None:
    body = problem(await empty_gateway.http.post("/v1/environments", **request_), status)
    assert word in body["detail"]


async def test_the_same_bundle_under_the_same_key_is_registered_once(gateway: RunningGateway) -> None:
    records: dict[str, Any] = {}

    def claim(body: dict[str, Any]) -> Any:
        record = records.setdefault(body["key"], {"hash": body["hash"], "answer": None})
        if record["hash"] != body["hash"]:
            raise Conflict("this Idempotency-Key came with another body")
        return {"answer": record["answer"]}

    def finish(body: dict[str, Any]) -> Any:
        records[body["key"]]["answer"] = body["answer"]
        return {}

    async with (
        gateway.owner("orchestrator.idempotency.claim", claim) as claims,
        gateway.owner("orchestrator.idempotency.finish", finish),
        gateway.owner("artifacts.environments.register", lambda body: REGISTERED) as asked,
    ):
        headers = {"Idempotency-Key": "once"}

        async def push(data: bytes) -> httpx.Response:
            return await gateway.http.post("/v1/environments", files={"bundle": ("b.zip", data)}, headers=headers)

        first, again = await push(b"zip"), await push(b"zip")
        assert good(first, 201) == good(again, 201)
        problem(await push(b"another"), 409)
    assert len(asked) == 1
    assert claims[0] == {"key": "environments:once", "hash": hashlib.sha256(b"zip").hexdigest()}


# Models


async def test_models_are_listed_without_their_keys(gateway: RunningGateway) -> None:
    await gateway.add_model("m1", api_key="ciphertext", created_at=WHEN + timedelta(seconds=1))
    await gateway.add_model("m2", source="trained", status="unreachable")
    await gateway.add_model("m3", status="paused")
    answer = await gateway.http.get("/v1/models")
    assert "ciphertext" not in answer.text
    assert [(row["id"], row["has_api_key"]) for row in good(answer)["items"]] == [
        ("m1", True),
        ("m3", False),
        ("m2", False),
    ]
    assert [row["id"] for row in await pages(gateway, "/v1/models", limit=1)] == ["m1", "m3", "m2"]
    assert [row["id"] for row in await pages(gateway, "/v1/models", source="trained")] == ["m2"]
    assert [row["id"] for row in await pages(gateway, "/v1/models", status=["paused", "running"])] == ["m1", "m3"]
    assert good(await gateway.http.get("/v1/models/m2"))["source"] == "trained"
    assert "m9" in problem(await gateway.http.get("/v1/models/m9"), 404)["detail"]


async def test_a_models_key_goes_on_encrypted(gateway: RunningGateway) -> None:
    body = {"name": "a", "base_url": "http://a/v1", "model": "a", "api_key": "very-secret"}
    async with gateway.owner("orchestrator.models.create", lambda body: PUBLIC_MODEL) as asked:
        answer = await gateway.http.post("/v1/models", json=body, headers={"Idempotency-Key": "k"})
        shuffled = dict(reversed(body.items()))
        good(await gateway.http.post("/v1/models", json=shuffled, headers={"Idempotency-Key": "k"}), 201)
        good(await gateway.http.post("/v1/models", json={**body, "api_key": ""}), 201)
    assert good(answer, 201)["id"] == "m1"
    assert answer.headers["location"] == "/v1/models/m1"
    sent = asked[0]["model"]
    assert "very-secret" not in json.dumps(asked)
    assert Cipher(FERNET.encode()).decrypt(sent["api_key"]) == "very-secret"
    assert (sent["max_concurrency"], sent["source"]) == (16, "running")
    assert asked[0]["idempotency"]["key"] == "models:k"
    assert asked[0]["idempotency"] == asked[1]["idempotency"]
    assert (asked[2]["idempotency"], asked[2]["model"]["api_key"]) == (None, None)


async def test_a_model_is_changed_in_what_is_given(gateway: RunningGateway) -> None:
    async with gateway.owner("orchestrator.models.update", lambda body: PUBLIC_MODEL) as asked:
        good(await gateway.http.patch("/v1/models/m1", json={"max_concurrency": 8, "price": None}))
        good(await gateway.http.patch("/v1/models/m1", json={"api_key": "very-secret"}))
        good(await gateway.http.patch("/v1/models/m1", json={"api_key": None}))
        body = problem(await gateway.http.patch("/v1/models/m1", json={"name": None}), 422)
    assert body["errors"][0]["loc"] == ["name"]
    assert asked[0] == {"id": "m1", "changes": {"max_concurrency": 8, "price": None}}
    assert Cipher(FERNET.encode()).decrypt(asked[1]["changes"]["api_key"]) == "very-secret"
    assert asked[2]["changes"] == {"api_key": None}


async def test_a_model_is_removed_and_probed(gateway: RunningGateway) -> None:
    def remove(body: dict[str, Any]) -> Any:
        if body["id"] != "m1":
            raise Conflict("evaluation #3 of model m0.26 is under way; cancel it first")
        return {}

    async with (
        gateway.owner("orchestrator.models.delete", remove),
        gateway.owner("orchestrator.models.probe", lambda body: PUBLIC_MODEL) as probed,
    ):
        answer = await gateway.http.delete("/v1/models/m1")
        assert (answer.status_code, answer.content) == (204, b"")
        assert "#3" in problem(await gateway.http.delete("/v1/models/m2"), 409)["detail"]
        assert good(await gateway.http.post("/v1/models/m1/probe"))["status"] == "running"
    assert probed == [{"id": "m1"}]


async def test_no_key_is_taken_before_it_can_be_encrypted(stores: Settings) -> None:
    async with RunningGateway(stores, secret_key=None, s3_bucket=f"empty-{uuid4().hex[:8]}") as gateway:
        body = {"name": "a", "base_url": "http://a/v1", "model": "a"}
        async with gateway.owner("orchestrator.models.create", lambda body: PUBLIC_MODEL):
            good(await gateway.http.post("/v1/models", json=body), 201)
            problem(await gateway.http.post("/v1/models", json={**body, "api_key": "very-secret"}), 503)
            # As the orchestrator does it when it comes up.
            await gateway.objects.put_bytes("secrets/model-api-keys.fernet", FERNET.encode())
            await until(lambda: gateway.app.state.parts.cipher)
            good(await gateway.http.post("/v1/models", json={**body, "api_key": "very-secret"}), 201)


# Evaluations


async def test_evaluations_newest_first(gateway: RunningGateway) -> None:
    first = await gateway.add_evaluation(1, group="g1", model="m1")
    await gateway.add_evaluation(2, group="g2", model="m2", version="0c", status="running")
    await gateway.add_evaluation(3, group="g2", model="m1", status="failed")

    async def numbers(**query: Any) -> list[int]:
        return [row["number"] for row in await pages(gateway, "/v1/evaluations", **query)]

    assert await numbers() == [3, 2, 1]
    assert await numbers(model="m1") == [3, 1]
    assert await numbers(group="g2") == [3, 2]
    assert await numbers(status="completed") == [1]
    assert await numbers(status=["failed", "running"]) == [3, 2]
    assert await numbers(environment="sums") == [3, 2, 1]
    assert await numbers(environment="sums@0c") == [2]
    assert await numbers(environment="other") == []
    by_id = good(await gateway.http.get(f"/v1/evaluations/{first}"))
    assert good(await gateway.http.get("/v1/evaluations/1")) == by_id
    assert (by_id["id"], by_id["environment"], by_id["environment_version"]) == (first, "sums", "0a1b")
    assert by_id["created_at"] == "2026-01-02T03:04:06Z"


async def test_evaluations_are_started_by_the_orchestrator(gateway: RunningGateway) -> None:
    await gateway.add_evaluation(7)
    created = {"group": "g5", "evaluations": [good(await gateway.http.get("/v1/evaluations/7"))]}
    body = {"environment": "sums", "models": ["m1"], "params": {"temperature": 0.5, "min_p": 0.1}}
    async with gateway.owner("orchestrator.evaluations.create", lambda body: created) as asked:
        answer = await gateway.http.post("/v1/evaluations", json=body, headers={"Idempotency-Key": "k"})
    assert good(answer, 202) == created
    assert answer.headers["location"] == "/v1/evaluations?group=g5"
    assert asked[0]["request"] == {
        "environment": "sums",
        "phase": None,
        "models": ["m1"],
        "limit": None,
        "samples_per_item": 1,
        "params": {"temperature": 0.5, "min_p": 0.1},
        "priority": 1,
    }
    assert asked[0]["idempotency"]["key"] == "evaluations:k"


async def test_evaluations_are_named_by_number_and_told_by_id(gateway: RunningGateway) -> None:
    evaluation_id = await gateway.add_evaluation(7)
    public = good(await gateway.http.get("/v1/evaluations/7"))

    def redrive(body: dict[str, Any]) -> Any:
        raise Conflict("evaluation #7 has no infra_error to call again")

    async with (
        gateway.owner("orchestrator.evaluations.cancel", lambda body: public) as cancelled,
        gateway.owner("orchestrator.evaluations.redrive", redrive) as redriven,
    ):
        assert good(await gateway.http.post("/v1/evaluations/7/cancel")) == public
        assert "#7" in problem(await gateway.http.post("/v1/evaluations/7/redrive"), 409)["detail"]
        problem(await gateway.http.post("/v1/evaluations/8/cancel"), 404)
    assert cancelled == redriven == [{"id": evaluation_id}]


async def test_an_owner_that_is_away_is_named(empty_gateway: RunningGateway) -> None:
    answer = await empty_gateway.http.post("/v1/evaluations", json={"environment": "sums", "models": ["m1"]})
    assert problem(answer, 503)["detail"] == "no orchestrator is running"


# Results


async def add_results(gateway: RunningGateway, evaluation_id: str, samples: int = 1) -> None:
    rows = [
        {
            "_id": f"{evaluation_id}:{index}:{sample}",
            "evaluation": evaluation_id,
            "index": index,
            "sample": sample,
            "round": 0,
            "item_id": f"item-{index}",
            "target": str(index + 1),
            "prediction": "3",
            "output": f"It is 3 ({sample}).",
            "correct": index == 2,
            "scores": {"accuracy": float(index == 2 or sample == 1)},
            "outcome": "infra_error" if index == 4 else "scored",
            "error": "HTTP 503" if index == 4 else None,
            "finish_reason": "stop",
            "usage": {"total_tokens": 7},
            "attempts": 1,
            "latency_ms": 12.5,
        }
        for index in range(5)
        for sample in range(samples)
    ]
    await gateway.database["results"].insert_many(rows)


async def test_results_in_the_order_of_the_items(gateway: RunningGateway) -> None:
    await gateway.add_environment()
    evaluation_id = await gateway.add_evaluation(1)
    path = f"/v1/evaluations/{evaluation_id}/results"
    assert await pages(gateway, path) == []
    await add_results(gateway, evaluation_id)
    rows = await pages(gateway, path)
    assert [row["item_id"] for row in rows] == [f"item-{index}" for index in range(5)]
    assert rows[2] == {
        "item_id": "item-2",
        "sample": 0,
        "index": 2,
        "input": "What is 2 + 1? [even]",
        "target": "3",
        "prediction": "3",
        "output": "It is 3 (0).",
        "correct": True,
        "scores": {"accuracy": 1.0},
        "outcome": "scored",
        "error": None,
        "finish_reason": "stop",
        "attempts": 1,
        "latency_ms": 12.5,
        "ttft_ms": None,
        "usage": {"prompt_tokens": None, "completion_tokens": None, "total_tokens": 7},
        "samples": None,
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"correct": "true"}, [2]),
        ({"correct": "false"}, [0, 1, 3, 4]),
        ({"outcome": "infra_error"}, [4]),
        ({"outcome": ["infra_error", "scored"], "correct": "false"}, [0, 1, 3, 4]),
        ({"q": "EVEN"}, [0, 2, 4]),
        ({"q": "[odd]"}, [1, 3]),
        ({"q": "item-3"}, [3]),
        ({"q": "it is 3 ("}, [0, 1, 2, 3, 4]),
        ({"q": "even", "outcome": "scored"}, [0, 2]),
        ({"q": ".*"}, []),
    ],
)
async def test_results_are_filtered(gateway: RunningGateway, query: dict[str, Any], found: list[int]) -> None:
    await gateway.add_environment()
    evaluation_id = await gateway.add_evaluation(1)
    await add_results(gateway, evaluation_id)
    rows = await pages(gateway, "/v1/evaluations/1/results", **query)
    assert [row["index"] for row in rows] == found


async def test_several_samples_are_one_row(gateway: RunningGateway) -> None:
    await gateway.add_environment()
    evaluation_id = await gateway.add_evaluation(1, samples_per_item=2, progress={"done": 10, "total": 10})
    await add_results(gateway, evaluation_id, samples=2)
    rows = await pages(gateway, "/v1/evaluations/1/results")
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[0]["scores"] == {"accuracy": 0.5}
    assert (rows[0]["output"], rows[0]["correct"]) == ("It is 3 (0).", False)
    assert [(sample["sample"], sample["output"]) for sample in rows[0]["samples"]] == [
        (0, "It is 3 (0)."),
        (1, "It is 3 (1)."),
    ]
    assert [row["index"] for row in await pages(gateway, "/v1/evaluations/1/results", correct="true", q="odd")] == []
    assert len(await pages(gateway, "/v1/evaluations/1/results", q="(1)")) == 0


async def test_results_are_read_through_an_index(gateway: RunningGateway) -> None:
    await gateway.add_environment()
    evaluation_id = await gateway.add_evaluation(1)
    await add_results(gateway, evaluation_id)
    queries: list[dict[str, Any]] = [{}, {"outcome": {"$in": ["scored"]}}, {"correct": True}]
    for query in queries:
        asked = {"evaluation": evaluation_id, "sample": 0, "index": {"$gt": 1}, **query}
        plan = await gateway.database["results"].find(asked).sort("index", 1).limit(3).explain()
        assert "COLLSCAN" not in json.dumps(plan["queryPlanner"]["winningPlan"])
        assert '"SORT"' not in json.dumps(plan["queryPlanner"]["winningPlan"])


# Files


async def test_files_are_streamed_as_they_were_stored(gateway: RunningGateway) -> None:
    html, lines = b"<h1>Report</h1>", b"{}\n" * 300_000
    files = []
    for name, kind, content_type, data in (
        ("detailed_results.html", "report", "text/html; charset=utf-8", html),
        ("predictions.jsonl", "predictions", "application/x-ndjson", lines),
    ):
        key = f"evaluations/{uuid4().hex}/0/{name}"
        await gateway.objects.put_bytes(key, data, content_type)
        digest = hashlib.sha256(data).hexdigest()
        files.append(
            {"name": name, "kind": kind, "size": len(data), "sha256": digest, "content_type": content_type, "key": key}
        )
    await gateway.add_evaluation(678, files=files)

    listed = good(await gateway.http.get("/v1/evaluations/678/files"))
    assert listed["items"] == [{name: file[name] for name in file if name != "key"} for file in files]

    report = await gateway.http.get("/v1/evaluations/678/files/detailed_results.html")
    assert (report.status_code, report.content) == (200, html)
    assert report.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in report.headers["content-security-policy"]
    assert "default-src 'none'" in report.headers["content-security-policy"]
    assert report.headers["x-content-type-options"] == "nosniff"
    assert "content-disposition" not in report.headers

    answer = await gateway.http.get("/v1/evaluations/678/files/predictions.jsonl?download=1")
    assert answer.content == lines
    assert answer.headers["content-length"] == str(len(lines))
    assert answer.headers["content-disposition"] == 'attachment; filename="evaluation-678-predictions.jsonl"'
    etag = answer.headers["etag"]
    assert etag == f'"{hashlib.sha256(lines).hexdigest()}"'
    same = await gateway.http.get("/v1/evaluations/678/files/predictions.jsonl", headers={"If-None-Match": etag})
    assert (same.status_code, same.content) == (304, b"")

    body = problem(await gateway.http.get("/v1/evaluations/678/files/scores.json"), 404)
    assert "detailed_results.html, predictions.jsonl" in body["detail"]


async def test_a_file_that_the_store_has_lost_is_no_torn_answer(gateway: RunningGateway) -> None:
    lost = {"name": "a.json", "kind": "a", "size": 2, "sha256": "ab", "content_type": "application/json", "key": "gone"}
    await gateway.add_evaluation(1, files=[lost])
    problem(await gateway.http.get("/v1/evaluations/1/files/a.json"), 503)


# Keys


async def test_roles(stores: Settings) -> None:
    keys = SecretStr("viewer:look,runner:go,admin:all")
    async with RunningGateway(stores, api_keys=keys) as gateway:
        await gateway.add_environment()
        await gateway.add_evaluation(1)
        public = good(await gateway.http.get("/v1/evaluations/1", headers={"Authorization": "Bearer look"}))

        async def status(method: str, path: str, key: str | None, **body: Any) -> int:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            answer = await gateway.http.request(method, path, headers=headers, **body)
            if answer.status_code >= 400:
                problem(answer, answer.status_code)
            if answer.status_code == 401:
                assert answer.headers["www-authenticate"].startswith("Bearer")
            return answer.status_code

        for path in ("/healthz", "/openapi.json"):
            assert await status("GET", path, None) == 200
        for path in ("/v1/evaluations", "/v1/models", "/v1/environments", "/v1/evaluations/1/events", "/v1/nope"):
            assert await status("GET", path, None) == 401
            assert await status("GET", path, "wrong") == 401
        assert await status("GET", "/v1/evaluations", "look") == 200
        # Before anything of the body is read.
        assert await status("POST", "/v1/models", None, content=b"{broken") == 401
        assert await status("POST", "/v1/environments", "wrong", files={"bundle": ("b.zip", b"0" * 5_000_000)}) == 401
        async with (
            gateway.owner("orchestrator.evaluations.cancel", lambda body: public),
            gateway.owner("orchestrator.models.probe", lambda body: PUBLIC_MODEL),
            gateway.owner("orchestrator.models.delete", lambda body: {}),
        ):
            for method, path, needed in (
                ("POST", "/v1/evaluations/1/cancel", "runner"),
                ("POST", "/v1/models/m1/probe", "runner"),
                ("DELETE", "/v1/models/m1", "admin"),
            ):
                allowed = {"runner": ("go", "all"), "admin": ("all",)}[needed]
                for key in ("look", "go", "all"):
                    expected = {True: (200, 204), False: (403,)}[key in allowed]
                    assert await status(method, path, key) in expected, (path, key)
            answer = await gateway.http.delete("/v1/models/m1", headers={"Authorization": "Bearer go"})
            assert "admin" in problem(answer, 403)["detail"]
        assert await status("POST", "/v1/environments", "go", files={"bundle": ("b.zip", b"0" * 5_000_000)}) == 403

        async def targets(key: str) -> set[str | None]:
            answer = await gateway.http.get("/v1/environments/sums/items", headers={"Authorization": f"Bearer {key}"})
            return {row["target"] for row in good(answer)["items"]}

        assert await targets("look") == {None}
        assert await targets("go") == {"1", "2", "3", "4", "5"}


async def test_foreign_pages_are_kept_out_where_there_are_no_keys(empty_gateway: RunningGateway) -> None:
    body = {"environment": "sums", "models": ["m1"]}
    for headers in ({"Origin": "https://example.org"}, {"Host": "rebound.example.org"}):
        problem(await empty_gateway.http.post("/v1/evaluations", json=body, headers=headers), 403)
    problem(await empty_gateway.http.get("/v1/evaluations", headers={"Host": "rebound.example.org"}), 403)
    own = {"Origin": empty_gateway.url}
    problem(await empty_gateway.http.post("/v1/evaluations", json=body, headers=own), 503)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ASSAY_HOST": "0.0.0.0"}, "ASSAY_API_KEYS"),
        ({"ASSAY_API_KEYS": "admin:fine,very-secret"}, "entry 2"),
        ({"ASSAY_SECRET_KEY": "very-secret"}, "ASSAY_SECRET_KEY"),
    ],
)
def test_a_wrong_setting_is_told_and_nothing_is_served(environment: dict[str, str], said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.app"], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "very-secret" not in ended.stderr + ended.stdout


# Bad input


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word"),
    [
        ("GET", "/v1/nope", None, 404, "/v1/nope"),
        ("GET", "/nope", None, 404, "/nope"),
        ("DELETE", "/v1/environments", None, 405, "GET"),
        ("GET", "/v1/evaluations?cursor=!!", None, 400, "cursor"),
        ("GET", "/v1/models?cursor=WzFd", None, 400, "cursor"),
        ("GET", "/v1/evaluations?limit=0", None, 422, "limit"),
        ("GET", "/v1/evaluations?limit=1001", None, 422, "limit"),
        ("GET", "/v1/evaluations?limit=many", None, 422, "limit"),
        ("GET", "/v1/evaluations?status=asleep", None, 422, "status"),
        ("GET", "/v1/evaluations?environment=A B", None, 422, "environment"),
        ("GET", "/v1/models?source=nowhere", None, 422, "source"),
        ("GET", "/v1/models?status=fine", None, 422, "status"),
        ("GET", "/v1/evaluations/1/results?outcome=fine", None, 422, "outcome"),
        ("GET", "/v1/evaluations/1/results?correct=maybe", None, 422, "correct"),
        ("GET", "/v1/evaluations/1/results?q=%00", None, 422, "q"),
        ("GET", "/v1/evaluations/1/results", None, 404, "evaluation 1"),
        ("GET", "/v1/evaluations/99999999999999999999", None, 404, "99999999999999999999"),
        ("GET", "/v1/evaluations/%ff%00", None, 404, "evaluation"),
        ("GET", "/v1/environments/..%2f", None, 404, ""),
        ("GET", "/v1/events?after=soon", None, 400, "after"),
        ("GET", "/v1/events?after=999999999999", None, 400, "ahead"),
        ("GET", "/v1/events?type=assay.nope", None, 422, "assay.nope"),
        ("GET", "/v1/events?evaluation=e404", None, 404, "e404"),
        ("POST", "/v1/evaluations", [1], 422, "the body"),
        ("POST", "/v1/evaluations", {}, 422, "environment"),
        ("POST", "/v1/evaluations", {"environment": "x", "models": ["a", 3]}, 422, "models.1"),
        ("POST", "/v1/evaluations", {"environment": "x", "models": ["a"], "modles": 1}, 422, "modles"),
        ("POST", "/v1/models", {"name": "", "base_url": "http://a", "model": "a"}, 422, "name"),
    ],
)
async def test_bad_input(
    empty_gateway: RunningGateway, method: str, path: str, body: Any, status: int, word: str
) -> None:
    told = problem(await empty_gateway.http.request(method, path, json=body), status)
    assert word in told["detail"]
    if status == 422:
        assert told["errors"]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b'{"name": ', {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"", {}, 422),
        (b'{"name": "\\ud800", "base_url": "http://a/v1", "model": "a"}', {}, 422),
        (b'{"name": "' + b"a" * 600_000 + b'"}', {}, 413),
        (b'{"name": "a", "base_url": "http://a/v1", "model": "a"}', {"Idempotency-Key": ""}, 422),
        (b'{"name": "a", "base_url": "http://a/v1", "model": "a"}', {"Idempotency-Key": "k" * 201}, 422),
        (b'{"name": "a", "base_url": "http://a/v1", "model": "a"}', {"Idempotency-Key": "a b"}, 422),
    ],
)
async def test_bad_bodies(empty_gateway: RunningGateway, content: bytes, headers: dict[str, str], status: int) -> None:
    headers = {"Content-Type": "application/json", **headers}
    problem(await empty_gateway.http.post("/v1/models", content=content, headers=headers), status)


@pytest.mark.parametrize("params", [b'{"stop": ["\\ud800"]}', b'{"x": NaN}', b'{"x": "\\ud800"}', b'{"x": 1e999}'])
async def test_bad_parameters(empty_gateway: RunningGateway, params: bytes) -> None:
    content = b'{"environment": "x", "models": ["m"], "params": ' + params + b"}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    problem(await empty_gateway.http.post("/v1/evaluations", content=content, headers=headers), 422)


async def test_what_is_unforeseen_is_logged_without_what_was_sent(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    await gateway.add_model("m1", max_concurrency="very-secret")
    told = problem(await gateway.http.get("/v1/models/m1?note=quite-secret"), 500)
    assert "secret" not in json.dumps(told)
    assert "/v1/models/m1" in caplog.text
    assert "model_view" in caplog.text
    assert "secret" not in caplog.text


# The contract


async def test_the_contract_is_complete(empty_gateway: RunningGateway) -> None:
    contract = good(await empty_gateway.http.get("/openapi.json"))
    assert contract["info"]["title"] == "Assay"
    assert contract["components"]["securitySchemes"]
    paths = contract["paths"]
    assert {
        "/v1/environments",
        "/v1/models/{model_id}",
        "/v1/evaluations/{evaluation}/events",
        "/readyz",
    } <= paths.keys()
    for path, operations in paths.items():
        for method, operation in operations.items():
            assert operation["summary"], path
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)
            if path.startswith("/v1"):
                assert operation["security"], path
                assert operation["tags"], path
                assert {"401", "422"} <= operation["responses"].keys(), path
            if method in ("post", "patch") and "requestBody" in operation:
                assert "413" in operation["responses"], path
    assert "HTTPValidationError" not in contract["components"]["schemas"]
