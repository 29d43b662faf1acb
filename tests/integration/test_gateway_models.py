"""Models over real stores; the tests play the orchestrator."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from shared import subjects
from shared.contracts import EngineLines
from shared.errors import Conflict
from shared.secrets import Cipher
from shared.settings import Settings
from tests.integration.test_gateway_api import FERNET, PUBLIC_MODEL, WHEN, RunningGateway, good, pages, problem, until


@pytest.fixture
async def gateway(stores: Settings) -> AsyncIterator[RunningGateway]:
    async with RunningGateway(stores) as running:
        yield running


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


async def test_models_are_found_by_their_tags_and_by_whether_they_are_offered(gateway: RunningGateway) -> None:
    await gateway.add_model("m1", tags=["math", "7b"])
    await gateway.add_model("m2", tags=["math"], published_at=WHEN, source="platform")
    await gateway.add_model("m3", withdrawn_at=WHEN)

    async def found(**query: Any) -> list[str]:
        return sorted(row["id"] for row in await pages(gateway, "/v1/models", **query))

    assert await found() == ["m1", "m2"]
    assert await found(tag="math") == ["m1", "m2"]
    assert await found(tag=["math", "7b"]) == ["m1"]
    assert await found(published="true") == ["m2"]
    assert await found(published="false") == ["m1"]
    assert await found(withdrawn="true") == ["m1", "m2", "m3"]
    # It is there still for whoever asks for it.
    assert good(await gateway.http.get("/v1/models/m3"))["withdrawn_at"] is not None


async def test_a_models_settings_versions_are_listed_page_by_page(gateway: RunningGateway) -> None:
    rows = [{"version": n, "created_at": WHEN, "settings": {"timeout_s": 10 * n}} for n in (1, 2, 3)]
    await gateway.add_model("m1", versions=rows, settings_version=3)
    listed = await pages(gateway, "/v1/models/m1/versions", limit=2)
    assert [row["version"] for row in listed] == [3, 2, 1]
    assert listed[0]["changes"] == [{"name": "timeout_s", "before": 20, "after": 30}]
    assert good(await gateway.http.get("/v1/models/m1"))["settings_version"] == 3
    problem(await gateway.http.get("/v1/models/m1/versions?cursor=x"), 400)
    problem(await gateway.http.get("/v1/models/m9/versions"), 404)


async def test_a_key_and_a_variable_that_holds_one_take_each_others_place(gateway: RunningGateway) -> None:
    body = {"name": "a", "base_url": "http://a/v1", "model": "a", "api_key": "very-secret", "api_key_env": "A_API_KEY"}
    async with gateway.owner("orchestrator.models.update", lambda body: PUBLIC_MODEL) as asked:
        refused = await gateway.http.post("/v1/models", json=body)
        problem(await gateway.http.patch("/v1/models/m1", json={"api_key": "x", "api_key_env": "A"}), 422)
        problem(await gateway.http.patch("/v1/models/m1", json={"api_key_env": "no name"}), 422)
        good(await gateway.http.patch("/v1/models/m1", json={"api_key_env": "A_API_KEY"}))
        good(await gateway.http.patch("/v1/models/m1", json={"api_key": "very-secret"}))
    assert problem(refused, 422)["errors"][0]["loc"] == ["api_key_env"]
    assert "very-secret" not in refused.text
    assert asked[0]["changes"] == {"api_key": None, "api_key_env": "A_API_KEY"}
    assert asked[1]["changes"]["api_key_env"] is None


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
        good(await gateway.http.patch("/v1/models/m1", json={"max_concurrency": "auto", "concurrency_ceiling": 64}))
        wrong = problem(await gateway.http.patch("/v1/models/m1", json={"max_concurrency": "fast"}), 422)
    assert body["errors"][0]["loc"] == ["name"]
    assert wrong["detail"] == 'max_concurrency: must be a whole number from 1 to 4096, or "auto"'
    assert asked[3]["changes"] == {"max_concurrency": "auto", "concurrency_ceiling": 64}
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


ENGINE = {"name": "vllm", "checkpoint": "/models/m0.26"}


async def test_a_model_with_an_engine_is_registered_with_what_is_not_said(gateway: RunningGateway) -> None:
    hub = {"name": "b", "engine": {"name": "vllm", "checkpoint": "org/b", "revision": "main"}}
    async with gateway.owner("orchestrator.models.create", lambda body: PUBLIC_MODEL) as asked:
        good(await gateway.http.post("/v1/models", json={"name": "m 0.26 (tuned)", "engine": ENGINE}), 201)
        good(await gateway.http.post("/v1/models", json=hub), 201)
    first, second = (body["model"] for body in asked)
    assert (first["source"], first["model"], first["base_url"]) == ("trained", "m-0.26-tuned", None)
    assert (first["engine"]["args"], first["engine"]["idle_stop_s"]) == ([], 300)
    assert second["source"] == "huggingface"


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "base_url", "is missing: give the address of a live endpoint, or an engine that serves a checkpoint"),
        ({"base_url": "http://a/v1"}, "model", "is missing: the model's own name at the endpoint, such as qwen2.5:7b"),
        ({"engine": ENGINE, "base_url": "http://a/v1"}, "base_url", "must be left out where an engine is given"),
        ({"engine": ENGINE, "api_key": "k"}, "api_key", "must be left out where an engine is given"),
        ({"engine": ENGINE, "source": "running"}, "engine", "goes with source trained or huggingface"),
        ({"engine": {"name": "vllm"}}, "engine.checkpoint", "Field required"),
        ({"engine": {**ENGINE, "checkpoint": "models/m/0"}}, "engine.checkpoint", "must be an absolute path"),
        ({"engine": {**ENGINE, "checkpoint": "--port=1"}}, "engine.checkpoint", "must not begin with -"),
        ({"engine": {**ENGINE, "checkpoint": "/m\0"}}, "engine.checkpoint", "must hold printable characters alone"),
        ({"engine": {**ENGINE, "revision": "main"}}, "engine.revision", "goes with a Hub id; /models/m0.26 is none"),
        ({"engine": {**ENGINE, "args": ["a\0"]}}, "engine.args.0", "must hold printable characters alone"),
        ({"engine": {**ENGINE, "idle_stop_s": 1}}, "engine.idle_stop_s", "greater than or equal to 10"),
        ({"engine": {**ENGINE, "adaptor": "/a"}}, "engine.adaptor", "Extra inputs are not permitted"),
    ],
)
async def test_a_wrong_combination_is_told_by_its_field_once(
    gateway: RunningGateway, body: dict[str, Any], field: str, message: str
) -> None:
    found = problem(await gateway.http.post("/v1/models", json={"name": "a", **body}), 422)
    assert [".".join(map(str, error["loc"])) for error in found["errors"]] == [field]
    assert message in found["errors"][0]["msg"]


async def test_an_engine_is_started_stopped_and_changed_as_a_whole(gateway: RunningGateway) -> None:
    def stop(body: dict[str, Any]) -> Any:
        raise Conflict("evaluation #3 needs the engine of model m0.26; cancel it first")

    async with (
        gateway.owner("orchestrator.models.start", lambda body: PUBLIC_MODEL) as started,
        gateway.owner("orchestrator.models.stop", stop),
        gateway.owner("orchestrator.models.update", lambda body: PUBLIC_MODEL) as changed,
    ):
        good(await gateway.http.post("/v1/models/m1/start"))
        assert "#3" in problem(await gateway.http.post("/v1/models/m1/stop"), 409)["detail"]
        good(await gateway.http.patch("/v1/models/m1", json={"engine": ENGINE}))
        problem(await gateway.http.patch("/v1/models/m1", json={"engine": None}), 422)
    assert started == [{"id": "m1"}]
    assert (changed[0]["changes"]["engine"]["name"], changed[0]["changes"]["engine"]["idle_stop_s"]) == ("vllm", 300)


async def test_what_an_engine_writes_is_read_from_the_broker(gateway: RunningGateway) -> None:
    model_id = f"m{uuid4().hex[:8]}"
    await gateway.add_model(model_id)
    path = f"/v1/models/{model_id}/log"
    assert good(await gateway.http.get(path)) == {"lines": []}
    store = await gateway.nc.jetstream().key_value(subjects.KV_ENGINES)
    await store.put(subjects.engine_log(model_id), EngineLines(lines=["<b>loading</b>"]).model_dump_json().encode())
    assert good(await gateway.http.get(path)) == {"lines": ["<b>loading</b>"]}
    assert "m9" in problem(await gateway.http.get("/v1/models/m9/log"), 404)["detail"]


async def test_engines_are_what_a_launcher_offers(gateway: RunningGateway) -> None:
    template = {"name": "vllm", "title": "vLLM", "takes": ["folder"], "missing": "vllm is not installed"}
    async with gateway.owner("launcher.engines", lambda body: {"engines": [template]}):
        assert good(await gateway.http.get("/v1/engines"))["items"] == [template]


async def test_publishing_is_handed_to_the_orchestrator(gateway: RunningGateway) -> None:
    def withdraw(body: dict[str, Any]) -> Any:
        raise Conflict("model m0.26 is not published, so it cannot be withdrawn")

    async with (
        gateway.owner("orchestrator.models.publish", lambda body: PUBLIC_MODEL) as published,
        gateway.owner("orchestrator.models.withdraw", withdraw),
    ):
        assert good(await gateway.http.post("/v1/models/m1/publish"))["id"] == "m1"
        assert "not published" in problem(await gateway.http.post("/v1/models/m1/withdraw"), 409)["detail"]
    assert published == [{"id": "m1"}]


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


async def test_the_models_of_an_endpoint_go_on_with_their_key_encrypted(gateway: RunningGateway) -> None:
    body = {"base_url": "http://a/v1", "models": ["x"], "api_key": "very-secret", "tags": ["local"]}
    answer = {"registered": [PUBLIC_MODEL], "present": []}
    async with gateway.owner("orchestrator.models.create_listed", lambda body: answer) as asked:
        created = good(await gateway.http.post("/v1/models/endpoint", json=body), 201)
        wrong = problem(
            await gateway.http.post("/v1/models/endpoint", json={"base_url": "http://a", "models": []}), 422
        )
        problem(await gateway.http.post("/v1/models/endpoint", json={**body, "name": "b"}), 422)
    assert [model["id"] for model in created["registered"]] == ["m1"]
    assert wrong["errors"][0]["loc"][-1] == "models"
    (sent,) = asked
    assert sent["names"] == ["x"]
    assert "models" not in sent["model"]
    assert Cipher(FERNET.encode()).decrypt(sent["model"]["api_key"]) == "very-secret"
    assert "very-secret" not in json.dumps(asked)


async def test_local_servers_are_looked_for_by_the_orchestrator(gateway: RunningGateway) -> None:
    server = {"server": "Ollama", "base_url": "http://127.0.0.1:11434/v1", "models": ["a"], "registered": ["a"]}
    async with gateway.owner("orchestrator.models.discover", lambda body: {"items": [server]}):
        found = good(await gateway.http.post("/v1/models/discover"))
    assert found == {"items": [{**server, "needs_key": False}], "next": None}


async def test_without_any_token_nothing_goes_through_the_router(gateway: RunningGateway) -> None:
    refused = await gateway.http.post("/v1/models", json={"name": "a", "source": "huggingface", "model": "org/name"})
    assert problem(refused, 422)["errors"][0]["loc"] == ["api_key"]


async def test_the_deployments_token_goes_to_the_router_alone(stores: Settings) -> None:
    router = "http://127.0.0.1:9/v1"
    body = {"name": "a", "source": "huggingface", "model": "org/name"}
    async with (
        RunningGateway(stores, hf_token=SecretStr("hf_deployment"), hf_router_url=router) as gateway,
        gateway.owner("orchestrator.models.create", lambda body: PUBLIC_MODEL) as asked,
    ):
        good(await gateway.http.post("/v1/models", json=body), 201)
        good(await gateway.http.post("/v1/models", json={**body, "api_key": "hf_callers"}), 201)
        good(await gateway.http.post("/v1/models", json={**body, "api_key_env": "HF_TOKEN"}), 201)
        good(await gateway.http.post("/v1/models", json={**body, "base_url": "http://b/v1"}), 201)
        problem(await gateway.http.post("/v1/models", json={**body, "source": "running"}), 422)
        problem(await gateway.http.post("/v1/models", json={**body, "model": None}), 422)
    sent = [one["model"] for one in asked]
    decrypt = Cipher(FERNET.encode()).decrypt
    assert [one["base_url"] for one in sent] == [router, router, router, "http://b/v1"]
    assert [one["api_key"] and decrypt(one["api_key"]) for one in sent] == ["hf_deployment", "hf_callers", None, None]
    assert [one.get("deployment_key") for one in sent] == [True, None, None, None]
    assert "hf_" not in json.dumps(asked)
