"""Evaluations, their results and files, over real stores; the tests play the orchestrator."""

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from shared.errors import Conflict
from shared.settings import Settings
from tests.integration.test_gateway_api import RunningGateway, good, pages, problem


@pytest.fixture
async def gateway(stores: Settings) -> AsyncIterator[RunningGateway]:
    async with RunningGateway(stores) as running:
        yield running


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
        "judge": None,
        "unreachable_wait_s": None,
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


async def test_an_owner_that_is_away_is_named(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/v1/evaluations", json={"environment": "sums", "models": ["m1"]})
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
        "detail": None,
        "judge": [],
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
