"""Models over real stores; the tests play the orchestrator."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

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
