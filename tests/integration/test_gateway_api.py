"""The gateway over real stores. The tests themselves are the orchestrator and artifacts, at the other end of the broker."""

import asyncio
import json
import signal
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

from deploy.embedded.ports import free
from gateway.app import GatewayServer, create_app
from gateway.auth import check_settings
from shared.errors import Conflict, Invalid, NotFound
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
        for name in ("orchestrator", "predictor", "artifacts", "launcher"):
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

        for path in ("/healthz", "/openapi.json", "/schemas/environment.json"):
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
        ({"ASSAY_SECRET_KEY": "very-secret", "ASSAY_S3_SECRET_KEY": "any"}, "ASSAY_SECRET_KEY"),
        ({}, "ASSAY_S3_SECRET_KEY"),
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


def test_it_stops_at_once_even_while_it_waits_for_the_broker() -> None:
    (port,) = free(1)
    environment = {
        "ASSAY_NATS_URL": "nats://127.0.0.1:1",
        "ASSAY_S3_SECRET_KEY": "any",
        "ASSAY_PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.app"], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=10), base_url=f"http://127.0.0.1:{port}") as http:
            assert http.get("/healthz").json() == {"status": "ok"}
        process.terminate()
        assert process.wait(10) in (0, -signal.SIGTERM)
    finally:
        process.kill()


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
